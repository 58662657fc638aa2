"""ImageNet initialisation, with files in torchvision's exact format (of random weights)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.support.architectures import architectures
from trainables.models import build_model
from trainables.models.pretrained import WeightsFile, starting_weights
from trainables.models.registry import BACKBONES, MODULES
from trainables.models.video_model import VideoModel
from trainables.models.weights import (
    MissingWeightsError,
    WeightsError,
    find_weights,
    inflate,
    initialise_from,
)

BN = ("bias", "num_batches_tracked", "running_mean", "running_var", "weight")
INCEPTION_BLOCKS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


def torchvision_model(backbone: str) -> nn.Module:
    torch.manual_seed(3)
    if backbone == "inception_v1":
        model = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    else:
        model = getattr(torchvision.models, backbone)(weights=None)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or (tensor.dim() == 1 and tensor.is_floating_point()):
            tensor.uniform_(0.1, 0.5)
    assert isinstance(model, nn.Module)
    return model.eval()


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for backbone in ("resnet18", "resnet50", "inception_v1"):
        name = BACKBONES[backbone].weights_file
        assert name is not None
        torch.save(torchvision_model(backbone).state_dict(), folder / name)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and a proxy that refuses: a download really fails, at once."""
    torch.set_num_threads(1)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


def built(module: str, backbone: str) -> VideoModel:
    torch.manual_seed(0)
    model = build_model(
        module=module,
        backbone=backbone,
        temporal_pooling=bool(MODULES[module].pools),
        frames=8,
        num_classes=7,
    )
    return model.eval()


PLACES = {
    "resnet18": tuple(f"layer{stage}.{block}.aggregate" for stage in (1, 2, 3, 4) for block in (0, 1)),
    "inception_v1": tuple(f"aggregate{place}" for place in ("1", "2", "3", *INCEPTION_BLOCKS)),
}
AGGREGATES = {
    "tam": slice(None),
    "conv": slice(None),
    "tam_top_half": slice(4, None),
    "tam_bottom_half": slice(4),
    "tam_uniform_half": slice(0, None, 2),
}


def aggregates(module: str, backbone: str) -> tuple[str, ...]:
    """Where there is a layer over neighbouring frames; of Inception's twelve places six are a half."""
    part = AGGREGATES.get(module, slice(0))
    if backbone == "inception_v1":
        part = slice(*(6 if one == 4 else one for one in (part.start, part.stop, part.step)))
    return PLACES[backbone][part]


def not_inherited(module: str, backbone: str) -> set[str]:
    """The documented list, written out from the layers' places."""
    names = {"fc.weight", "fc.bias"}
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    names |= {f"trunk.{place}.taps.weight" for place in aggregates(module, backbone)}
    if module == "s3d":
        units = [f"{block}.conv{i}" for block in blocks for i in (1, 2)]
        if backbone == "inception_v1":
            branches = [f"inception{block}.branch{i}.1" for block in INCEPTION_BLOCKS for i in (2, 3)]
            units = ["conv3", *branches]
            names |= {f"trunk.{unit}.temporal_conv.bias" for unit in units}
        names |= {f"trunk.{unit}.temporal_conv.weight" for unit in units}
        names |= {f"trunk.{unit}.temporal_bn.{part}" for unit in units for part in BN}
    elif module == "nonlocal":
        after = [f"trunk.layer{stage}.{block}.after" for stage in (2, 3) for block in (0, 1)]
        convs = ("theta", "phi", "g", "out")
        names |= {f"{one}.{conv}.{part}" for one in after for conv in convs for part in ("weight", "bias")}
        names |= {f"{one}.bn.{part}" for one in after for part in BN}
    elif module == "i3d_se":
        layers = [f"trunk.{block}.recalibration.{one}" for block in blocks for one in ("squeeze", "excite")]
        names |= {f"{one}.{part}" for one in layers for part in ("weight", "bias")}
    return names


WITH_IMAGENET = [
    (module, backbone)
    for backbone in ("resnet18", "inception_v1")
    for module, pooled in architectures(backbone)
    if pooled == bool(MODULES[module].pools) and not MODULES[module].scratch
]


@pytest.mark.parametrize(("module", "backbone"), WITH_IMAGENET)
def test_all_but_the_documented_tensors_are_inherited(module: str, backbone: str, weights_dir: Path) -> None:
    model = built(module, backbone)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fresh = initialise_from("imagenet", model, (module, backbone), str(weights_dir), "repeat")
    assert fresh == tuple(sorted(not_inherited(module, backbone)))
    for name, tensor in model.state_dict().items():
        unchanged = torch.equal(tensor, before[name])
        assert unchanged == (name in fresh or name.endswith("num_batches_tracked")), name


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "inception_v1"])
def test_tsn_computes_what_torchvisions_network_computes(backbone: str, weights_dir: Path) -> None:
    model, reference = built("tsn", backbone), torchvision_model(backbone)
    initialise_from("imagenet", model, ("tsn", backbone), str(weights_dir), "repeat")
    reference.fc = model.fc
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected = torch.stack([reference(clip[:, :, t]) for t in range(8)]).mean(0)
        torch.testing.assert_close(model(clip), expected, rtol=1e-4, atol=1e-4)


def loaded_tensor(model: VideoModel, name: str) -> Tensor:
    return model.state_dict()[name]


def test_inflation_repeats_and_leaves_statistics_alone(weights_dir: Path) -> None:
    source = torchvision_model("resnet18").state_dict()
    i3d, s3d, divided = built("i3d", "resnet18"), built("s3d", "resnet18"), built("i3d", "resnet18")
    for model, method in ((i3d, "repeat"), (s3d, "repeat"), (divided, "divide")):
        initialise_from("imagenet", model, ("tsn", "resnet18"), str(weights_dir), method)  # type: ignore[arg-type]
    ours, theirs = "trunk.layer2.1.conv1.conv.weight", "layer2.1.conv1.weight"
    for t in range(3):
        assert torch.equal(loaded_tensor(i3d, ours)[:, :, t], source[theirs])
        assert torch.equal(loaded_tensor(s3d, "trunk.conv1.conv.weight")[:, :, t], source["conv1.weight"])
        torch.testing.assert_close(loaded_tensor(divided, ours)[:, :, t], source[theirs] / 3)
    assert torch.equal(loaded_tensor(s3d, ours)[:, :, 0], source[theirs])
    for model in (i3d, s3d, divided):
        variance = loaded_tensor(model, "trunk.layer2.1.conv1.bn.running_var")
        assert torch.equal(variance, source["layer2.1.bn1.running_var"])


def test_inflate_keeps_the_response_to_a_still_clip_only_when_divided() -> None:
    kernel = torch.randn(4, 2, 3, 3)
    assert torch.equal(inflate(kernel, 5, "repeat").sum(2), torch.stack([kernel] * 5).sum(0))
    torch.testing.assert_close(inflate(kernel, 5, "divide").sum(2), kernel)


def test_files_of_old_torchvision_load_too(weights_dir: Path, tmp_path: Path) -> None:
    state = torchvision_model("resnet18").state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18-5c106cde.pth", _use_new_zipfile_serialization=False)
    model = built("tsn", "resnet18")
    fresh = initialise_from("imagenet", model, ("tsn", "resnet18"), str(tmp_path), "repeat")
    counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    assert set(fresh) == {"fc.weight", "fc.bias"} | counters


def test_files_are_found_in_the_folder_first_and_then_in_torchs_cache(
    weights_dir: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "resnet18-f37072fd.pth").touch()
    assert find_weights(of_imagenet("resnet18"), None).parent == cache
    assert find_weights(of_imagenet("resnet18"), str(weights_dir)).parent == weights_dir


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError) as caught:
        find_weights(of_imagenet("resnet50"), str(tmp_path))
    for part in ("resnet50-0676ba61.pth", str(tmp_path), "--weights-dir"):
        assert part in str(caught.value)
    with pytest.raises(MissingWeightsError, match="download failed too"):
        initialise_from("imagenet", built("tsn", "resnet18"), ("tsn", "resnet18"), str(tmp_path), "repeat")
    with pytest.raises(MissingWeightsError, match="no ImageNet weights exist; module 'tsn', backbone 'tiny'"):
        initialise_from("imagenet", built("tsn", "tiny"), ("tsn", "tiny"), None, "repeat")
    with pytest.raises(
        MissingWeightsError, match="no Kinetics-400 weights exist; module 'tsn', backbone 'tiny'"
    ):
        initialise_from("kinetics", built("tsn", "tiny"), ("tsn", "tiny"), None, "repeat")
    with pytest.raises(ValueError, match="did you mean 'resnet18'"):
        starting_weights("imagenet", "tsn", "resnet81")


def of_imagenet(backbone: str) -> WeightsFile:
    found = starting_weights("imagenet", "tsn", backbone)
    assert found is not None
    return found


def spoilt(weights_dir: Path, folder: Path, damage: str) -> Path:
    name = "resnet18-f37072fd.pth"
    raw = (weights_dir / name).read_bytes()
    if damage == "truncated":
        (folder / name).write_bytes(raw[: len(raw) // 2])
    elif damage == "html":
        (folder / name).write_text("<html>404</html>")
    elif damage == "empty":
        (folder / name).touch()
    else:
        state = torch.load(weights_dir / name, weights_only=True)
        if damage == "lacks":
            del state["layer3.0.downsample.0.weight"]
        elif damage == "extra":
            state["layer5.0.conv1.weight"] = torch.zeros(1)
        elif damage == "shape":
            state["layer3.0.conv1.weight"] = torch.zeros(2, 2, 3, 3)
        elif damage == "other":
            state = [1, 2, 3]
        torch.save(state, folder / name)
    return folder


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", "cannot be read .*resnet18-f37072fd.pth; delete the file"),
        ("html", "cannot be read"),
        ("empty", "cannot be read"),
        ("other", "not a state dict"),
        ("lacks", r"missing: trunk\.layer3\.0\.downsample\.conv\.weight"),
        ("extra", r"unknown: trunk\.layer5\.0\.conv1\.conv\.weight"),
        ("shape", r"another shape; trunk\.layer3\.0\.conv1\.conv\.weight"),
    ],
)
def test_a_damaged_file_is_refused_by_name(
    damage: str, message: str, weights_dir: Path, tmp_path: Path
) -> None:
    model = built("i3d", "resnet18")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message):
        initialise_from(
            "imagenet", model, ("tsn", "resnet18"), str(spoilt(weights_dir, tmp_path, damage)), "repeat"
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Payload:
    """Runs code when it is unpickled without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save({"conv1.weight": Payload(marker)}, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        initialise_from("imagenet", built("tsn", "resnet18"), ("tsn", "resnet18"), str(tmp_path), "repeat")
    assert not marker.exists()


def test_a_download_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "executed"

    def answered(url: str, to: str, *_: object, **__: object) -> None:
        torch.save({"conv1.weight": Payload(marker)}, to)

    monkeypatch.setattr("torch.hub.download_url_to_file", answered)
    with pytest.raises(MissingWeightsError, match=r"download failed too \(UnpicklingError"):
        initialise_from("imagenet", built("tsn", "resnet18"), ("tsn", "resnet18"), str(tmp_path), "repeat")
    assert not marker.exists()
