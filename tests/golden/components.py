"""The components that decide numbers: which version each declares today, and where it is raised."""

from __future__ import annotations

from trainables import train_version
from trainables.data import augment, cut, frame_format, sampling
from trainables.models.registry import BACKBONES, MODULES

_VERSION_FILE = "trainables/train_version.py"
_REGISTRY = "trainables/models/registry.py"

HOMES = {
    "sampling": ("VERSION", "trainables/data/sampling.py"),
    "augment": ("VERSION", "trainables/data/augment.py"),
    "views": ("VERSION", "trainables/data/cut.py"),
    "frame format": ("VERSION", "trainables/data/frame_format.py"),
    "train step": ("STEP", _VERSION_FILE),
    "evaluation": ("EVALUATE", _VERSION_FILE),
    "initialisation": ("INITIALISE", _VERSION_FILE),
    "temporal pooling": ("TEMPORAL_POOLING", _VERSION_FILE),
    **{f"module {name}": ("its version", _REGISTRY) for name in MODULES},
    **{f"backbone {name}": ("its version", _REGISTRY) for name in BACKBONES},
}


def versions() -> dict[str, str]:
    """The version of every component as the code declares it."""
    return {
        "sampling": sampling.VERSION,
        "augment": augment.VERSION,
        "views": cut.VERSION,
        "frame format": frame_format.VERSION,
        "train step": train_version.STEP,
        "evaluation": train_version.EVALUATE,
        "initialisation": train_version.INITIALISE,
        "temporal pooling": train_version.TEMPORAL_POOLING,
        **{f"module {name}": info.version for name, info in MODULES.items()},
        **{f"backbone {name}": info.version for name, info in BACKBONES.items()},
    }
