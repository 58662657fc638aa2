"""All figures, found by looking into this package: a new one needs no line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from dashboards import figures as package
from dashboards.figures.figure import Export, Figure, Finding, Section

T = TypeVar("T")


@cache
def figures() -> Mapping[str, Figure]:
    """Return the `FIGURE` of every module of this package that has one, by its name.

    Raises:
        ValueError: two figures have one name.
    """
    modules = [import_module(f"{package.__name__}.{one.name}") for one in iter_modules(package.__path__)]
    found = [module.FIGURE for module in modules if hasattr(module, "FIGURE")]
    return _by_name([(figure.name, figure) for figure in found])


def findings() -> Mapping[str, tuple[Figure, Finding]]:
    """Return the figures of the page Findings by their question, in its order."""
    found = [(one, one.finding) for one in figures().values() if one.finding is not None]
    return _by_name([(one[1].question, one) for one in sorted(found, key=lambda one: one[1].order)])


def sections() -> list[tuple[Figure, Section]]:
    """Return the figures of the report, in its order."""
    found = [(one, one.section) for one in figures().values() if one.section is not None]
    return sorted(found, key=lambda one: one[1].order)


def exports() -> Mapping[str, tuple[Figure, Export]]:
    """Return the figures that a paper can have as files, by the name of the file, in the order of lists."""
    found = [(one, export) for one in figures().values() for export in one.exports]
    return _by_name([(one[1].name, one) for one in sorted(found, key=lambda one: one[1].order)])


def _by_name(found: list[tuple[str, T]]) -> dict[str, T]:
    names = [name for name, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two figures have one name; {', '.join(twice)}; give each its own")
    return dict(found)
