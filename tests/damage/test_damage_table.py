"""Every kind of file × every kind of damage: the undisturbed numbers, or a refusal with a way out.

A chain of two cells is really trained, without Ray (`tests.support.run_here`), once to its end and once to
the middle of the second cell. Each entry damages one file and runs the study again.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog import Catalog
from catalog.events import AttemptStarted, CheckpointRemoved
from catalog.journal import Journal
from catalog.queries.planner import done_cells
from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.errors import ActionGridError
from tests.support.run_here import StoppedError, numbers, run_here
from tests.support.toy import build_toy
from trainables.training.checkpoint import is_intact, records

STUDY = """\
name: chain
axes: {module: [tsn], backbone: [tiny], frames: [8, 16], dataset: [toy]}
datasets: {toy: {kind: synthetic-motion, train_per_class: 2, val_per_class: 2}}
recipe:
  base: {init: random, epochs: 2, batch_size: 8, lr: 0.05, crop_size: 32, inherit: best}
evaluation: {crop_size: 32, short_side: 36}
retries: 0
"""
FINISHED, INTERRUPTED, PARENT_DONE = "finished", "interrupted", "parent done"


@dataclass(frozen=True)
class Base:
    """Storages to be damaged, by their state; `root` is where each is put to work, and no other one."""

    folder: Path
    root: Path
    undisturbed: dict[str, Any]

    def restore(self, state: str) -> Path:
        shutil.rmtree(self.root, ignore_errors=True)
        return Path(shutil.copytree(self.folder / state, self.root, symlinks=True))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("damage")
    root = folder / "storage"
    root.mkdir()
    assert run_here(root, STUDY.replace("[8, 16]", "[8]")) == []
    build_toy(root / "datasets" / "other-89abcdef", train=1, val=1)
    root.rename(folder / PARENT_DONE)
    root.mkdir()
    with pytest.raises(StoppedError):
        run_here(root, STUDY, last_epoch=1)
    build_toy(root / "datasets" / "other-89abcdef", train=1, val=1)
    shutil.copytree(root, folder / INTERRUPTED)
    assert run_here(root, STUDY) == []
    with Catalog.open(root) as catalog, Catalog.open(folder / PARENT_DONE) as other:
        catalog.snapshot()
        other.snapshot(root / "elsewhere")
    undisturbed = numbers(root)
    assert len(undisturbed["results"]) == 2 and undisturbed["predictions"] and not undisturbed["faults"]
    shutil.copytree(root, folder / FINISHED, symlinks=True)
    yield Base(folder, root, undisturbed)


def nth(pattern: str, number: int) -> Callable[[Path], Path]:
    """The file of this number among those that match."""
    return lambda root: sorted(root.glob(pattern))[number]


PARENT, CHILD = "runs/*-f8_toy-*", "runs/*-f16_toy-*"
Pair = tuple[Callable[[Path], Path], Callable[[Path], Path] | None]
COMMON: dict[str, Pair] = {
    "journal": (nth("journal/*.jsonl", 0), None),
    "manifest": (nth("datasets/toy-*/manifest.parquet", 0), nth("datasets/other-*/manifest.parquet", 0)),
    "build log": (nth("datasets/toy-*/build.jsonl", 0), nth("datasets/other-*/build.jsonl", 0)),
    "damage notes": (nth("datasets/toy-*/damage.jsonl", 0), nth("datasets/toy-*/build.jsonl", 0)),
    "shard": (nth("datasets/toy-*/shards/*", 0), nth("datasets/toy-*/shards/*", 1)),
    "parent's result": (nth(f"{PARENT}/result.json", 0), nth("datasets/toy-*/build.jsonl", 0)),
    "fence": (nth(f"{CHILD}/fence", 0), nth(f"{PARENT}/fence", 0)),
    "lease": (nth("leases/*/1.json", 0), nth("leases/*/1.json", 1)),
}
KINDS: dict[str, dict[str, Pair]] = {
    FINISHED: COMMON
    | {
        "second journal": (nth("journal/*.jsonl", 1), nth("journal/*.jsonl", 0)),
        "result": (nth(f"{CHILD}/result.json", 0), nth(f"{PARENT}/result.json", 0)),
        "snapshot": (nth("snapshots/*.duckdb", 0), nth("elsewhere/snapshots/*.duckdb", 0)),
        "snapshot's description": (nth("snapshots/*.json", 0), nth("elsewhere/snapshots/*.json", 0)),
        "predictions": (nth(f"{CHILD}/epoch-0002.parquet", 0), nth(f"{PARENT}/epoch-0002.parquet", 0)),
        "another epoch's predictions": (
            nth(f"{CHILD}/epoch-0001.parquet", 0),
            nth(f"{CHILD}/epoch-0002.parquet", 0),
        ),
        "record": (nth(f"{CHILD}/epoch-0002.json", 0), nth(f"{PARENT}/epoch-0002.json", 0)),
        "checkpoint": (nth(f"{CHILD}/epoch-0002.pt", 0), nth(f"{PARENT}/epoch-0002.pt", 0)),
    },
    INTERRUPTED: COMMON
    | {
        "record": (nth(f"{CHILD}/epoch-0001.json", 0), nth(f"{PARENT}/epoch-0001.json", 0)),
        "checkpoint": (nth(f"{CHILD}/epoch-0001.pt", 0), nth(f"{PARENT}/epoch-0001.pt", 0)),
        "predictions": (nth(f"{CHILD}/epoch-0001.parquet", 0), nth(f"{PARENT}/epoch-0001.parquet", 0)),
    },
    PARENT_DONE: {kind: COMMON[kind] for kind in ("journal", "parent's result")}
    | {
        "record": (nth(f"{PARENT}/epoch-0002.json", 0), nth(f"{PARENT}/epoch-0001.json", 0)),
        "predictions": (nth(f"{PARENT}/epoch-0002.parquet", 0), nth(f"{PARENT}/epoch-0001.parquet", 0)),
    },
}


def delete(path: Path, other: Path | None) -> None:
    path.unlink()


def cut(path: Path, other: Path | None) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


_DECIDING = (rb'"top1": ?(\d)', rb'"frames": ?(\d)', rb'"number": ?(\d)', rb"(\d)")


def flip(path: Path, other: Path | None) -> None:
    """One bit: in text of a digit that decides something and stays one, in a table so that it can be read."""
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl", ""):
        found = next(all_of_it for sign in _DECIDING if (all_of_it := [*re.finditer(sign, content)]))
        path.write_bytes(_flipped(content, found[-1].start(1)))
    elif path.suffix == ".parquet":
        path.write_bytes(_readable_flip(content))
    else:
        path.write_bytes(_flipped(content, len(content) // 2))


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _readable_flip(content: bytes) -> bytes:
    """A table with another value, as a reader without checksums takes it."""
    whole = pq.read_table(io.BytesIO(content)).to_pylist()
    for place in range(4, len(content)):
        with suppress(Exception):
            if pq.read_table(io.BytesIO(_flipped(content, place))).to_pylist() != whole:
                return _flipped(content, place)
    raise AssertionError("no such place")


def fill(path: Path, other: Path | None) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def swap(path: Path, other: Path | None) -> None:
    assert other is not None
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def _marks(state: str, kind: str, how: str) -> tuple[pytest.MarkDecorator, ...]:
    """What is tried on a finished storage is tried on an interrupted one among the long tests alone.

    So is garbage where a cut file stands for what cannot be read.
    """
    again = (state == INTERRUPTED and kind in COMMON) or how == "garbage"
    return (pytest.mark.long,) if again else ()


WAYS = {"deleted": delete, "cut": cut, "flipped": flip, "garbage": fill, "swapped": swap}
TABLE = [
    pytest.param(state, kind, how, id=f"{state}: {kind} {how}", marks=_marks(state, kind, how))
    for state, kinds in KINDS.items()
    for kind, (_, other) in kinds.items()
    for how in WAYS
    if how != "swapped" or other is not None
]


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 150 and sum(not entry.marks for entry in TABLE) >= 60


@pytest.mark.parametrize(("state", "kind", "how"), TABLE)
def test_damage_ends_with_the_undisturbed_numbers_or_a_refusal_that_mends(
    base: Base, state: str, kind: str, how: str
) -> None:
    root = base.restore(state)
    find, find_other = KINDS[state][kind]
    path, other = find(root), find_other(root) if find_other is not None else None
    WAYS[how](path, other)
    try:
        told = run_here(root, STUDY)
    except ActionGridError as error:
        told = [str(error)]
    found = numbers(root)
    told += found["faults"]
    names = [one.name for one in (path, other) if one is not None]
    for line in told:
        assert any(name in line for name in names), f"names no damaged file: {line}"
        assert line.count(";") >= 2, f"has no way out: {line}"
    if not told:
        assert found == base.undisturbed
    for table in ("results", "predictions"):
        assert all(row in base.undisturbed[table] for row in found[table]), "a wrong number"


@pytest.mark.parametrize(("which", "how"), [*(("best", how) for how in WAYS), ("last", "flipped")])
def test_a_parent_whose_weights_are_damaged_is_trained_again_and_then_its_child(
    base: Base, which: str, how: str
) -> None:
    """Also where the first of its epochs has to be."""
    root, lines = base.restore(PARENT_DONE), list[str]()
    (run_dir,) = root.glob(PARENT)
    epoch = json.loads((run_dir / "result.json").read_bytes())["checkpoints"][which]["path"]
    damaged = run_dir / epoch
    WAYS[how](damaged, next(path for path in run_dir.glob("epoch-*.pt") if path != damaged))
    content = damaged.read_bytes() if damaged.exists() else None
    study = STUDY.replace("inherit: best", f"inherit: {which}")
    assert run_here(root, study, announce=lines.append) == []
    if which == "best":
        assert numbers(root) == base.undisturbed
    (line,) = [one for one in lines if "it is trained again" in one]
    assert damaged.name in line and "TSN-Tiny-f8@toy" in line
    kept = [path.read_bytes() for path in run_dir.glob(f"set-aside-*-{damaged.name}")]
    assert kept == ([] if content is None else [content])
    assert is_intact(*[one for one in records(run_dir) if one.path == str(damaged)])
    again = list[str]()
    assert run_here(root, study, announce=again.append) == [] and not again


def test_a_child_that_was_trained_before_its_parents_weights_were_damaged_stays_done(base: Base) -> None:
    root = base.restore(FINISHED)
    for path in root.glob(f"{PARENT}/*.pt"):
        path.write_bytes(b"damaged")
    assert run_here(root, STUDY) == [] and numbers(root) == base.undisturbed
    assert not [*root.glob("runs/*/set-aside-*")]


@pytest.mark.parametrize("how", ["deleted", "flipped"])
def test_a_last_cell_whose_weights_are_damaged_is_trained_again_when_asked_to_check(
    base: Base, how: str
) -> None:
    """No child needs it, so that nothing else would ever read the file."""
    root, lines, again = base.restore(FINISHED), list[str](), list[str]()
    (damaged,) = root.glob(f"{CHILD}/epoch-0002.pt")
    WAYS[how](damaged, None)
    assert run_here(root, STUDY, announce=lines.append) == [] and not lines
    assert run_here(root, STUDY, announce=lines.append, check_checkpoints=True) == []
    (line,) = [one for one in lines if "it is trained again" in one]
    assert damaged.name in line and "TSN-Tiny-f16@toy" in line
    assert numbers(root) == base.undisturbed
    assert all(is_intact(one) for one in records(damaged.parent))
    assert run_here(root, STUDY, announce=again.append, check_checkpoints=True) == [] and not again


def test_checkpoints_that_nobody_kept_are_not_missed(base: Base) -> None:
    root, lines = base.restore(FINISHED), list[str]()
    (removed,) = root.glob(f"{CHILD}/epoch-0002.pt")
    (folder,) = root.glob(PARENT)
    key = json.loads(removed.with_name("result.json").read_bytes())["key"]
    removed.unlink()
    shutil.rmtree(folder)
    with Journal.open(root, "keeper") as journal:
        journal.append(CheckpointRemoved(key, 2, "best"))
    assert run_here(root, STUDY, announce=lines.append, check_checkpoints=True) == [] and not lines


@pytest.mark.parametrize("cell", [PARENT, CHILD])
def test_a_damaged_result_of_a_finished_cell_is_taken_from_the_journal_and_named_once(
    base: Base, cell: str
) -> None:
    root = base.restore(FINISHED)
    (path,) = root.glob(f"{cell}/result.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    lines, again = list[str](), list[str]()
    assert run_here(root, STUDY, announce=lines.append) == []
    (line,) = [one for one in lines if "taken from the journal" in one]
    assert str(path) in line and load_checked(path.read_bytes(), ()) == load_checked(whole, ())
    assert path.with_name("set-aside-1-result.json").read_bytes() == whole[:100]
    assert run_here(root, STUDY, announce=again.append) == [] and not again


def test_a_result_that_a_driver_could_not_journal_any_more_is_taken_in(base: Base) -> None:
    """It trained a parent again, and died with the result before its eyes."""
    root = base.restore(PARENT_DONE)
    (path,) = root.glob(f"{PARENT}/result.json")
    again = load_checked(path.read_bytes(), ())
    weights = b"trained again"
    path.with_name("epoch-0002.pt").write_bytes(weights)
    for one in again["checkpoints"].values():
        if one["path"] == "epoch-0002.pt":
            one["sha256"] = hashlib.sha256(weights).hexdigest()
    again["history"][-1]["top1"] = 12.5
    path.write_bytes(with_checksum(json.dumps(again).encode()))
    with Journal.open(root, "dead") as journal:
        journal.append(AttemptStarted(again["key"], 2, "dead", "host", str(path.parent)))
    assert run_here(root, STUDY.replace("[8, 16]", "[8]")) == []
    with Catalog.open(root) as catalog:
        assert done_cells(catalog)[again["key"]].top1 == 12.5
