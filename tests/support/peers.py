"""Another package's network beside ours: its tensors under our names, its logits against ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.models import build_model
from trainables.models.video_model import VideoModel

TOLERANCE = 1e-4
CLASSES = 400
CLIPS = 2

Renames = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
"""Regular expressions of a peer's names of tensors, and what stands for each in ours: applied in order."""


def renamed(state: Mapping[str, Tensor], renames: Renames) -> dict[str, Tensor]:
    """A peer's tensors under our names."""
    found: dict[str, Tensor] = {}
    for peers_name, tensor in state.items():
        name = peers_name
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        assert name not in found, f"two of the peer's tensors would be {name}"
        found[name] = tensor
    return found


def ours(
    module: str, backbone: str, frames: int, state: Mapping[str, Tensor], *, pooled: bool = False
) -> VideoModel:
    """Our model of these axes with these tensors, none missing and none left over, in evaluation mode."""
    model = build_model(
        module=module,
        backbone=backbone,
        temporal_pooling=pooled,
        frames=frames,
        num_classes=state["fc.bias"].numel(),
    )
    model.load_state_dict(dict(state), strict=True)
    return model.eval()


def random_clips(frames: int, size: int) -> Tensor:
    """(CLIPS, 3, frames, size, size): noise, and coarse patterns of each clip and each of its frames.

    Of noise alone the mean over places, and over frames, would be much the same in every clip.
    """
    source = torch.Generator().manual_seed(7)
    pixels = torch.randn(CLIPS, 3, frames, size, size, generator=source)
    for length in (1, frames):
        coarse = torch.randn(CLIPS, 3, length, 4, 4, generator=source)
        pixels += nn.functional.interpolate(coarse, (frames, size, size))
    return pixels


def drawn(network: nn.Module, forward: Callable[[], object]) -> nn.Module:
    """The peer with values that matter everywhere, in evaluation mode.

    Scales lie from 0.5 to 1.5 (packages start some at 0, which would switch whole branches off), biases are
    normal, and statistics of batch normalisation are those of one pass `forward()` in training mode, so that
    no layer's output is lost beside a constant.
    """
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
        elif parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        network.train()
        with torch.no_grad():
            forward()
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return network.eval()


def distance(logits: Tensor, peers: Tensor) -> float:
    """The greatest difference of two models' logits (CLIPS, K), as a part of the peer's greatest logit.

    Rounding alone made up to 4e-5 of it (X3D-L, equal to 1e-12 in double precision). Networks that answer all
    clips alike would be close whatever they did to them: that is an error.
    """
    assert logits.shape == peers.shape and len(peers) == CLIPS
    size = peers.abs().max()
    assert (peers[0] - peers[1]).abs().max() > 0.1 * size, "the peer's logits do not tell the clips apart"
    return float((logits - peers).abs().max() / size)
