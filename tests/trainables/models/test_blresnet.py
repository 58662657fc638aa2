"""Big-little ResNet against its printed figures, and where its branches meet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.models import build_model
from trainables.models.backbones.blresnet import BigLittleStage
from trainables.models.macs import model_cost
from trainables.models.registry import MODULES, why_not
from trainables.models.video_model import VideoModel


def built(module: str, *, pooled: bool = False, frames: int = 8) -> VideoModel:
    torch.manual_seed(0)
    model = build_model(
        module=module, backbone="blresnet50", temporal_pooling=pooled, frames=frames, num_classes=3
    )
    return model.eval()


def test_costs_of_a_picture_are_the_printed_ones() -> None:
    """Chen et al. (2019), Table 2: 26.69 M parameters for 1,000 classes and 2.85 G, as for TSN's 8 frames."""
    cost = model_cost("tsn", "blresnet50", False, 8, 1000)
    assert round(cost.params / 1e6, 2) == 26.69
    assert round(cost.macs / 8e9, 2) == 2.85


def test_aggregation_is_in_every_block_of_both_branches() -> None:
    tam, tsn = (model_cost(module, "blresnet50", False, 8, 3).params for module in ("tam", "tsn"))
    # Channels that blocks take in: of the big branches, the little ones, those that join, and stage 4.
    big = [64, 256, 256, 512, 512, 512, *[1024] * 4]
    others = [64, 256, 512, 256, 512, 1024, 1024, 2048, 2048]
    assert tam - tsn == 3 * sum(big + others)


def test_the_block_that_joins_counts_as_the_last_of_its_stage() -> None:
    """Of sixteen points in stages of 3, 4, 6 and 3 the first half ends with the first block of stage 3."""
    tsn, bottom = (model_cost(one, "blresnet50", False, 8, 3).params for one in ("tsn", "tam_bottom_half"))
    big, joining, little = [64, 256, 256, 512, 512, 512], [256, 512], [64, 256, 512]
    assert bottom - tsn == 3 * sum(big + joining + little)


@pytest.mark.parametrize("module", ["tsn", "tam", "tsm"])
@pytest.mark.parametrize("pooled", [False, True])
def test_pictures_become_logits(module: str, pooled: bool) -> None:
    model = built(module, pooled=pooled)
    with torch.no_grad():
        features = model.features(torch.randn(2, 3, 8, 64, 64))
    assert features.shape == (2, 1 if pooled else 8, 2048)


def test_temporal_pooling_halves_a_clip_three_times_and_no_more() -> None:
    with torch.no_grad():
        features = built("tsn", pooled=True, frames=16).features(torch.randn(1, 3, 16, 64, 64))
    assert features.shape == (1, 2, 2048)


def test_the_big_branch_sees_half_of_the_resolution_and_ends_without_a_relu() -> None:
    model, sizes, least = built("tsn"), [], []
    for stage in model.modules():
        if isinstance(stage, BigLittleStage):
            for branch in (stage.big, stage.little):
                branch.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
            stage.big.register_forward_hook(lambda _, __, out: least.append(out.min()))
    with torch.no_grad():
        model(torch.randn(1, 3, 8, 64, 64))
    assert sizes == [16, 8, 8, 4, 4, 2]  # the little branch, then the big one, by stage
    assert all(one < 0 for one in least)


def test_it_exists_for_modules_over_pictures_alone() -> None:
    for module, info in MODULES.items():
        refused = why_not(module, "blresnet50", bool(info.pools), 16) is not None
        assert refused == (info.volumetric or bool(info.backbones)), module
    assert isinstance(built("tam").trunk, nn.Sequential)
