"""The components that decide numbers: which version each declares today, and where it is raised."""

from __future__ import annotations

from trainables.data.clips import augment, sampling
from trainables.data.frames import frame_format
from trainables.models.registry import BACKBONES, MODULES
from trainables.recipe import versions as train_version

_VERSION_FILE = "trainables/recipe/versions.py"
_REGISTRY = "trainables/models/registry.py"

# Sizes of networks of their own are built by their modules; their parameters and MACs are tested as printed.
_SKELETONS = {name: info for name, info in BACKBONES.items() if info.target is not None}

HOMES = {
    "sampling": ("VERSION", "trainables/data/clips/sampling.py"),
    "augment": ("VERSION", "trainables/data/clips/augment.py"),
    "views": ("VIEWS_VERSION", "trainables/data/clips/augment.py"),
    "frame format": ("VERSION", "trainables/data/frames/frame_format.py"),
    "train step": ("STEP", _VERSION_FILE),
    "evaluation": ("EVALUATE", _VERSION_FILE),
    "initialisation": ("INITIALISE", _VERSION_FILE),
    "temporal pooling": ("TEMPORAL_POOLING", _VERSION_FILE),
    **{f"module {name}": ("its version", _REGISTRY) for name in MODULES},
    **{f"backbone {name}": ("its version", _REGISTRY) for name in _SKELETONS},
}


def versions() -> dict[str, str]:
    """The version of every component as the code declares it."""
    return {
        "sampling": sampling.VERSION,
        "augment": augment.VERSION,
        "views": augment.VIEWS_VERSION,
        "frame format": frame_format.VERSION,
        "train step": train_version.STEP,
        "evaluation": train_version.EVALUATE,
        "initialisation": train_version.INITIALISE,
        "temporal pooling": train_version.TEMPORAL_POOLING,
        **{f"module {name}": info.version for name, info in MODULES.items()},
        **{f"backbone {name}": info.version for name, info in _SKELETONS.items()},
    }
