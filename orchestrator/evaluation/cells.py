"""Which finished cells the user means, and the built datasets on which they can be measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.field_errors import closest_spelling
from catalog.queries.cells import cells_to_evaluate
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.layout import Layout, command_on
from orchestrator.study.model import Resources
from trainables.recipe.cell_spec import Evaluation, Recipe, Which

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog import Catalog
    from trainables.data.frames.manifest import Manifest


class CellChoiceError(ActionGridError):
    """No cell, several cells or an unfinished cell where one finished cell was meant."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class FinishedCell:
    """A cell that is done, with what it was trained with. `train_hash` identifies its training videos.

    `trained_evaluation` is the identity of its clip-level measure; None where an old journal lacks it.
    `frames_on_local_disk` and `report`, the checkpoint whose accuracies are reported, are its study's, as
    submitted last. `removed` are the epochs whose checkpoints were removed, as `keep` allowed.
    `plug_ins` are those that it needs, with their versions, `imports` the packages to import for them.
    """

    cell: str
    key: str
    study: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    dataset: str
    seed: int
    num_classes: int | None
    train_hash: str
    recipe: Recipe
    evaluation: Evaluation
    resources: Resources
    trained_evaluation: str | None
    frames_on_local_disk: str | None
    report: Which = "last"
    removed: frozenset[int] = frozenset()
    plug_ins: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The finished cells that were meant, and the names of those that match but are not finished."""

    cells: tuple[FinishedCell, ...]
    unfinished: tuple[str, ...]


def is_pattern(text: str) -> bool:
    """Whether the text may mean several cells."""
    return any(sign in text for sign in "*?[")


def choose_cells(catalog: Catalog, text: str, study: str | None) -> Choice:
    """The finished cells that `text` means, in all studies or in one.

    A pattern means every finished cell of a current plan that it matches; a name or the beginning of a key
    means one cell, of the current plans where an edited study left older ones behind.

    Raises:
        CellChoiceError: nothing matches, several cells have this name, or none that matches is finished.
    """
    rows = cells_to_evaluate(catalog, study).to_pylist()
    found = [row for row in rows if _matches(row, text)]
    if not found:
        raise CellChoiceError(*no_such_cell(text, [row["cell"] for row in rows], catalog.storage, study))
    current = [row for row in found if row["current"]] or found
    done = [row for row in current if row["done"]]
    if not done:
        states = ", ".join(dict.fromkeys(f"{row['cell']} is {row['state']}" for row in current[:5]))
        raise CellChoiceError("no finished cell", states, "run its study to the end first")
    if len(done) > 1 and not is_pattern(text):
        keys = ", ".join(f"{row['key'][:12]} of study {row['study']}" for row in done)
        raise CellChoiceError(
            f"{len(done)} finished cells are meant",
            f"{text}: {keys}",
            "give the beginning of a key, or --study",
        )
    unfinished = tuple(row["cell"] for row in current if not row["done"])
    return Choice(tuple(map(finished_cell, done)), unfinished)


def choose_cell(catalog: Catalog, text: str, study: str | None) -> tuple[FinishedCell, tuple[str, ...]]:
    """The one finished cell that `text` means, and what else has this name, in words.

    `text` is a cell's name, the beginning of its key, or a name without its dataset or seed, where one
    finished cell of today's plans is called so. A superseded cell is taken where there is no other.

    Raises:
        CellChoiceError: no finished cell, or several; it lists them.
    """
    rows = cells_to_evaluate(catalog, study).to_pylist()
    found = [row for row in rows if _matches(row, text)] or [row for row in rows if _begins(row, text)]
    if not found:
        what, where, hint = no_such_cell(text, [row["cell"] for row in rows], catalog.storage, study)
        raise CellChoiceError(what, where, f"{hint}; {_finished_ones(rows)}")
    done = [row for row in found if row["done"]]
    current = [row for row in done if row["current"]] or done
    if not current:
        states = ", ".join(dict.fromkeys(f"{row['cell']} is {row['state']}" for row in found[:5]))
        raise CellChoiceError("no finished cell", states, f"run its study to the end; {_finished_ones(rows)}")
    if len(current) > 1:
        raise CellChoiceError(
            f"{len(current)} finished cells are meant",
            f"{text}: {_listed(current)}",
            "give the full name, the beginning of a key, or a study",
        )
    (taken,) = current
    others = [row for row in done if row is not taken]
    others += [row for row in rows if row["done"] and row not in found and _begins(row, taken["cell"])]
    return finished_cell(taken), tuple(_told(row) for row in others)


_LISTED = 20


def _begins(row: Mapping[str, Any], text: str) -> bool:
    """Whether a cell's name is `text` with a dataset, values of other axes or a seed behind it."""
    return bool(row["cell"].startswith(tuple(f"{text}{sign}" for sign in "@+#")))


def _finished_ones(rows: Sequence[Mapping[str, Any]]) -> str:
    done = [row for row in rows if row["done"]]
    return f"finished are: {_listed(done)}" if done else "no cell is finished yet"


def _listed(rows: Sequence[Mapping[str, Any]]) -> str:
    more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    return ", ".join(map(_told, rows[:_LISTED])) + more


def _told(row: Mapping[str, Any]) -> str:
    superseded = "" if row["current"] else ", superseded"
    return f"{row['cell']} (key {row['key'][:12]}, study {row['study']}{superseded})"


def no_such_cell(
    text: str, names: Sequence[str], storage: Path, study: str | None = None
) -> tuple[str, str, str]:
    """What is wrong with a name that no cell of a storage has, where, and what to do: the closest one."""
    close = closest_spelling(text, names)
    hint = f"did you mean {close}? ({storage})" if close else f"see: {command_on(storage, 'status')}"
    return "no such cell", f"{text} in study {study}" if study else text, hint


def _matches(row: Mapping[str, Any], text: str) -> bool:
    if is_pattern(text):
        return bool(row["current"]) and fnmatchcase(row["cell"], text)
    return bool(row["cell"] == text or row["key"].startswith(text))


def finished_cell(row: Mapping[str, Any]) -> FinishedCell:
    """A finished cell of a row of `cells_to_evaluate`."""
    config, parts = json.loads(row["config"]), json.loads(row["key_parts"])
    same = ("cell", "key", "study", "module", "backbone", "temporal_pooling", "frames", "dataset", "seed")
    return FinishedCell(
        **{name: row[name] for name in same},
        num_classes=row["num_classes"],
        train_hash=str(parts["data"]["train"]),
        recipe=Recipe.model_validate(config["recipe"]),
        evaluation=Evaluation.model_validate(config["evaluation"]),
        resources=Resources.model_validate(config["resources"]),
        trained_evaluation=row["trained_evaluation"],
        frames_on_local_disk=row["frames_on_local_disk"],
        report=row["report"],
        removed=frozenset(row["removed"] or ()),
        plug_ins=config.get("plug_ins", {}),
        imports=tuple(config.get("imports", ())),
    )


@dataclass(frozen=True)
class VideoSet:
    """A manifest, where it stands, and the identities of its splits."""

    path: Path
    manifest: Manifest
    train_hash: str
    val_hash: str


class VideoSets:
    """Reads manifests when they are asked for; a dataset can have several, by declaration."""

    def __init__(self, layout: Layout) -> None:
        self.folder = layout.datasets
        self._layout = layout
        self._sets: dict[str, tuple[VideoSet, ...]] = {}
        self._problems: dict[str, str] = {}

    def of(self, dataset: str) -> tuple[VideoSet, ...]:
        """The readable manifests of a dataset, the one that was written last at the end."""
        if dataset not in self._sets:
            self._sets[dataset] = tuple(self._read(dataset))
        return self._sets[dataset]

    def problems(self, dataset: str) -> str:
        """Why manifests of a dataset could not be read; empty where all could."""
        return self._problems.get(dataset, "")

    def _read(self, dataset: str) -> list[VideoSet]:
        from trainables.data.frames.manifest import ManifestError, read_manifest

        found = []
        for path in sorted(self._layout.manifests(dataset), key=lambda path: (path.stat().st_mtime, path)):
            try:
                manifest = read_manifest(path)
            except ManifestError as error:
                self._problems[dataset] = str(error)
                continue
            found.append(VideoSet(path, manifest, manifest.hash("train"), manifest.hash("val")))
        return found
