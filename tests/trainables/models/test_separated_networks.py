"""CSN and X3D, networks of depthwise 3D convolutions, against the figures that are printed of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.models import build_model
from trainables.models.macs import model_cost
from trainables.models.modules.x3d import Block, rounded

# Classes 400; millions of parameters, 10^9 MACs of one clip, and where they are printed.
PRINTED = [
    ("x3d_m", 16, 224, 3.8, 4.73),  # Feichtenhofer (2020), Table 1 and the authors' model zoo
    ("x3d_m", 16, 256, 3.8, 6.2),  # the same, Table 3
    ("x3d_l", 16, 312, 6.1, 18.37),  # the model zoo
    ("x3d_l", 16, 356, 6.1, 24.8),  # the paper's Table 2
]


@pytest.mark.parametrize(("backbone", "frames", "size", "millions", "giga"), PRINTED)
def test_x3d_costs_what_is_printed(
    backbone: str, frames: int, size: int, millions: float, giga: float
) -> None:
    cost = model_cost("x3d", backbone, False, frames, 400, size)
    assert cost.params / 1e6 == pytest.approx(millions, abs=0.06)  # printed: cut for L, rounded for M
    digits = 2 if giga in (4.73, 18.37) else 1
    assert round(cost.macs / 1e9, digits) == giga


def test_csn_costs_what_is_printed() -> None:
    """Tran et al. (2019), Table 7: ip-CSN-101 takes 83.0 G (the paper's Table 2: 83 G) and 24.5 M weights."""
    cost = model_cost("csn", "resnet101", True, 32, 400, 256)
    assert round(cost.macs / 1e9, 1) == 83.0
    with torch.device("meta"):
        model = build_model(
            module="csn", backbone="resnet101", temporal_pooling=True, frames=32, num_classes=400
        )
    norms = (layer for layer in model.modules() if isinstance(layer, _BatchNorm))
    of_norms = sum(parameter.numel() for norm in norms for parameter in norm.parameters())
    assert round((cost.params - of_norms) / 1e6, 1) == 24.5


def test_channels_meet_only_at_single_points() -> None:
    model = build_model(module="csn", backbone="tiny", temporal_pooling=False, frames=8, num_classes=3)
    stem = model.trunk.get_submodule("conv1")
    convs = [layer for layer in model.trunk.modules() if isinstance(layer, nn.Conv3d)]
    wide = [one for one in convs if one.kernel_size != (1, 1, 1) and one not in set(stem.modules())]
    assert wide and all(one.groups == one.in_channels == one.out_channels for one in wide)


def test_every_other_block_is_gated_and_widths_are_multiples_of_eight() -> None:
    with torch.device("meta"):
        model = build_model(module="x3d", backbone="x3d_m", temporal_pooling=False, frames=16, num_classes=3)
    blocks = [layer for layer in model.modules() if isinstance(layer, Block)]
    gated = [not isinstance(block.gate, nn.Identity) for block in blocks]
    stages = (3, 5, 11, 7)
    assert gated == [index % 2 == 0 for depth in stages for index in range(depth)]
    assert [rounded(width) for width in (3.4, 6.75, 13.5, 20.0, 27.0)] == [8, 8, 16, 24, 32]


def test_x3d_takes_the_mean_over_time_before_its_last_nonlinearity() -> None:
    torch.manual_seed(0)
    model = build_model(module="x3d", backbone="tiny", temporal_pooling=False, frames=8, num_classes=3).eval()
    with torch.no_grad():
        assert model.features(torch.randn(2, 3, 8, 32, 32)).shape == (2, 1, 256)
        long = build_model(module="x3d", backbone="tiny", temporal_pooling=False, frames=16, num_classes=3)
        long.load_state_dict(model.state_dict(), strict=True)
