"""TSN on an image model against the mean of timm's own logits of its frames.

Families at their own widths; `tests/trainables/models/test_timm_models.py` has the small ones, and what the
other modules put between a model's layers.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.support.peers import CLASSES, TOLERANCE, Renames, distance, drawn, ours, random_clips, renamed
from trainables.models.backbones.resnet import RENAMES

timm = pytest.importorskip("timm", reason="the package timm is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.long]

FRAMES = 8
# A transformer of fixed size sees 224 x 224; its positions are a table.
MODELS = [
    ("resnet50", 64),
    ("convnext_tiny", 64),
    ("efficientnet_b0", 64),
    ("mobilenetv3_large_100", 64),
    ("regnety_016", 64),
    ("densenet121", 64),
    ("swin_tiny_patch4_window7_224", 224),
    ("vit_small_patch16_224", 224),
]


def logits_of(network: nn.Module, clips: Tensor) -> Tensor:
    """The mean of its logits of all frames, once it has values."""
    frames = clips.transpose(1, 2).flatten(0, 1)
    drawn(network, lambda: network(frames))
    with torch.no_grad():
        logits: Tensor = network(frames)
    return logits.unflatten(0, (len(clips), FRAMES)).mean(dim=1)


def classifier(network: nn.Module) -> Renames:
    """timm says what its last layer is called; ours is fc."""
    name = network.pretrained_cfg["classifier"]
    return [(rf"^{name}\.", "fc.")]


@pytest.mark.parametrize(("name", "size"), MODELS)
def test_an_image_model_of_timms_as_a_backbone(name: str, size: int) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=CLASSES)
    clips = random_clips(FRAMES, size)
    theirs = logits_of(network, clips)
    state = renamed(network.state_dict(), [*classifier(network), (r"^(?!fc\.)", "trunk.network.")])
    with torch.no_grad():
        assert distance(ours("tsn", f"timm:{name}", FRAMES, state)(clips), theirs) < TOLERANCE


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_our_own_resnets(name: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=CLASSES)
    clips = random_clips(FRAMES, 64)
    theirs = logits_of(network, clips)
    state = renamed(network.state_dict(), [(r"^(?!fc\.)", "trunk."), *RENAMES])
    with torch.no_grad():
        assert distance(ours("tsn", name, FRAMES, state)(clips), theirs) < TOLERANCE
