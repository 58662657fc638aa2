"""Blocks that compute their activations again: when they do, and that statistics are counted once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.models.recompute import RecomputableBlock, recompute_blocks


class Counting(RecomputableBlock):
    """A convolution and its norm, which counts how often it runs."""

    def __init__(self, *, statistics: bool = True) -> None:
        super().__init__()
        self.calls = 0
        self.convolution = nn.Conv2d(2, 3, 1)
        self.norm = nn.BatchNorm2d(3, track_running_stats=statistics)

    def block(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.norm(self.convolution(x))
        return out


def pair(*, statistics: bool = True) -> tuple[Counting, Counting]:
    """The same block as it is, and recomputing."""
    plain, again = Counting(statistics=statistics), Counting(statistics=statistics)
    again.load_state_dict(plain.state_dict())
    recompute_blocks(nn.Sequential(again))
    return plain, again


@pytest.mark.parametrize("statistics", [True, False])
def test_a_block_that_recomputes_is_the_plain_one_and_runs_twice(statistics: bool) -> None:
    plain, again = pair(statistics=statistics)
    clips = torch.randn(4, 2, 5, 5)
    for _ in range(2):
        for block in (plain, again):
            block(clips).square().sum().backward()
    assert (plain.calls, again.calls) == (2, 4)
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    for (name, one), (_, other) in zip(plain.named_buffers(), again.named_buffers(), strict=True):
        assert torch.equal(one, other), name
    if statistics:
        assert again.norm.num_batches_tracked == 2


def test_statistics_stay_the_blocks_own_tensors() -> None:
    _, again = pair()
    before = [again.norm.running_mean, again.norm.running_var, again.norm.num_batches_tracked]
    again(torch.randn(4, 2, 5, 5)).sum().backward()
    after = [again.norm.running_mean, again.norm.running_var, again.norm.num_batches_tracked]
    assert all(one is other for one, other in zip(before, after, strict=True))


def test_it_runs_once_where_nothing_is_learnt_or_nobody_asked() -> None:
    clips = torch.randn(4, 2, 5, 5, requires_grad=True)
    plain, again = pair()
    plain(clips).sum().backward()
    again.eval()
    again(clips).sum().backward()
    assert (plain.calls, again.calls) == (1, 1)
    again.train()
    with torch.no_grad():
        again(clips)
    assert again.calls == 2


@pytest.mark.parametrize("compiling", [False, True])
def test_the_graph_is_cut_without_reentry_and_without_random_state(
    compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autograd that enters itself again gives DDP no gradients in time; no block draws random numbers."""
    asked: dict[str, Any] = {}

    def checkpoint(block: Any, x: Tensor, **options: Any) -> Tensor:
        asked.update(options)
        out: Tensor = block(x)
        return out

    monkeypatch.setattr("torch.utils.checkpoint.checkpoint", checkpoint)
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: compiling)
    _, again = pair()
    again(torch.randn(4, 2, 5, 5))
    assert ("context_fn" in asked) is not compiling
    assert (asked["use_reentrant"], asked["preserve_rng_state"], again.calls) == (False, False, 1)
