"""Parameters and MACs, to the last digit of the published tables."""

from __future__ import annotations

import csv

import pytest
import torch
from torch import Tensor, nn

from tests.support.architectures import architectures
from tests.support.paths import ROOT
from trainables.models import build_model
from trainables.models.macs import ModelCost, build_bare, count_macs, model_cost
from trainables.models.registry import MODULES

PUBLISHED = ROOT / "catalog" / "published" / "mini_results.csv"
CLASSES = {"mini-ssv2": 87, "mini-kinetics": 200, "mini-mit": 200}

# Reference §5: (module, backbone): trunk parameters, MACs at 8 frames without and with temporal pooling.
REFERENCE = {
    ("tsn", "inception_v1"): (5_599_904, 11_978_817_536, 6_521_725_952),
    ("tsn", "resnet18"): (11_176_512, 14_508_490_752, 7_520_780_288),
    ("tsn", "resnet50"): (23_508_032, 32_697_090_048, 14_135_984_128),
    ("tam", "inception_v1"): (5_617_328, 12_047_006_720, 6_570_863_936),
    ("tam", "resnet18"): (11_180_928, 14_530_768_896, 7_535_155_712),
    ("tam", "resnet50"): (23_547_392, 32_831_963_136, 14_213_054_464),
    ("s3d", "inception_v1"): (7_903_328, 19_778_626_560, 12_264_670_208),
    ("s3d", "resnet18"): (15_380_928, 21_329_215_488, 12_125_732_864),
    ("s3d", "resnet50"): (27_306_816, 39_517_814_784, 19_672_203_264),
    ("i3d", "inception_v1"): (12_287_264, 33_806_581_760, 21_411_353_600),
    ("i3d", "resnet18"): (33_166_272, 43_217_190_912, 22_472_425_472),
    ("i3d", "resnet50"): (46_161_344, 64_180_322_304, 29_460_135_936),
}
FEATURES = {"inception_v1": 1024, "resnet18": 512, "resnet50": 2048}


@pytest.mark.parametrize(("module", "backbone"), REFERENCE)
def test_costs_equal_the_reference(module: str, backbone: str) -> None:
    trunk, plain, pooled = REFERENCE[module, backbone]
    for classes in (87, 200):
        params = trunk + classes * (FEATURES[backbone] + 1)
        assert model_cost(module, backbone, False, 8, classes) == ModelCost(params, plain)
        assert model_cost(module, backbone, True, 8, classes) == ModelCost(params, pooled)


@pytest.mark.parametrize("frames", [16, 32, 64])
def test_macs_are_proportional_to_frames_except_where_s3d_loses_one(frames: int) -> None:
    lossy = {16: 39_712_547_840, 32: 79_580_390_400, 64: 159_316_075_520}
    for (module, backbone), (_, plain, pooled) in REFERENCE.items():
        expected = plain * frames // 8
        if (module, backbone) == ("s3d", "inception_v1"):
            expected = lossy[frames]
        assert model_cost(module, backbone, False, frames, 87).macs == expected
        assert model_cost(module, backbone, True, frames, 87).macs == pooled * frames // 8


def test_every_published_row() -> None:
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 288
    documented = 0
    for row in rows:
        pooled, frames = row["temporal_pooling"] == "True", int(row["frames"])
        cost = model_cost(row["module"], row["backbone"], pooled, frames, CLASSES[row["dataset"]])
        assert cost.params == int(row["params"]), row["source_row"]
        if (row["module"], row["backbone"], pooled) == ("i3d", "inception_v1", False):
            documented += 1
            assert cost.macs == 33_806_581_760 * frames // 8
        else:
            assert cost.macs == int(row["macs"]), row["source_row"]
    assert documented == 12


@pytest.mark.parametrize(
    ("module", "backbone", "macs256", "giga224"),
    [
        ("i3d", "resnet50", 335_309_438_976, 256.7),
        ("tam", "resnet50", 171_530_256_384, 131.3),
        ("i3d", "resnet101", 654_747_631_616, 501.3),
        ("tam", "resnet101", 327_113_768_960, 250.4),
    ],
)
def test_table_2_of_the_paper(module: str, backbone: str, macs256: int, giga224: float) -> None:
    assert model_cost(module, backbone, False, 32, 400, size=256).macs == macs256
    assert round(model_cost(module, backbone, False, 32, 400).macs / 1e9, 1) == giga224


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("module", "backbone"), [("s3d", "inception_v1"), ("tam", "resnet18"), ("i3d", "tiny")]
)
def test_extrapolation_over_frames_equals_a_direct_count(module: str, backbone: str, pooled: bool) -> None:
    for frames in (24, 64):
        direct = count_macs(build_bare(module, backbone, pooled, frames, 5), 96)
        assert model_cost(module, backbone, pooled, frames, 5, size=96).macs == direct


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("backbone", ["tiny", "resnet18", "inception_v1"])
@pytest.mark.parametrize("module", ["tam", "s3d", "i3d"])
def test_probes_count_what_real_convolutions_do(module: str, backbone: str, pooled: bool) -> None:
    model = build_model(
        module=module, backbone=backbone, temporal_pooling=pooled, frames=8, num_classes=3
    ).eval()
    counted = []

    def count(conv: nn.Module, _: object, out: Tensor) -> None:
        assert isinstance(conv, (nn.Conv2d, nn.Conv3d))
        counted.append(out.numel() * conv.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 3, 8, 40, 40))
    params = sum(parameter.numel() for parameter in model.parameters())
    assert model_cost(module, backbone, pooled, 8, 3, size=40) == ModelCost(params, sum(counted))


@pytest.mark.parametrize(("module", "pooled"), architectures("tiny"))
def test_tiny_is_tiny(module: str, pooled: bool) -> None:
    most = 1_000_000 if MODULES[module].whole else 310_000
    least = 20_000 if module == "csn" else 95_000
    assert least < model_cost(module, "tiny", pooled, 8, 8).params < most


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        model_cost("tsn", "resnet18", False, 9, 10)
    with pytest.raises(ValueError, match="unknown backbone"):
        model_cost("tsn", "resnet17", False, 8, 10)
    with pytest.raises(ValueError, match="too small for inception_v1"):
        model_cost("s3d", "inception_v1", False, 8, 10, size=8)
