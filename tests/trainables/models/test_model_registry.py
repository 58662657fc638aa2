"""Names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from trainables.models import build_model
from trainables.models.framework import Backbone, SpatioTemporalModule
from trainables.models.pretrained import KINETICS
from trainables.models.registry import BACKBONES, MODULES, input_statistics, load_target
from trainables.models.video_model import load_backbone, load_module

SETTINGS: dict[str, Any] = {
    "module": "tsn",
    "backbone": "tiny",
    "temporal_pooling": False,
    "frames": 8,
    "num_classes": 4,
}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_registry_and_package_import_no_torch() -> None:
    code = "import sys, trainables.models, trainables.models.registry; print('torch' in sys.modules)"
    assert run_python(code) == "False"


def test_counting_costs_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys; from trainables.models.macs import model_cost\n"
        "for module in ('tam', 's3d'): model_cost(module, 'inception_v1', True, 8, 10)\n"
        "model_cost('tam', 'resnet18', True, 8, 10); print('torch._dynamo' in sys.modules)"
    )
    assert run_python(code) == "False"


def test_every_target_can_be_imported_and_is_what_it_should_be() -> None:
    for name, info in MODULES.items():
        if info.whole:
            assert hasattr(load_target(info), "network")
        else:
            assert issubclass(load_module(name), SpatioTemporalModule)
    for name, skeleton in BACKBONES.items():
        if skeleton.target is not None:
            assert isinstance(load_backbone(name), Backbone)
            continue
        with pytest.raises(ValueError, match=f"backbone {name} is no skeleton for other modules"):
            load_backbone(name)


def test_weight_files_are_those_of_torchvisions_weights_api() -> None:
    from torchvision.models import get_weight

    for info in BACKBONES.values():
        if info.weights_enum is not None:
            assert get_weight(info.weights_enum).url.rsplit("/", 1)[1] == info.weights_file
    for file in KINETICS.values():
        if file.enum is not None:
            assert get_weight(file.enum).url.rsplit("/", 1)[1] == file.name


def test_pictures_are_normalised_as_torchvision_did_for_its_weights() -> None:
    from torchvision.models import get_weight

    for network, file in KINETICS.items():
        module, backbone = network.split("-")
        if file.enum is None:
            continue
        preset = get_weight(file.enum).transforms()
        mean, std = input_statistics(module, backbone)
        assert (list(mean), list(std)) == (preset.mean, preset.std), module


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"module": "tms"}, f"unknown module 'tms'; allowed: {', '.join(MODULES)}"),
        ({"backbone": "resnet-50"}, "did you mean 'resnet50'"),
        ({"backbone": "Tiny"}, "did you mean 'tiny'"),
        ({"frames": 12}, "multiples of 8"),
        ({"frames": 0}, "multiples of 8"),
        ({"num_classes": 0}, "num_classes 0"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"pooling_method": "mean"}, "allowed: max, avg"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(**{**SETTINGS, **wrong})


@pytest.mark.parametrize("name", [name for name, info in MODULES.items() if not info.whole])
def test_the_registry_knows_which_modules_are_3d(name: str) -> None:
    assert load_module(name).volumetric == MODULES[name].volumetric
