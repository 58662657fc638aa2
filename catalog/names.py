"""The names of modules, backbones and datasets as the field prints them."""

from __future__ import annotations

from collections.abc import Iterable

_LABELS = {
    "inception_v1": "InceptionV1",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "tiny": "Tiny",
    "mini-ssv2": "Mini-SSV2",
    "mini-kinetics": "Mini-Kinetics",
    "mini-mit": "Mini-MiT",
    "ssv2": "SSV2",
    "kinetics": "Kinetics",
    "mit": "MiT",
    "conv": "Conv.",
    "i3d_se": "I3D-SE",
    "i3d_2017": "I3D-2017",
    "tam_top_half": "TAM-TopHalf",
    "tam_bottom_half": "TAM-BottomHalf",
    "tam_uniform_half": "TAM-UniformHalf",
    "corrnet": "CorrNet",
    "assemblenet": "AssembleNet",
    "nonlocal": "Non-local",
    "slowfast": "SlowFast",
    "slowfast_4x16": "SlowFast4x16",
}
_ACRONYM = 5


def dataset_label(name: str) -> str:
    """Return a dataset's name as the paper prints it; people's own stay as they wrote them."""
    return _LABELS.get(name, name)


def label(name: str) -> str:
    """Return the name that the paper prints: `tam` → TAM, `resnet18` → ResNet18."""
    if name in _LABELS:
        return _LABELS[name]
    return name.upper() if len(name) < _ACRONYM else name


def study_with_axes(study: str, axes: Iterable[tuple[str, str]]) -> str:
    """Return a study with the values of its other axes: `rates (lr 0.01)`; as the SQL macro of this name."""
    words = [f"{axis.removeprefix('recipe.').replace('recipe_name', 'recipe')} {text}" for axis, text in axes]
    return f"{study} ({', '.join(words).replace('_', ' ')})" if words else study


def axis_text(axis: str, value: object) -> str:
    """Return an axis's value as people read it: `tp` or `no tp`, `f16`, else the value itself."""
    if axis == "temporal_pooling":
        return "tp" if value else "no tp"
    return f"f{value}" if axis == "frames" else str(value)
