"""SlowFast against the figures that are printed of it, and its two pathways."""

from __future__ import annotations

import pytest
import torch

from trainables.models import build_model
from trainables.models.macs import model_cost
from trainables.models.modules.slowfast import TwoPathways
from trainables.models.video_model import VideoModel

# By the convention of docs/protocol.md §5, for 400 classes, at 256 x 256; and where it is printed.
PRINTED = [
    ("slowfast_4x16", "resnet50", 32, 34.48, 36.1),  # Feichtenhofer et al., Table 2; the authors' model zoo
    ("slowfast", "resnet50", 32, 34.57, 65.7),  # the same, and the paper's Table 2
    ("slowfast", "resnet101", 32, 62.83, 125.9),  # the model zoo's parameters; the paper's Table 2
]


@pytest.mark.parametrize(("module", "backbone", "frames", "millions", "giga"), PRINTED)
def test_costs_are_the_printed_ones(
    module: str, backbone: str, frames: int, millions: float, giga: float
) -> None:
    cost = model_cost(module, backbone, False, frames, 400, 256)
    assert round(cost.params / 1e6, 2) == millions
    assert round(cost.macs / 1e9, 1) == giga


def test_sixteen_by_eight_is_twice_eight_by_eight() -> None:
    """The paper prints 124.5 G and 213 G for ResNet50 and 101: other models' (docs/protocol.md §4)."""
    for backbone, giga in (("resnet50", 131.4), ("resnet101", 251.8)):
        assert round(model_cost("slowfast", backbone, False, 64, 400, 256).macs / 1e9, 1) == giga


def built(module: str, frames: int = 8) -> VideoModel:
    torch.manual_seed(0)
    return build_model(
        module=module, backbone="tiny", temporal_pooling=False, frames=frames, num_classes=5
    ).eval()


def test_tiny_has_one_block_a_stage() -> None:
    trunk = built("slowfast").trunk
    assert isinstance(trunk, TwoPathways)
    assert [[len(stage) for stage in pathway] for pathway in (trunk.slow, trunk.fast)] == [[1] * 4] * 2  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "alpha"), [("slowfast", 4), ("slowfast_4x16", 8)])
def test_the_slow_pathway_sees_every_alphath_frame(module: str, alpha: int) -> None:
    model = built(module, frames=16)
    trunk = model.trunk
    assert isinstance(trunk, TwoPathways)
    seen: dict[str, torch.Tensor] = {}
    trunk.slow_stem.register_forward_hook(lambda _, x, out: seen.update(slow=x[0]))
    trunk.fast_stem.register_forward_hook(lambda _, x, out: seen.update(fast=x[0]))
    clip = torch.randn(1, 3, 16, 32, 32)
    with torch.no_grad():
        model(clip)
    assert torch.equal(seen["fast"], clip)
    assert torch.equal(seen["slow"], clip[:, :, ::alpha])


def test_what_the_slow_pathway_does_not_see_reaches_it_by_the_lateral_convolutions() -> None:
    model, clip = built("slowfast"), torch.randn(1, 3, 8, 32, 32)
    other = clip.clone()
    other[:, :, 1] += 1.0
    slow = slice(0, 32 * 16)
    with torch.no_grad():
        changed = (model.features(clip) - model.features(other))[0, 0, slow].abs().max()
        for lateral in model.trunk.lateral:  # type: ignore[union-attr]
            torch.nn.init.zeros_(lateral.bn.weight)  # type: ignore[union-attr, arg-type]
        cut = (model.features(clip) - model.features(other))[0, 0, slow].abs().max()
    assert changed > 1e-4
    assert cut == 0


def test_temporal_pooling_and_other_backbones_are_refused() -> None:
    with pytest.raises(
        ValueError, match="module slowfast never pools over time; allowed: temporal_pooling false"
    ):
        build_model(module="slowfast", backbone="tiny", temporal_pooling=True, frames=8, num_classes=2)
    with pytest.raises(ValueError, match="module slowfast does not exist with backbone resnet18"):
        build_model(module="slowfast", backbone="resnet18", temporal_pooling=False, frames=8, num_classes=2)
