"""The estimate of a GPU's memory against what a real forward pass on the CPU saves."""

from __future__ import annotations

import pytest
import torch

from tests.support.architectures import architectures, modules_with
from trainables.models import build_model
from trainables.models.memory_estimate import Saved, saved_for_backward, training_memory
from trainables.models.registry import MODULES

# Torch chooses other layouts, or another form of attention, where tensors have no memory.
ESTIMATED_HIGHER = {"tam", "tam_top_half", "tam_bottom_half", "tam_uniform_half", "conv", "nonlocal", "vit"}


def really_saved(
    module: str, backbone: str, pooling: bool, clips: int, size: int, frames: int = 8
) -> tuple[Saved, int]:
    """What a real forward pass saves, and the model's parameters."""
    torch.set_num_threads(1)
    model = build_model(
        module=module, backbone=backbone, temporal_pooling=pooling, frames=frames, num_classes=7
    ).train()
    model = model.to(memory_format=model.memory_format)
    pixels = torch.randn(clips, 3, frames, size, size)
    saved = saved_for_backward(model, pixels, torch.zeros(clips, dtype=torch.int64))
    return saved, sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "module", "pooling"),
    [
        *(pytest.param("tiny", *one) for one in architectures("tiny")),
        *(pytest.param("resnet18", *one, marks=pytest.mark.long) for one in architectures("resnet18")),
    ],
)
def test_saved_tensors_are_counted_as_a_real_forward_pass_saves_them(
    backbone: str, module: str, pooling: bool
) -> None:
    size = 32 if backbone == "tiny" else 64
    memory = training_memory(module, backbone, pooling, 8, 7, size, moments=1, bf16=False)
    for clips in (1, 4):
        saved, parameters = really_saved(module, backbone, pooling, clips, size)
        # Seven classes' logits instead of one's, which nobody counts.
        estimated = memory.saved_fixed + clips * memory.saved_by_clip
        if module in ESTIMATED_HIGHER:
            assert saved.all <= estimated <= 1.25 * saved.all
        else:
            assert estimated == pytest.approx(saved.all, rel=2e-2 if MODULES[module].transformer else 1e-3)
        assert saved.largest == pytest.approx(clips * memory.passing_by_clip / 2, rel=1e-6)
        assert memory.state == 3 * 4 * parameters


def test_longer_clips_follow_from_two_lengths() -> None:
    for module in modules_with("tiny", True):
        memory = training_memory(module, "tiny", True, 32, 7, 32, moments=1, bf16=False)
        saved, _ = really_saved(module, "tiny", True, 2, 32, frames=32)
        estimated = memory.saved_fixed + 2 * memory.saved_by_clip
        assert saved.all * 0.999 <= estimated <= saved.all * (1.25 if module in ESTIMATED_HIGHER else 1.001)


def test_half_the_precision_saves_half_and_no_momentum_a_third_of_the_state() -> None:
    whole, half, still = (
        training_memory("i3d", "resnet18", False, 8, 7, 64, moments=moments, bf16=bf16)
        for moments, bf16 in ((1, False), (1, True), (0, False))
    )
    # Places of maxima, which a pool saves, are whole numbers in either.
    assert 0.5 * whole.saved_by_clip <= half.saved_by_clip <= 0.55 * whole.saved_by_clip
    assert still.state == whole.state * 2 / 3
    assert half.state == pytest.approx(whole.state * 14 / 12)
    assert whole.peak(8) - whole.peak(4) == 4 * (whole.saved_by_clip + whole.passing_by_clip)


def test_every_storage_counts_once_and_weights_do_not() -> None:
    layer = torch.nn.Linear(10, 10)
    both = torch.nn.Sequential(layer, torch.nn.Sigmoid(), torch.nn.Flatten(), layer)
    pixels = torch.randn(4, 10)
    saved = saved_for_backward(both, pixels, torch.zeros(4, dtype=torch.int64))
    # The input, the sigmoid's output (once, although two layers save it), the log-softmax and its weight sum.
    assert saved.all == pytest.approx(3 * 4 * 10 * 4, abs=64)


def test_pictures_that_are_too_small_are_named() -> None:
    with pytest.raises(ValueError, match=r"pictures of 4x4 pixels are too small for inception_v1"):
        training_memory("tsn", "inception_v1", False, 8, 7, 4, moments=1, bf16=False)
