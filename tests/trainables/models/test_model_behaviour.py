"""What the architectures do with a clip: shapes, temporal pooling, order of frames, wiring."""

from __future__ import annotations

import itertools
import re
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from tests.support.architectures import architectures, modules_with
from trainables.models import build_model
from trainables.models.layers import TemporalPool
from trainables.models.modules.tam import TemporalAggregation
from trainables.models.registry import MODULES, why_not
from trainables.models.video_model import VideoModel


def built(
    module: str,
    backbone: str = "tiny",
    *,
    pooled: bool = False,
    frames: int = 8,
    dropout: float = 0.5,
    pooling_method: Literal["max", "avg"] = "max",
) -> VideoModel:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_model(
        module=module,
        backbone=backbone,
        temporal_pooling=pooled,
        frames=frames,
        num_classes=5,
        dropout=dropout,
        pooling_method=pooling_method,
    )
    return model.eval()


LEFT_OF_WHOLE = {"mc3": 8, "swin3d": 4}
"""Feature maps of 8 frames that networks of their own end with, where they are several."""
BLIND_TO_ORDER = {"tsn", "nonlocal"}


def random_clip(batch: int, frames: int = 8, size: int = 32) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", ["inception_v1", "resnet18", "tiny"])
@pytest.mark.parametrize("module", MODULES)
def test_logits_and_remaining_frames(module: str, backbone: str) -> None:
    loses_one = (module, backbone) == ("s3d", "inception_v1")
    for pooled, left in ((False, 7 if loses_one else 8), (True, 1)):
        if (reason := why_not(module, backbone, pooled, 8)) is not None:
            with pytest.raises(ValueError, match=re.escape(reason)):
                built(module, backbone, pooled=pooled)
            continue
        model = built(module, backbone, pooled=pooled)
        with torch.no_grad():
            features = model.features(random_clip(2))
            whole = LEFT_OF_WHOLE.get(module, 1)
            assert features.shape[:2] == (2, whole if MODULES[module].whole else left)
            assert model(random_clip(2)).shape == (2, 5)


def test_longer_clips_keep_an_eighth_of_their_frames() -> None:
    for module in modules_with("tiny", True):
        model = built(module, pooled=True, frames=16)
        with torch.no_grad():
            assert model.features(random_clip(1, frames=16)).shape[1] == 2


def test_a_clip_of_another_shape_is_refused() -> None:
    for shape in ((1, 3, 16, 32, 32), (1, 8, 3, 32, 32), (3, 8, 32, 32)):
        with pytest.raises(ValueError, match=r"takes \(N, 3, 8, H, W\)"):
            built("tsn")(torch.zeros(shape))


@torch.no_grad()
def relative_change(model: VideoModel, one: Tensor, other: Tensor) -> float:
    before, after = model(one), model(other)
    return float((before - after).abs().max() / before.std())


@pytest.mark.parametrize(("module", "pooled"), architectures("tiny"))
def test_only_tsn_and_nonlocal_without_pooling_are_blind_to_the_order_of_frames(
    module: str, pooled: bool
) -> None:
    clip = random_clip(2)
    change = relative_change(built(module, pooled=pooled), clip, clip.flip(2))
    if module in BLIND_TO_ORDER and not pooled:
        assert change < 1e-5
    else:
        assert change > 1e-3


@pytest.mark.parametrize(("module", "pooled"), architectures("tiny"))
def test_clips_of_a_batch_never_mix(module: str, pooled: bool) -> None:
    clip = random_clip(3)
    model = built(module, pooled=pooled)
    with torch.no_grad():
        together = model(clip)
        alone = torch.cat([model(clip[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_tam_equals_its_formula(layout: torch.memory_format) -> None:
    clips, frames, channels = 2, 8, 5
    layer = TemporalAggregation(channels, frames, kaiming=True)
    x = torch.randn(clips * frames, channels, 3, 4).to(memory_format=layout)
    taps = layer.taps.weight.detach().view(channels, 3)
    expected = torch.zeros_like(x)
    for clip, t, c in itertools.product(range(clips), range(frames), range(channels)):
        for tap, neighbour in enumerate((t - 1, t, t + 1)):
            if 0 <= neighbour < frames:
                expected[clip * frames + t, c] += taps[c, tap] * x[clip * frames + neighbour, c]
    torch.testing.assert_close(layer(x), expected.clamp(min=0))


@pytest.mark.parametrize("method", ["max", "avg"])
def test_temporal_pool_equals_its_definition(method: Literal["max", "avg"]) -> None:
    clips, frames = 2, 8
    x = torch.randn(clips, frames, 3, 4, 5)
    pooled = TemporalPool(frames, method)(x.flatten(0, 1)).view(clips, frames // 2, 3, 4, 5)
    for clip, t in itertools.product(range(clips), range(frames // 2)):
        window = x[clip, max(0, 2 * t - 1) : 2 * t + 2]
        expected = window.amax(0) if method == "max" else window.sum(0) / 3
        torch.testing.assert_close(pooled[clip, t], expected)


@pytest.mark.parametrize(
    ("module", "backbone"), [("tsn", "tiny"), ("tam", "resnet18"), ("i3d", "inception_v1")]
)
def test_average_pooling_cannot_halve_eight_frames_three_times(module: str, backbone: str) -> None:
    with pytest.raises(ValueError, match="use pooling_method max or at least 16 frames"):
        built(module, backbone, pooled=True, pooling_method="avg")
    built(module, backbone, pooled=False, pooling_method="avg")
    with torch.no_grad():
        built(module, backbone, pooled=True, frames=16, pooling_method="avg")(
            random_clip(1, frames=16, size=64)
        )


def test_average_pooling_turns_exactly_inceptions_trunk_pools() -> None:
    model = built("i3d", "inception_v1", pooling_method="avg")
    averages = [name for name, layer in model.named_modules() if isinstance(layer, nn.AvgPool3d)]
    maxima = [name for name, layer in model.named_modules() if isinstance(layer, nn.MaxPool3d)]
    assert averages == [f"trunk.maxpool{i}" for i in (1, 2, 3, 4)]
    assert len(maxima) == 9


def test_tams_place_in_a_block_is_the_main_path_only() -> None:
    block = built("tam").get_submodule("trunk.layer1")
    x = torch.randn(8, 16, 6, 6)
    seen = []
    block.get_submodule("conv1").register_forward_hook(lambda _, inputs, out: seen.append(inputs[0].clone()))
    block.get_submodule("downsample").register_forward_hook(
        lambda _, inputs, out: seen.append(inputs[0].clone())
    )
    block(x)
    torch.testing.assert_close(seen[0], block.get_submodule("aggregate")(x))
    torch.testing.assert_close(seen[1], x)


def test_tam_inception_aggregates_after_three_convolutions_and_nine_blocks() -> None:
    trunk = built("tam", "inception_v1").trunk
    order = [name for name, _ in trunk.named_children()]
    places = [order[i - 1] for i, name in enumerate(order) if name.startswith("aggregate")]
    blocks = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
    assert places == ["conv1", "conv2", "conv3", *(f"inception{block}" for block in blocks)]
    channels = [layer.taps.in_channels for layer in trunk.modules() if isinstance(layer, TemporalAggregation)]
    assert channels == [64, 64, 192, 256, 480, 512, 512, 512, 528, 832, 832, 1024]


def blind_in_time(model: VideoModel, flat: VideoModel) -> VideoModel:
    """Give `model` the weights of the 2D `flat`, and layers over time that look at their own frame only."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    source = flat.state_dict()
    for name, tensor in state.items():
        if ".taps." in name:
            tensor.zero_()[:, :, 1] = 1
        elif ".temporal_conv." in name:
            tensor.zero_()[:, :, 1, 0, 0] = torch.eye(len(tensor))
        elif ".temporal_bn." in name:
            tensor.fill_(1 - 1e-5 if name.endswith("var") else float(name.endswith("weight")))
        elif tensor.dim() == 5:
            tensor.zero_()[:, :, tensor.shape[2] // 2] = source[name]
        else:
            tensor.copy_(source[name])
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize(
    ("module", "backbone"), [("tam", "resnet18"), ("i3d", "resnet18"), ("i3d", "tiny"), ("s3d", "resnet50")]
)
def test_modules_blind_in_time_equal_the_plain_2d_network(module: str, backbone: str) -> None:
    flat = built("tsn", backbone)
    model = blind_in_time(built(module, backbone), flat)
    with torch.no_grad():
        torch.testing.assert_close(model(random_clip(1)), flat(random_clip(1)), rtol=1e-4, atol=1e-5)


def test_dropout_falls_on_single_frames() -> None:
    model = built("i3d", dropout=0.5).train()
    dropped = model.dropout(torch.ones(1, 8, 56))
    assert (dropped == 0).any(dim=1).logical_and((dropped != 0).any(dim=1)).any()
    assert built("tsn", dropout=0.25).dropout.p == 0.25


@pytest.mark.parametrize(("module", "pooled"), architectures("tiny"))
def test_channels_last_changes_nothing_but_speed(module: str, pooled: bool) -> None:
    model, clip = built(module, pooled=pooled), random_clip(2)
    with torch.no_grad():
        plain = model(clip)
        fast = model.to(memory_format=model.memory_format)(clip)  # type: ignore[call-overload]
    torch.testing.assert_close(plain, fast, rtol=1e-4, atol=1e-5)


def std(model: VideoModel, name: str) -> float:
    return float(model.get_parameter(name).detach().std())


def test_random_initialisation_is_as_documented() -> None:
    tam = built("tam", "resnet18")
    assert std(tam, "trunk.layer4.1.conv1.conv.weight") == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)
    assert std(tam, "trunk.layer4.1.aggregate.taps.weight") == pytest.approx((2 / 512) ** 0.5, rel=0.1)
    i3d = built("i3d", "inception_v1")
    assert std(i3d, "trunk.inception5b.branch2.1.conv.weight") == pytest.approx(
        (2 / (384 * 27)) ** 0.5, rel=0.02
    )
    assert std(i3d, "fc.weight") == pytest.approx(0.001, rel=0.1)
    assert not i3d.fc.bias.any()
    flat = built("tam", "inception_v1")
    bound = (192 * 9) ** -0.5  # PyTorch's default: uniform within 1 / sqrt(fan-in)
    weight = flat.get_parameter("trunk.inception5b.branch2.1.conv.weight").detach()
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    taps = flat.get_parameter("trunk.aggregate5b.taps.weight").detach()
    assert 0.99 < float(taps.abs().max()) <= 1


def test_the_same_seed_builds_the_same_weights() -> None:
    for module in modules_with("tiny", False):
        one, other = built(module).state_dict(), built(module).state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("backbone", "eps"), [("inception_v1", 1e-3), ("resnet18", 1e-5), ("tiny", 1e-5)])
def test_batch_norms_have_the_documented_constants(backbone: str, eps: float) -> None:
    for module in ("tsn", "s3d"):
        norms = [
            layer
            for layer in built(module, backbone).modules()
            if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d))
        ]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, 0.1)}
