"""Which cell of another study a chain begins with (docs/axes.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from orchestrator.study.other_axes import OtherValue as AxisValue
from trainables.data.datasets import DatasetConfig, OfficialDataset

_MOST_NAMED = 3  # cells that a message lists


class Candidate(Protocol):
    """What is asked of a cell of the other study."""

    @property
    def name(self) -> str:
        """The cell's name."""

    @property
    def axes(self) -> Mapping[str, AxisValue]:
        """The cell's values by axis."""


class Match(Protocol):
    """What is asked of a match of `where`."""

    @property
    def named(self) -> tuple[str, ...]:
        """The axes that it restricts."""

    def values(self, axis: str) -> tuple[AxisValue, ...] | None:
        """The values of an axis that match."""


C = TypeVar("C", bound=Candidate)


class ParentCells(Generic[C]):
    """The cells of another study, found by the axes of those that start from them.

    A parent has the child's module, backbone and temporal pooling. In other axes that both studies have it is
    equal to the child, too, but where `where` says other values; the dataset only where the study has it.
    """

    def __init__(self, study: str, cells: Sequence[C], where: Sequence[Match]) -> None:
        self._study = study
        self._where = tuple(where)
        self._by_architecture: dict[tuple[AxisValue, ...], list[C]] = {}
        for cell in cells:
            self._by_architecture.setdefault(_architecture(cell.axes), []).append(cell)

    def of(self, axes: Mapping[str, AxisValue]) -> C | str:
        """The parent of a chain whose first cell has these values, or why there is no single one."""
        alike = self._by_architecture.get(_architecture(axes), [])
        found = [cell for cell in alike if self._fits(cell.axes, axes)]
        if len(found) > 1:
            found = [cell for cell in found if cell.axes["dataset"] == axes["dataset"]] or found
        if len(found) == 1:
            return found[0]
        return self._several(found) if found else self._none(axes)

    def _fits(self, parent: Mapping[str, AxisValue], child: Mapping[str, AxisValue]) -> bool:
        return any(_fits(match, parent, child) for match in self._where or (None,))

    def _none(self, axes: Mapping[str, AxisValue]) -> str:
        words = ", ".join(
            f"{name}: {str(value).lower()}" for name, value in axes.items() if name != "dataset"
        )
        other = "also as `where` says" if self._where else "name under `where` what is other there"
        return f"no cell of study {self._study} is {{{words}}}; {other}"

    def _several(self, found: Sequence[C]) -> str:
        names = ", ".join(cell.name for cell in found[:_MOST_NAMED])
        more = ", …" if len(found) > _MOST_NAMED else ""
        ways = [name for name in found[0].axes if len({cell.axes[name] for cell in found}) > 1]
        fit = f"{len(found)} cells of study {self._study} fit ({names}{more})"
        return f"{fit}; name {' or '.join(ways)} under `where`"


def is_same_dataset(name: str, one: DatasetConfig | None, other: DatasetConfig | None) -> bool:
    """Whether two studies declare the dataset of this name alike, wherever official files lie.

    None: the study declares nothing, and means the official one.
    """
    return _declared(one, name) == _declared(other, name)


def _declared(config: DatasetConfig | None, name: str) -> dict[str, Any]:
    config = config or OfficialDataset(kind="official", name=name)
    elsewhere = {"videos", "annotations", "allow_missing"} if config.kind == "official" else set()
    return config.model_dump(exclude=elsewhere)


def _architecture(axes: Mapping[str, AxisValue]) -> tuple[AxisValue, ...]:
    return axes["module"], axes["backbone"], axes["temporal_pooling"]


def _fits(match: Match | None, parent: Mapping[str, AxisValue], child: Mapping[str, AxisValue]) -> bool:
    """Whether a cell is what a match says, and equal to the child in what that leaves open."""
    named = {name: match.values(name) or () for name in match.named} if match else {}
    if not all(name in parent and parent[name] in values for name, values in named.items()):
        return False
    left = (name for name in parent if name in child and name != "dataset")
    return all(parent[name] == child[name] for name in left if child[name] in named.get(name, (child[name],)))
