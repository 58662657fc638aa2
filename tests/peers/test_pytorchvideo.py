"""Our networks against pytorchvideo's of the same name: with its tensors ours give its logits.

At the networks' own widths and depths, on clips of few pixels; its heads average over all that is left of
these, and end in no softmax.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.peers import (
    CLASSES,
    TOLERANCE,
    Renames,
    distance,
    drawn,
    ours,
    random_clips,
    renamed,
)
from trainables.models.macs import model_cost
from trainables.models.modules.nonlocal_blocks import NonLocalBlock
from trainables.models.modules.x3d import SIZES

hub = pytest.importorskip(
    "pytorchvideo.models.hub",
    reason="the package pytorchvideo is not installed, or fvcore, iopath or parameterized, which it needs",
)
from pytorchvideo.layers.convolutions import create_conv_2plus1d  # noqa: E402
from pytorchvideo.layers.nonlocal_net import create_nonlocal  # noqa: E402
from pytorchvideo.models.csn import create_csn  # noqa: E402
from pytorchvideo.models.resnet import create_bottleneck_block  # noqa: E402
from pytorchvideo.models.slowfast import create_slowfast  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.long]

# Its networks that ours are not, though names suggest it: its and our parameters for 400 classes, and why
# (docs/protocol.md §4).
DIFFERENT: Mapping[str, tuple[int, tuple[str, str, bool, int], int, str]] = {
    "i3d_r50": (
        28_043_472,
        ("i3d", "resnet50", False, 8),
        46_980_944,
        "stem (5, 7, 7), a maximum over pairs of frames behind stage 1, (3, 1, 1) in every other bottleneck "
        "(Wang et al., 2018); the paper's I3D has (3, 3, 3) in each and a stem of 3 frames",
    ),
    "r2plus1d_r50": (
        28_107_600,
        ("s3d", "resnet50", True, 16),
        28_126_416,
        "stem (1, 7, 7) without a pool behind it, stage 1 strided in space, stage 2 not in time, the "
        "temporal convolution before the spatial one; our r2plus1d is torchvision's r2plus1d_18",
    ),
    "slowfast_16x8_r101_50_50": (
        53_774_808,
        ("slowfast", "resnet101", False, 64),
        62_826_968,
        "temporal convolutions in 6 of the 23 blocks of its stage 4 only (docs/protocol.md §4)",
    ),
    "csn_r101": (
        22_213_776,
        ("csn", "resnet101", True, 32),
        24_601_616,
        "the form that reduces interactions (ir-CSN): no pointwise convolution before the depthwise one; "
        "compared below with ours as identities",
    ),
    "mvit_base_16x4": (
        36_610_672,
        ("mvit_v2", "mvit_s", False, 16),
        34_537_744,
        "MViT v1, B: absolute positions, no residual pooling; ours is torchvision's MViTv2-S",
    ),
}
# The whole package has no TSN but C2D, no TAM, TSM, S3D with Inception or bLResNet, and no Swin.

BLOCKS: Renames = [
    (r"branch1_conv\.", "downsample.conv."),
    (r"branch1_norm\.", "downsample.bn."),
    *((rf"branch2\.conv_{a}\.", f"conv{n}.conv.") for n, a in enumerate("abc", start=1)),
    *((rf"branch2\.norm_{a}\.", f"conv{n}.bn.") for n, a in enumerate("abc", start=1)),
]
SLOWFAST: Renames = [
    (r"^blocks\.6\.proj\.", "fc."),
    (r"^blocks\.0\.multipathway_blocks\.0\.", "trunk.slow_stem."),
    (r"^blocks\.0\.multipathway_blocks\.1\.", "trunk.fast_stem."),
    (r"_stem\.norm\.", "_stem.bn."),
    (r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.", r"trunk.lateral.\1.conv."),
    (r"^blocks\.(\d)\.multipathway_fusion\.norm\.", r"trunk.lateral.\1.bn."),
    (
        r"^blocks\.(\d)\.multipathway_blocks\.0\.res_blocks\.",
        lambda found: f"trunk.slow.{int(found[1]) - 1}.",
    ),
    (
        r"^blocks\.(\d)\.multipathway_blocks\.1\.res_blocks\.",
        lambda found: f"trunk.fast.{int(found[1]) - 1}.",
    ),
    *BLOCKS,
]
RESNET: Renames = [
    (r"^blocks\.5\.proj\.", "fc."),
    (r"^blocks\.0\.conv\.", "trunk.conv1.conv."),
    (r"^blocks\.0\.norm\.", "trunk.conv1.bn."),
    (r"^blocks\.(\d)\.res_blocks\.", r"trunk.layer\1."),
    *BLOCKS,
]
CSN: Renames = [*RESNET, (r"\.conv2\.", ".conv2.depthwise.")]
S3D: Renames = [
    (r"branch2\.conv_b\.conv_xy\.", "conv2.conv."),
    (r"branch2\.conv_b\.norm\.", "conv2.bn."),
    (r"branch2\.conv_b\.conv_t\.", "conv2.temporal_conv."),
    (r"branch2\.norm_b\.", "conv2.temporal_bn."),
    *RESNET,
]


def x3d_renames(backbone: str) -> Renames:
    """Its blocks are numbered by stage, ours through; its stem calls the spatial convolution conv_t."""
    depths = SIZES[backbone].depths

    def block(found: re.Match[str]) -> str:
        return f"trunk.blocks.{sum(depths[: int(found[1]) - 1]) + int(found[2])}."

    return [
        (r"^blocks\.5\.proj\.", "fc."),
        (r"^blocks\.5\.pool\.pre_conv\.", "trunk.last.conv."),
        (r"^blocks\.5\.pool\.pre_norm\.", "trunk.last.bn."),
        (r"^blocks\.5\.pool\.post_conv\.", "trunk.features."),
        (r"^blocks\.0\.conv\.conv_t\.", "trunk.stem.0."),
        (r"^blocks\.0\.conv\.conv_xy\.", "trunk.stem.1.conv."),
        (r"^blocks\.0\.norm\.", "trunk.stem.1.bn."),
        (r"^blocks\.(\d)\.res_blocks\.(\d+)\.", block),
        # The first block of all changes the size and not the channels: a shortcut without normalisation.
        (r"blocks\.0\.branch1_conv\.", "blocks.0.shortcut."),
        (r"branch1_conv\.", "shortcut.conv."),
        (r"branch1_norm\.", "shortcut.bn."),
        (r"branch2\.conv_a\.", "expand.conv."),
        (r"branch2\.norm_a\.", "expand.bn."),
        (r"branch2\.conv_b\.", "spread.conv."),
        (r"branch2\.norm_b\.0\.", "spread.bn."),
        (r"branch2\.norm_b\.1\.block\.0\.", "gate.squeeze."),
        (r"branch2\.norm_b\.1\.block\.2\.", "gate.excite."),
        (r"branch2\.conv_c\.", "reduce.conv."),
        (r"branch2\.norm_c\.", "reduce.bn."),
    ]


def logits_of(network: nn.Module, clips: Callable[[], Any]) -> Tensor:
    """The peer's logits, once it has values; `clips` makes its input anew, for it may write into a list."""
    drawn(network, lambda: network(clips()))
    with torch.no_grad():
        logits: Tensor = network(clips())
    return logits


@pytest.mark.parametrize(
    ("build", "module", "backbone", "alpha"),
    [
        (hub.slowfast_r50, "slowfast", "resnet50", 4),
        (hub.slowfast_r101, "slowfast", "resnet101", 4),
        # The hub has no 4x16: the builder with the authors' alpha and lateral convolutions of it.
        (
            partial(
                create_slowfast,
                slowfast_fusion_conv_kernel_size=(5, 1, 1),
                slowfast_fusion_conv_stride=(8, 1, 1),
            ),
            "slowfast_4x16",
            "resnet50",
            8,
        ),
    ],
)
def test_slowfast(build: Callable[..., nn.Module], module: str, backbone: str, alpha: int) -> None:
    """Both get every alpha-th frame for the slow pathway; its tutorials spread these by linspace."""
    torch.manual_seed(0)
    frames, network = 32, build(head_pool=nn.AdaptiveAvgPool3d)
    clips = random_clips(frames, 64)
    theirs = logits_of(network, lambda: [clips[:, :, ::alpha], clips])
    model = ours(module, backbone, frames, renamed(network.state_dict(), SLOWFAST))
    with torch.no_grad():
        assert distance(model(clips), theirs) < TOLERANCE


@pytest.mark.parametrize("backbone", ["x3d_m", "x3d_l"])
def test_x3d(backbone: str) -> None:
    torch.manual_seed(0)
    frames, network = 16, getattr(hub, backbone)(head_activation=None)
    network.blocks[5].pool.pool = nn.AdaptiveAvgPool3d(1)  # its own has one size
    clips = random_clips(frames, 64)
    theirs = logits_of(network, lambda: clips)
    model = ours("x3d", backbone, frames, renamed(network.state_dict(), x3d_renames(backbone)))
    with torch.no_grad():
        assert distance(model(clips), theirs) < TOLERANCE


def with_identities(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ir-CSN's tensors, and before each depthwise one a pointwise one and a norm that change nothing."""
    added: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not name.endswith(".depthwise.conv.weight"):
            continue
        mixing, width = name.replace(".depthwise.conv.weight", ".mixing."), len(tensor)
        added[f"{mixing}conv.weight"] = torch.eye(width)[..., None, None, None]
        added[f"{mixing}bn.weight"] = torch.full((width,), (1 + 1e-5) ** 0.5)
        added[f"{mixing}bn.running_var"] = torch.ones(width)
        added[f"{mixing}bn.bias"] = added[f"{mixing}bn.running_mean"] = torch.zeros(width)
        added[f"{mixing}bn.num_batches_tracked"] = torch.tensor(0)
    return {**state, **added}


def test_csn_is_its_own_where_interactions_are_reduced() -> None:
    torch.manual_seed(0)
    frames, network = 16, hub.csn_r101(head_pool=nn.AdaptiveAvgPool3d)
    clips = random_clips(frames, 64)
    theirs = logits_of(network, lambda: clips)
    state = with_identities(renamed(network.state_dict(), CSN))
    model = ours("csn", "resnet101", frames, state, pooled=True)
    with torch.no_grad():
        assert distance(model(clips), theirs) < TOLERANCE


def test_c2d_without_its_pool_over_time_is_tsn() -> None:
    torch.manual_seed(0)
    frames, network = 8, hub.c2d_r50(head_pool=nn.AdaptiveAvgPool3d)
    del network.blocks[2]
    clips = random_clips(frames, 64)
    theirs = logits_of(network, lambda: clips)
    state = renamed(network.state_dict(), RESNET)
    flat = {name: tensor.squeeze(2) if tensor.dim() == 5 else tensor for name, tensor in state.items()}
    with torch.no_grad():
        assert distance(ours("tsn", "resnet50", frames, flat)(clips), theirs) < TOLERANCE


def whole(**settings: Any) -> nn.Module:
    """A bottleneck whose (3, 3, 3) convolution is a full one."""
    block: nn.Module = create_bottleneck_block(**{**settings, "conv_b_num_groups": 1})
    return block


def factorised(**settings: Any) -> nn.Module:
    """A bottleneck with (1, 3, 3), BN and ReLU, (3, 1, 1) in its place."""
    conv = partial(create_conv_2plus1d, conv_xy_first=True, norm=nn.BatchNorm3d, activation=nn.ReLU)
    return whole(**{**settings, "conv_b": conv})


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("bottleneck", "renames", "module"), [(whole, RESNET, "i3d"), (factorised, S3D, "s3d")]
)
def test_i3d_and_s3d_of_its_parts(
    bottleneck: Callable[..., nn.Module], renames: Renames, module: str, pooled: bool
) -> None:
    """The paper's forms, which its hub has no names for: its CSN's frame with other bottlenecks in it."""
    torch.manual_seed(0)
    frames = 16 if pooled else 8
    network = create_csn(
        model_depth=50,
        stem_pool=nn.MaxPool3d,
        stage_temporal_stride=(1, 2, 2, 2) if pooled else (1, 1, 1, 1),
        bottleneck=bottleneck,
        head_pool=nn.AdaptiveAvgPool3d,
    )
    clips = random_clips(frames, 64)
    theirs = logits_of(network, lambda: clips)
    model = ours(module, "resnet50", frames, renamed(network.state_dict(), renames), pooled=pooled)
    with torch.no_grad():
        assert distance(model(clips), theirs) < TOLERANCE


def test_non_local_blocks_but_for_their_scale() -> None:
    """It divides products by the root of the inner channels; the formula of Wang et al. (2018) does not."""
    torch.manual_seed(0)
    channels, frames = 512, 8
    block = create_nonlocal(dim_in=channels, dim_inner=channels // 2, pool_size=(1, 2, 2))
    features = torch.randn(2, channels, frames, 6, 6)
    drawn(block, lambda: block(features))
    state = renamed(block.state_dict(), [(r"^conv_", ""), (r"^norm\.", "bn.")])
    flat = {name: tensor.squeeze(2) if tensor.dim() == 5 else tensor for name, tensor in state.items()}
    for name in ("theta.weight", "theta.bias"):
        flat[name] = flat[name] / (channels // 2) ** 0.5
    mine = NonLocalBlock(channels, frames, 1e-5).eval()
    mine.load_state_dict(flat, strict=True)
    with torch.no_grad():
        theirs = block(features)
        found = mine(features.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, frames)).transpose(1, 2)
    assert distance(found, theirs) < TOLERANCE


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_called_alike_and_is_another_network(name: str) -> None:
    """Should one of them become ours, its reason is no longer true."""
    its, (module, backbone, pooled, frames), mine, _ = DIFFERENT[name]
    network = getattr(hub, name)()
    assert sum(parameter.numel() for parameter in network.parameters()) == its
    assert model_cost(module, backbone, pooled, frames, CLASSES).params == mine != its
