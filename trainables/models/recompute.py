"""Blocks that can compute their activations again in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RecomputableBlock(nn.Module):
    """Its `block` runs as it is, or, where `recompute` is set and gradients are wanted, keeps its input only.

    Outputs, gradients and BN's running statistics are the same either way, to the bit in eager mode.
    """

    recompute = False

    def block(self, x: Tensor) -> Tensor:
        """What the block computes."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map the module's layout to the same layout."""
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return self.block(x)
        return self._checkpointed(x)

    def _checkpointed(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        # No block draws random numbers, so there is no generator to set back.
        if torch.compiler.is_compiling():
            # A compiler makes what changes BN's statistics part of the forward pass alone.
            out: Tensor = checkpoint(self.block, x, use_reentrant=False, preserve_rng_state=False)
            return out
        out = checkpoint(
            self.block, x, use_reentrant=False, preserve_rng_state=False, context_fn=self._contexts
        )
        return out

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(self)


def recompute_blocks(model: nn.Module) -> None:
    """Let all blocks of a model keep their inputs only."""
    for module in model.modules():
        if isinstance(module, RecomputableBlock):
            module.recompute = True


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Let BN layers update copies of their running statistics, so that a second pass does not count twice."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm, name, getattr(norm, name)) for norm in norms for name in _STATISTICS]
    for norm, name, tensor in kept:
        setattr(norm, name, None if tensor is None else tensor.clone())
    try:
        yield
    finally:
        for norm, name, tensor in kept:
            setattr(norm, name, tensor)
