"""Image models of timm as backbones: their numbers, and where that sits what is put between frames."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from orchestrator.study.cells import expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from tests.support.studies import CHAINS
from trainables.models import build_model
from trainables.models.macs import build_bare, model_cost
from trainables.models.modules.tam import TemporalAggregation
from trainables.models.modules.tsm import TemporalShift
from trainables.models.registry import backbone_info, input_statistics, why_not
from trainables.models.video_model import VideoModel
from trainables.models.weights import WeightsError, initialise_from
from trainables.recipe.plug_ins import PlugInError

timm = pytest.importorskip("timm", reason="the package timm is not installed")

CLASSES = 7
# A convolutional network, one with depthwise convolutions and linear layers, and two of tokens.
SMALL = {"test_resnet": 160, "test_convnext": 160, "test_efficientnet": 160, "test_vit": 160}
# Families whose features have other layouts: pre-activation, channels last, blocks inside stages of a class.
LAYOUTS = ("resnetv2_18", "swin_tiny_patch4_window7_224", "regnetx_002", "pvt_v2_b0", "mobilenetv3_small_050")


def built(module: str, name: str, *, pooled: bool = False, frames: int = 8) -> VideoModel:
    torch.manual_seed(3)
    return build_model(
        module=module,
        backbone=f"timm:{name}",
        temporal_pooling=pooled,
        frames=frames,
        num_classes=CLASSES,
        dropout=0.0,
    ).eval()


def timms_own(model: VideoModel, name: str) -> nn.Module:
    """timm's own model with the same weights, its classifier included."""
    own = timm.create_model(name, num_classes=CLASSES).eval()
    weights = own.state_dict()
    weights.update({key.removeprefix("network."): value for key, value in model.trunk.state_dict().items()})
    classifier = own.pretrained_cfg["classifier"]
    weights.update({f"{classifier}.{key}": value for key, value in model.fc.state_dict().items()})
    own.load_state_dict({key: value for key, value in weights.items() if not key.startswith("inserted.")})
    return own


@pytest.mark.parametrize("name", SMALL)
def test_a_still_clips_logits_and_the_parameters_are_timms_own(name: str) -> None:
    model = built("tsn", name)
    own = timms_own(model, name)
    pictures = torch.rand(2, 3, SMALL[name], SMALL[name], generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        still = model(pictures[:, :, None].expand(-1, -1, 8, -1, -1))
        expected = own(pictures)
    assert expected.std() > 1e-3
    torch.testing.assert_close(still, expected, atol=1e-4, rtol=1e-4)
    assert numbers(model) == numbers(own)
    assert model_cost("tsn", f"timm:{name}", False, 8, CLASSES, SMALL[name]).params == numbers(own)


def test_macs_are_all_products_of_timms_own_network() -> None:
    cost = model_cost("tsn", "timm:resnet18", False, 8, 1000)
    assert cost.params == 11_689_512
    assert cost.macs == 8 * (1_814_073_344 - 512 * 1000), (
        "torchvision's count, less the classifier's products"
    )


@pytest.mark.parametrize(
    ("name", "blocks"), [*zip(LAYOUTS, (8, 12, 13, 8, 12), strict=True), ("test_vit", 6)]
)
def test_frames_meet_before_each_block_and_nowhere_else(name: str, blocks: int) -> None:
    size = SMALL.get(name, 224)
    with torch.device("meta"):
        alone, shifted, model = (built_bare(module, name) for module in ("tsn", "tsm", "tam"))
        assert model(torch.zeros(2, 3, 8, size, size)).shape == (2, CLASSES)
    layers = [one for one in model.modules() if isinstance(one, TemporalAggregation)]
    assert len(layers) == blocks and all(one.frames == 8 for one in layers)
    assert sum(isinstance(one, TemporalShift) for one in shifted.modules()) == blocks
    added = sum(one.numel() for layer in layers for one in layer.parameters())
    assert numbers(model) == numbers(alone) + added == numbers(shifted) + added


def built_bare(module: str, name: str) -> VideoModel:
    """The model without values."""
    return build_bare(module, f"timm:{name}", False, 8, CLASSES).eval()


def numbers(model: nn.Module) -> int:
    return sum(one.numel() for one in model.parameters())


def test_the_shortcut_of_a_block_does_not_see_what_is_put_in_front_of_it() -> None:
    model = built("tam", "test_resnet")
    block = model.trunk.network.layer1[0]
    reads: dict[str, Tensor] = {}
    block.register_forward_pre_hook(lambda _, args: reads.update(block=args[0]))
    # A later hook sees what the one in front of it has made.
    block.conv1.register_forward_pre_hook(lambda _, args: reads.update(main=args[0]))
    with torch.no_grad():
        model(torch.rand(1, 3, 8, 64, 64))
    aggregation = model.trunk.inserted[0].layer
    with torch.no_grad():
        torch.testing.assert_close(reads["main"], aggregation(reads["block"]))
    assert not torch.equal(reads["main"], reads["block"])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_shift_moves_channels_between_neighbouring_frames_alone(name: str) -> None:
    """Tokens have their channels last: a shift of positions in their place would be another one."""
    model = built("tsm", name)
    clip = torch.rand(1, 3, 8, SMALL[name], SMALL[name], requires_grad=True)
    first_hook = model.trunk.inserted[0]
    seen: list[Tensor] = []
    first_hook.register_forward_hook(lambda _, args, out: seen.extend((args[0], out)))
    model(clip)
    before, after = seen
    channels = before.shape[-1] if name == "test_vit" else before.shape[1]
    fold = channels // 8
    moved = before.movedim(-1, 1) if name == "test_vit" else before
    shifted = after.movedim(-1, 1) if name == "test_vit" else after
    torch.testing.assert_close(shifted[:-1, :fold], moved[1:, :fold])
    torch.testing.assert_close(shifted[1:, fold : 2 * fold], moved[:-1, fold : 2 * fold])
    torch.testing.assert_close(shifted[:, 2 * fold :], moved[:, 2 * fold :])


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "swin_tiny_patch4_window7_224"])
def test_temporal_pooling_halves_the_clip_three_times_between_stages(name: str) -> None:
    model = built("tam", name, pooled=True, frames=16)
    lengths = [one.frames for one in model.modules() if isinstance(one, TemporalAggregation)]
    assert lengths[0] == 16 and lengths[-1] == 2 and sorted(set(lengths)) == [2, 4, 8, 16]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_a_pooled_clip_comes_out_at_an_eighth_of_its_length(name: str) -> None:
    model = built("tam", name, pooled=True, frames=16)
    with torch.no_grad():
        assert model.features(torch.rand(2, 3, 16, 64, 64)).shape[:2] == (2, 2)


def test_a_copy_has_layers_of_its_own() -> None:
    model = built("tam", "test_resnet")
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        expected = model(clip)
        twin = copy.deepcopy(model)
        for one in model.trunk.inserted.parameters():
            one.zero_()
        torch.testing.assert_close(twin(clip), expected)


def test_weights_are_the_same_whether_the_model_was_looked_at_before_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainables.models.backbones import timm_models

    look = timm_models._Pass.run

    def look_and_draw(seen: timm_models._Pass, pictures: Tensor) -> object:
        torch.rand(1, device="cpu")
        return look(seen, pictures)

    monkeypatch.setattr(timm_models._Pass, "run", look_and_draw)
    timm_models.structure_of.cache_clear()
    first, second = built("tam", "test_resnet").state_dict(), built("tam", "test_resnet").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("part", "shape", "channels", "channels_last"),
    [
        (nn.Conv2d(6, 8, 1), (2, 6, 5, 5), 6, False),
        (nn.BatchNorm2d(6), (2, 6, 5, 5), 6, False),
        (timm.layers.LayerNorm2d(6), (2, 6, 5, 5), 6, False),
        (nn.LayerNorm(6), (2, 5, 5, 6), 6, True),
        (nn.Linear(6, 8), (2, 5, 5, 6), 6, True),
        (nn.Linear(6, 8), (2, 25, 6), 6, True),
        (nn.ReLU(), (2, 6, 5, 5), 6, False),
        (nn.Linear(6, 8), (2, 6), -1, True),
        (nn.Conv2d(6, 8, 1), (2, 5, 5, 6), -1, False),
    ],
)
def test_a_layer_says_which_axis_its_channels_are(
    part: nn.Module, shape: tuple[int, ...], channels: int, channels_last: bool
) -> None:
    from trainables.models.backbones.timm_models import Place, _place

    assert _place("layer", part, torch.zeros(shape)) == Place("layer", channels, channels_last, 0)


@pytest.mark.parametrize(
    ("module", "name", "pooled", "says"),
    [
        (
            "tam",
            "densenet121",
            False,
            "timm:densenet121: no layer reads the input of its block features.denseblock1",
        ),
        ("tam", "repvgg_a0", False, "2 layers read the input of its block stages.0.0"),
        ("tsn", "test_vit", True, "with temporal pooling with backbone timm:test_vit: it has no stage"),
        # Its stages end inside a block, where pooling would leave the block's shortcut at the old length.
        ("tsn", "xception41", True, "timm:xception41: it has no stage that timm names of 1/4"),
        ("i3d", "test_resnet", False, "module i3d does not exist with backbone timm:test_resnet"),
        ("nonlocal", "test_resnet", False, "module nonlocal does not exist with backbone timm:test_resnet"),
    ],
)
def test_what_cannot_be_done_is_said_at_plan_time(module: str, name: str, pooled: bool, says: str) -> None:
    assert says in (why_not(module, f"timm:{name}", pooled, 8) or "")
    text = CHAINS.replace("[tsn, tam]", f"[{module}]").replace("[tiny]", f"['timm:{name}']")
    text = text.replace("frames: [8, 16]", f"frames: [8]\n  temporal_pooling: [{str(pooled).lower()}]")
    with pytest.raises(StudyError, match=r"axes\.module: module"):
        parse_study(text, "study")


@pytest.mark.parametrize(("name", "found"), [("stages.1", 3), ("stages.1.act", 0)])
def test_a_stage_is_a_part_of_the_network_or_of_a_list_of_these(name: str, found: int) -> None:
    from trainables.models.backbones.timm_models import _Pass

    network = nn.Module()
    told = [{"module": name, "reduction": reduction, "num_chs": 6} for reduction in (4, 8, 16)]
    network.feature_info = told  # type: ignore[assignment]
    stages, why = _Pass(network, outputs={name: torch.zeros(2, 6, 4, 4)}).stages()
    assert len(stages) == found and bool(why) is not bool(found)


def test_every_model_can_be_a_backbone_of_tsn() -> None:
    assert all(
        why_not("tsn", f"timm:{name}", False, 8) is None for name in ("densenet121", "repvgg_a0", "vgg11")
    )


def test_a_study_names_a_model_of_timms_and_its_cells_are_called_so() -> None:
    study = parse_study(CHAINS.replace("[tiny]", "['timm:test_resnet']"), "study")
    names = [cell.name for cell in expand(study)]
    assert names[0] == "TSN-timm:test_resnet-f8@synthetic-motion"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("test_resnt", r"timm has no such image model; did you mean timm:test_resnet\?"),
        ("test_resnet.of_nobody", r"timm's weights of it: r160_in1k"),
    ],
)
def test_an_unknown_model_is_told_with_the_closest_one(name: str, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        parse_study(CHAINS.replace("[tiny]", f"['timm:{name}']"), "study")


def test_pictures_are_normalised_as_timm_says() -> None:
    config = timm.get_pretrained_cfg("vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert input_statistics("tsn", "timm:vit_base_patch16_224") == (config.mean, config.std)
    assert config.mean == (0.5, 0.5, 0.5)
    assert backbone_info("timm:convnext_tiny.fb_in1k").weights_file == "convnext_tiny.fb_in1k.safetensors"


def test_without_timm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.models.backbones import timm_models

    timm_models._config.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(StudyError, match=r"need the package timm; .*; pip install 'actiongrid\[timm\]'"):
        parse_study(CHAINS.replace("[tiny]", "['timm:test_resnet']"), "study")
    with pytest.raises(PlugInError):
        backbone_info("timm:test_resnet")


@pytest.fixture
def published(tmp_path: Path) -> dict[str, Tensor]:
    """A file of weights where timm's would lie; returns what it holds."""
    from safetensors.torch import save_file

    torch.manual_seed(11)
    state: dict[str, Tensor] = timm.create_model("test_resnet").state_dict()
    save_file(state, tmp_path / "test_resnet.r160_in1k.safetensors")
    return state


@pytest.mark.parametrize("module", ["tsn", "tam"])
def test_weights_are_timms_own_and_the_rest_is_named(
    module: str, published: dict[str, Tensor], tmp_path: Path
) -> None:
    model = built(module, "test_resnet")
    fresh = initialise_from("imagenet", model, (module, "timm:test_resnet"), str(tmp_path), "repeat")
    state = model.state_dict()
    assert all(
        torch.equal(state[f"trunk.network.{name}"], tensor)
        for name, tensor in published.items()
        if not name.startswith("fc.")
    )
    assert {name.split(".")[0] for name in fresh} == ({"fc"} if module == "tsn" else {"fc", "trunk"})
    assert all(name.startswith(("fc.", "trunk.inserted.")) for name in fresh)


def test_weights_of_another_network_are_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "test_resnet.r160_in1k.safetensors").rename(tmp_path / "test_convnext.r160_in1k.safetensors")
    model = built("tsn", "test_convnext")
    with pytest.raises(WeightsError, match="do not fit this network"):
        initialise_from("imagenet", model, ("tsn", "timm:test_convnext"), str(tmp_path), "repeat")


def test_weights_that_cannot_be_had_are_told_at_plan_time(
    published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.planning.storage_plan import pretrained_weights, weights_problems
    from trainables.models.backbones import timm_models

    def offline(_: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm_models, "ask_for_weights", offline)
    monkeypatch.setattr(timm_models, "cached_weights", lambda _: None)
    text = CHAINS.replace("[tiny]", "['timm:test_resnet']").replace("init: random", "init: imagenet")
    wanted = pretrained_weights(expand(parse_study(text, "study")))
    assert weights_problems(wanted, str(tmp_path)) == {}
    (problem,) = weights_problems(wanted, None).values()
    assert "ImageNet weights test_resnet.r160_in1k.safetensors not found" in problem
    assert "Hugging Face does not give it (OSError: no network)" in problem
    (at_run,) = weights_problems(wanted, None, download=True).values()
    assert "the download failed too (OSError: no network)" in at_run
