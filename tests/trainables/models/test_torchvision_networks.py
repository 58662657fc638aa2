"""Torchvision's video networks in this project's frame: its own logits, its printed parameters and MACs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_weight

from trainables.models import build_model
from trainables.models.macs import model_cost
from trainables.models.pretrained import starting_weights
from trainables.models.registry import MODULES
from trainables.models.video_model import VideoModel
from trainables.models.weights import initialise_from

# Our axes; torchvision's weights, whose meta data print parameters and 10^9 MACs; frames and size of these.
PRINTED = [
    ("resnet3d", "resnet18", "R3D_18_Weights.KINETICS400_V1", 16, 112),
    ("mc3", "resnet18", "MC3_18_Weights.KINETICS400_V1", 16, 112),
    ("r2plus1d", "resnet18", "R2Plus1D_18_Weights.KINETICS400_V1", 16, 112),
    ("s3d_2018", "inception_v1", "S3D_Weights.KINETICS400_V1", 16, 224),
    ("swin3d", "swin_t", "Swin3D_T_Weights.KINETICS400_V1", 16, 224),
    ("swin3d", "swin_s", "Swin3D_S_Weights.KINETICS400_V1", 16, 224),
    ("swin3d", "swin_b", "Swin3D_B_Weights.KINETICS400_V1", 16, 224),
    ("mvit_v2", "mvit_s", "MViT_V2_S_Weights.KINETICS400_V1", 16, 224),
]


def built(module: str, backbone: str, frames: int, classes: int = 400) -> VideoModel:
    pools = MODULES[module].pools
    assert pools is not None
    return build_model(
        module=module, backbone=backbone, temporal_pooling=pools, frames=frames, num_classes=classes
    ).eval()


@pytest.mark.parametrize(("module", "backbone", "weights", "frames", "size"), PRINTED)
def test_costs_are_the_printed_ones(module: str, backbone: str, weights: str, frames: int, size: int) -> None:
    printed = get_weight(weights).meta
    cost = model_cost(module, backbone, bool(MODULES[module].pools), frames, 400, size)
    assert cost.params == printed["num_params"]
    assert cost.macs / 1e9 == pytest.approx(printed["_ops"], abs=0.001)  # without the classifier's 0.0004


# Sizes at which torchvision's own heads work: S3D's averages 7 x 7 places, MViT takes one length and size.
LOGITS = [
    ("resnet3d", "resnet18", "r3d_18", 16, 48, "fc"),
    ("mc3", "resnet18", "mc3_18", 8, 48, "fc"),
    ("r2plus1d", "resnet18", "r2plus1d_18", 16, 48, "fc"),
    ("s3d_2018", "inception_v1", "s3d", 24, 224, "classifier.1"),
    ("swin3d", "swin_t", "swin3d_t", 16, 64, "head"),
    ("mvit_v2", "mvit_s", "mvit_v2_s", 16, 224, "head.1"),
]


def with_weights_of(network: nn.Module, head: str, model: VideoModel) -> VideoModel:
    """The model with torchvision's tensors, which keep their names under `trunk.`, and its head's."""
    theirs = network.state_dict()
    last = {
        f"fc.{name}": theirs.pop(f"{head}.{name}").flatten(1 if name == "weight" else 0)
        for name in ("weight", "bias")
    }
    model.load_state_dict({**{f"trunk.{name}": tensor for name, tensor in theirs.items()}, **last})
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("module", "backbone", "name", "frames", "size", "head"), LOGITS)
def test_logits_are_torchvisions(
    module: str, backbone: str, name: str, frames: int, size: int, head: str
) -> None:
    torch.manual_seed(3)
    network = get_model(name).eval()
    model = with_weights_of(network, head, built(module, backbone, frames))
    clip = torch.randn(1, 3, frames, size, size)
    with torch.no_grad():
        torch.testing.assert_close(model(clip), network(clip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("module", ["swin3d", "mvit_v2"])
def test_longer_clips_start_from_the_same_tensors(module: str) -> None:
    short, long = (built(module, "tiny", frames, 5) for frames in (8, 16))
    long.load_state_dict(short.state_dict(), strict=True)
    with torch.no_grad():
        assert long(torch.randn(2, 3, 16, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize("module", ["swin3d", "mvit_v2"])
def test_transformers_see_the_order_of_frames_and_draw_nothing_at_random(module: str) -> None:
    torch.manual_seed(0)
    model = built(module, "tiny", 16, 5)
    for name, parameter in model.named_parameters():
        if "rel" in name:  # they start at, or near, zero
            nn.init.normal_(parameter, std=0.5)
    clip = torch.randn(1, 3, 16, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(model(clip), model(clip.flip(2)), atol=1e-5)
        assert torch.equal(model.train().features(clip), model.features(clip))


KINETICS_FILES = [
    ("resnet3d", "resnet18", "r3d_18"),
    ("mc3", "resnet18", "mc3_18"),
    ("r2plus1d", "resnet18", "r2plus1d_18"),
    ("s3d_2018", "inception_v1", "s3d"),
    ("swin3d", "swin_t", "swin3d_t"),
    ("mvit_v2", "mvit_s", "mvit_v2_s"),
]


@pytest.mark.parametrize(("module", "backbone", "name"), KINETICS_FILES)
def test_kinetics_weights_are_inherited_but_for_the_classifier(
    module: str, backbone: str, name: str, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    file = starting_weights("kinetics", module, backbone)
    assert file is not None
    theirs = get_model(name).state_dict()
    torch.save(theirs, tmp_path / file.name)
    model = built(module, backbone, 16, classes=7)
    fresh = initialise_from("kinetics", model, (module, backbone), str(tmp_path), "repeat")
    assert fresh == ("fc.bias", "fc.weight")
    for key, tensor in model.trunk.state_dict().items():
        assert torch.equal(tensor, theirs[key]), key
    assert starting_weights("imagenet", module, backbone) is None


def test_what_does_not_exist_is_refused() -> None:
    for module, backbone, pooled, frames, message in (
        (
            "tsn",
            "swin_t",
            False,
            8,
            "tsn does not exist with backbone swin_t; allowed: inception_v1, resnet18",
        ),
        ("swin3d", "resnet50", False, 8, "swin3d does not exist with backbone resnet50; allowed: swin_t"),
        ("resnet3d", "resnet18", False, 8, "resnet3d always pools over time"),
        ("s3d_2018", "inception_v1", True, 8, "s3d_2018 cannot see 8 frames; allowed: 16 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            build_model(
                module=module, backbone=backbone, temporal_pooling=pooled, frames=frames, num_classes=2
            )
