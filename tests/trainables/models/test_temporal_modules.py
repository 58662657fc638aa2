"""The temporal modules of the paper's §6.3 and Figure 7, each against its formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainables.models import build_model
from trainables.models.layers import SqueezeExcitation
from trainables.models.macs import model_cost
from trainables.models.modules.conv import TemporalConvolution
from trainables.models.modules.nonlocal_blocks import NonLocalBlock, spread
from trainables.models.modules.tam import TemporalAggregation
from trainables.models.modules.tsm import TemporalShift
from trainables.models.video_model import VideoModel

CLIPS, FRAMES = 2, 4


def features(channels: int, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    drawn = torch.randn(CLIPS * FRAMES, channels, 4, 6, generator=torch.Generator().manual_seed(0))
    return drawn.to(memory_format=layout)


def by_clip(x: Tensor) -> Tensor:
    return x.view(CLIPS, FRAMES, *x.shape[1:])


def built(module: str, backbone: str, pooled: bool = False) -> VideoModel:
    torch.manual_seed(0)
    return build_model(
        module=module, backbone=backbone, temporal_pooling=pooled, frames=8, num_classes=5
    ).eval()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_shift_moves_an_eighth_of_the_channels_each_way(layout: torch.memory_format) -> None:
    x = features(16, layout)
    before, after = by_clip(x), by_clip(TemporalShift(FRAMES)(x))
    for clip in range(CLIPS):
        for t in range(FRAMES):
            later = before[clip, t + 1] if t + 1 < FRAMES else torch.zeros_like(before[0, 0])
            earlier = before[clip, t - 1] if t else torch.zeros_like(before[0, 0])
            assert torch.equal(after[clip, t, :2], later[:2])
            assert torch.equal(after[clip, t, 2:4], earlier[2:4])
            assert torch.equal(after[clip, t, 4:], before[clip, t, 4:])


def test_a_shift_leaves_its_input_alone_and_keeps_its_layout() -> None:
    x = features(8, torch.channels_last)
    kept = x.clone()
    assert TemporalShift(FRAMES)(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, kept)


def test_a_shift_costs_nothing() -> None:
    assert model_cost("tsm", "resnet50", False, 8, 400) == model_cost("tsn", "resnet50", False, 8, 400)
    assert round(model_cost("tsm", "resnet50", False, 8, 400).params / 1e6, 1) == 24.3  # Lin et al., Table 2


def test_a_temporal_convolution_sees_all_channels_of_three_frames() -> None:
    layer, x = TemporalConvolution(6, FRAMES, kaiming=True), features(6)
    padded = torch.cat([torch.zeros(CLIPS, 1, 6, 4, 6), by_clip(x), torch.zeros(CLIPS, 1, 6, 4, 6)], dim=1)
    taps = layer.taps.weight[..., 0]
    expected = sum(torch.einsum("oi,ntihw->ntohw", taps[..., k], padded[:, k : k + FRAMES]) for k in range(3))
    torch.testing.assert_close(by_clip(layer(x)), expected.clamp(min=0))  # type: ignore[union-attr]


@pytest.mark.parametrize(("backbone", "inputs"), [("resnet18", (64, 64, 64, 128, 128, 256, 256, 512))])
def test_temporal_convolutions_stand_where_tam_aggregates(backbone: str, inputs: tuple[int, ...]) -> None:
    added = model_cost("conv", backbone, False, 8, 5).params - model_cost("tsn", backbone, False, 8, 5).params
    assert added == 3 * sum(channels**2 for channels in inputs)


def test_a_non_local_block_equals_its_formula() -> None:
    torch.manual_seed(0)
    block, x = NonLocalBlock(8, FRAMES, 1e-5).eval(), features(8)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    theta, phi, g = block.theta(x), block.phi(block.pool(x)), block.g(block.pool(x))
    found = torch.empty_like(theta)
    for clip in range(CLIPS):
        own = slice(clip * FRAMES, (clip + 1) * FRAMES)
        query, key, value = (one[own].permute(0, 2, 3, 1).reshape(-1, 4) for one in (theta, phi, g))
        places = torch.softmax(query @ key.T, dim=1) @ value
        found[own] = places.view(FRAMES, 4, 6, 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(block(x), x + block.bn(block.out(found)))


def test_non_local_blocks_start_as_the_identity_and_stand_in_two_stages() -> None:
    flat, model = built("tsn", "resnet50"), built("nonlocal", "resnet50")
    state = model.state_dict()
    model.load_state_dict(state | dict(flat.state_dict()))
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(clip), flat(clip))
    names = [name for name, layer in model.named_modules() if isinstance(layer, NonLocalBlock)]
    assert names == [f"trunk.layer2.{one}.after" for one in (0, 1, 3)] + [
        f"trunk.layer3.{one}.after" for one in (2, 5)
    ]


def test_non_local_blocks_are_counted() -> None:
    by_block = {
        channels: 4 * channels * (channels // 2) + 3 * channels // 2 + 3 * channels
        for channels in (512, 1024)
    }
    more = (
        model_cost("nonlocal", "resnet50", False, 8, 5).params
        - model_cost("tsn", "resnet50", False, 8, 5).params
    )
    assert more == 3 * by_block[512] + 2 * by_block[1024]


@pytest.mark.parametrize(
    ("wanted", "blocks", "chosen"),
    [(3, 4, {0, 1, 3}), (2, 6, {2, 5}), (2, 23, {10, 22}), (3, 2, {0, 1}), (2, 1, {0}), (0, 3, set())],
)
def test_blocks_are_spread_evenly(wanted: int, blocks: int, chosen: set[int]) -> None:
    assert spread(wanted, blocks) == chosen


@pytest.mark.parametrize(
    ("module", "places"),
    [
        ("tam", range(8)),
        ("tam_top_half", range(4, 8)),
        ("tam_bottom_half", range(4)),
        ("tam_uniform_half", range(0, 8, 2)),
    ],
)
def test_table_6_places_its_aggregations(module: str, places: range) -> None:
    model = built(module, "resnet18")
    blocks = [f"trunk.layer{stage}.{block}.aggregate" for stage in (1, 2, 3, 4) for block in (0, 1)]
    found = [name for name, layer in model.named_modules() if isinstance(layer, TemporalAggregation)]
    assert found == [blocks[place] for place in places]


def test_squeeze_excitation_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer, x = SqueezeExcitation(32, 2), torch.randn(2, 32, 4, 5, 6)
    mean = x.mean(dim=(2, 3, 4))
    inner = (mean @ layer.squeeze.weight[:, :, 0, 0, 0].T + layer.squeeze.bias).clamp(min=0)
    weights = torch.sigmoid(inner @ layer.excite.weight[:, :, 0, 0, 0].T + layer.excite.bias)
    torch.testing.assert_close(layer(x), x * weights[:, :, None, None, None])


def test_squeeze_excitation_adds_what_its_paper_says() -> None:
    more = (
        model_cost("i3d_se", "resnet50", False, 8, 400).params
        - model_cost("i3d", "resnet50", False, 8, 400).params
    )
    by_width = {256: 3, 512: 4, 1024: 6, 2048: 3}
    # Hu et al., eq. 5 (2/r sum of N C^2), and the biases of both layers.
    assert more == sum(n * (2 * c * c // 16 + c // 16 + c) for c, n in by_width.items())
    assert round(more / 1e6, 1) == 2.5


def test_squeeze_excitation_comes_before_the_sum() -> None:
    block = built("i3d_se", "tiny").get_submodule("trunk.layer1")
    seen: dict[str, Tensor] = {}
    block.get_submodule("recalibration").register_forward_hook(
        lambda _, x, out: seen.update(main=out.clone())
    )
    block.get_submodule("downsample").register_forward_hook(
        lambda _, x, out: seen.update(shortcut=out.clone())
    )
    with torch.no_grad():
        out = block(torch.randn(1, 16, 8, 6, 6))
    torch.testing.assert_close(out, (seen["main"] + seen["shortcut"]).relu())


def test_the_original_i3d_halves_the_clip_in_its_stem_and_its_last_pools() -> None:
    model = build_model(
        module="i3d_2017", backbone="inception_v1", temporal_pooling=True, frames=16, num_classes=5
    ).eval()
    lengths: dict[str, tuple[int, ...]] = {}
    for name in ("conv1", "maxpool1", "conv3", "maxpool2", "inception3b", "inception4e", "inception5b"):
        model.get_submodule(f"trunk.{name}").register_forward_hook(
            lambda _, x, out, name=name: lengths.update({name: tuple(out.shape[2:])})  # type: ignore[misc]
        )
    with torch.no_grad():
        model(torch.randn(1, 3, 16, 224, 224))
    assert lengths == {
        "conv1": (8, 112, 112),
        "maxpool1": (8, 56, 56),
        "conv3": (8, 56, 56),
        "maxpool2": (8, 28, 28),
        "inception3b": (8, 28, 28),
        "inception4e": (4, 14, 14),
        "inception5b": (2, 7, 7),
    }
