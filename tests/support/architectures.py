"""Which modules exist with a backbone: what generic tests of models run over."""

from __future__ import annotations

from trainables.models.registry import MODULES, why_not


def modules_with(backbone: str, pooled: bool, frames: int = 8) -> list[str]:
    """The registered modules that can be built with or without temporal pooling, for clips of this length."""
    return [module for module in MODULES if why_not(module, backbone, pooled, frames) is None]


def architectures(backbone: str) -> list[tuple[str, bool]]:
    """Every module, with and without temporal pooling, that can be built."""
    return [(module, pooled) for pooled in (False, True) for module in modules_with(backbone, pooled)]
