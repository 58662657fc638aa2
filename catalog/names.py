"""The names of modules, backbones, datasets and axes as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


_MOST_SEEDS = 10  # whose accuracies are named one by one


def seeds_text(values: Sequence[float]) -> str:
    """Return the top-1 of all seeds, to stand behind that of one: ` (seeds 45.2, 74.2)`; a range of many."""
    if len(values) > _MOST_SEEDS:
        mean = sum(values) / len(values)
        return f" ({len(values)} seeds, mean {mean:.1f}, {min(values):.1f} to {max(values):.1f})"
    return f" (seeds {', '.join(f'{one:.1f}' for one in values)})" if len(values) > 1 else ""


def count_text(count: int, noun: str) -> str:
    """Return how many of something: `1 cell`, `2 cells`, `2,000 cells`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clock_text(seconds: float | None) -> str:
    """Return `1:02:03`, `4:05` or `?`."""
    if seconds is None:
        return "?"
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def to_go_text(seconds: tuple[float, float] | None) -> str:
    """Return the time to go in words, a range where its ends differ; `? to go` where it is not known."""
    low, high = (clock_text(one) for one in seconds or (None, None))
    return f"{low} to go" if low == high else f"{low} to {high} to go"


def label(name: str) -> str:
    """Return the name that the paper prints: `tam` → TAM, `resnet18` → ResNet18."""
    if name in _LABELS:
        return _LABELS[name]
    return name.upper() if len(name) < _ACRONYM else name


_RECIPE = "recipe."
RECIPE_NAME = "recipe_name"
RESOLUTION = "resolution"
OTHER_AXES_WRITTEN = (RECIPE_NAME, RESOLUTION, "recipe.FIELD")
"""How axes beside the six are named in files (docs/axes.md); FIELD is any field of a recipe."""


def is_other_axis(name: str) -> bool:
    """Return whether an axis of this name is none of the six, well spelt or not."""
    return name in (RECIPE_NAME, RESOLUTION) or name.startswith(_RECIPE)


def other_axis_value(value: object) -> str:
    """Return a value of such an axis as names, SQL and filters have it: `0.001`, `yes`, `15-30`, `none`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return "-".join(other_axis_value(one) for one in value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) and f"{value:g}" == f"{value:.12g}" else str(value)


def name_part(axes: Iterable[tuple[str, str]]) -> str:
    """Return what stands in a cell's name behind its dataset: `+lr=0.01+paper`; empty without such axes."""
    return "".join(
        f"+{text}" if axis == RECIPE_NAME else f"+{axis.removeprefix(_RECIPE)}={text}" for axis, text in axes
    )


def axis_name(axis: str) -> str:
    """Return an axis as people read it: `recipe.weight_decay` → weight decay, `recipe_name` → recipe."""
    return "recipe" if axis == RECIPE_NAME else axis.removeprefix(_RECIPE).replace("_", " ")


def axes_words(axes: Iterable[tuple[str, str]]) -> str:
    """Return values of other axes as people read them: `lr 0.01, recipe slow`; as the SQL macro does."""
    return ", ".join(f"{axis_name(axis)} {text}" for axis, text in axes)


def study_with_axes(study: str, axes: Iterable[tuple[str, str]]) -> str:
    """Return a study with the values of its other axes: `rates (lr 0.01)`; as the SQL macro."""
    words = axes_words(axes)
    return f"{study} ({words})" if words else study


def axis_text(axis: str, value: object) -> str:
    """Return an axis's value as people read it: `tp` or `no tp`, `f16`, else the value itself."""
    if axis == "temporal_pooling":
        return "tp" if value else "no tp"
    return f"f{value}" if axis == "frames" else str(value)
