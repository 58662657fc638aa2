"""Files of a storage, changed at random: their readers take what was written, or refuse.

`make fuzz` runs it for minutes; what it has found is kept as `SEEDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
import pytest

from catalog import Catalog
from catalog.codec import EventError, decode, encode
from catalog.events import CellFinished
from catalog.predictions import read_rows
from catalog.storage.checksums import with_checksum
from catalog.storage.errors import ActionGridError
from catalog.storage.folder_storage import FolderFiles, FolderStorage
from orchestrator.coordination.drivers import Watch, this_driver
from orchestrator.coordination.lease import Leases
from tests.support.fuzzing import SEEDS, files_like, fuzz
from tests.support.grid_events import DEMO, grid_events
from tests.support.prediction_storage import LABELS
from tests.support.toy import build_toy
from trainables.data.frames.manifest import read_manifest
from trainables.data.frames.shard import ShardFrames
from trainables.data.ingest.build_log import BuildLog, SourceFile, read_source, write_source
from trainables.training.checkpoint import read_record, save_checkpoint
from trainables.training.predictions import Predictions, read_predictions, write_predictions
from trainables.training.result import CellResult, read_result

KEY = "k" * 32
NOTHING: Any = object()
"""What a reader gives that refuses, by an error of ours or by saying that nothing stands."""


@dataclass(frozen=True)
class Reader:
    """A file as it was written, and what reads it again from a path: the same, or NOTHING.

    `checked`: other content is never taken for it; of the others only an end that is ours is asked.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    checked: bool = True


DIRECTORY = "toy-0"
"""Some files say in which directory they belong."""


def ours(read: Callable[[Path], Any], *errors: type[Exception]) -> Callable[[Path], Any]:
    def careful(path: Path) -> Any:
        try:
            found = read(path)
        except (ActionGridError, *errors):
            return NOTHING
        return NOTHING if found is None else found

    return careful


RESULT = CellResult(
    cell="TAM-Tiny-f8@toy",
    key=KEY,
    history=({"epoch": 1, "top1": 50.0, "val_loss": float("nan")},),
    last_epoch=1,
    best_epoch=1,
    checkpoints={"last": {"epoch": "1"}, "best": {"epoch": "1"}},
    train_videos=8,
    eval_videos=4,
    train_seconds=1.0,
    eval_seconds=1.0,
    train_clips_per_second=1.0,
    eval_clips_per_second=1.0,
    peak_memory_bytes=1,
    params=1,
    macs=1,
    parent_top1=None,
    frames=8,
    seed=0,
    evaluation={"clips": 1},
    versions={"torch": "2"},
    hardware={"device": "cpu"},
)


@cache
def readers() -> dict[str, Reader]:
    folder = Path(mkdtemp(prefix="fuzz-"))
    found = [*_text_readers(folder), *_table_readers(folder)]
    return {reader.name: reader for reader in found}


def _text_readers(folder: Path) -> list[Reader]:
    event = next(one for one in grid_events(DEMO) if isinstance(one, CellFinished))
    save_checkpoint(
        FolderStorage(folder), folder, {"model": {}}, folder / "epoch-0001.parquet", RESULT.history, KEY
    )
    log = BuildLog(folder / "build.jsonl")
    log.put("one", {"shards": ["a", "b"], "bytes": 3})
    result = with_checksum(json.dumps(asdict(RESULT)).encode())
    record = json.dumps(asdict(this_driver("w", "s", 0))).encode()
    return [
        Reader("line", encode(event), ours(lambda path: decode(path.read_bytes()), EventError)),
        Reader("record", (folder / "epoch-0001.json").read_bytes(), ours(_record)),
        Reader("result", result, ours(_result)),
        Reader(
            "build log",
            (folder / "build.jsonl").read_bytes(),
            ours(lambda path: BuildLog(path).get("one")),
        ),
        Reader("journal", encode(event) * 2, ours(_catalog_of), checked=False),
        Reader("lease", b'{"owner":"w","number":1}', ours(_lease), checked=False),
        Reader("driver", record, ours(_driver), checked=False),
        Reader("fence", b"1 00000000", ours(_fence), checked=False),
    ]


def _table_readers(folder: Path) -> list[Reader]:
    predictions = folder / "epoch-0002.parquet"
    _write_predictions(predictions)
    manifest = build_toy(folder / "toy", train=1, val=1)
    source = {"a.mp4": SourceFile("train", "x", 1, 2)}
    source_file = folder / DIRECTORY / "source.parquet"
    source_file.parent.mkdir()
    write_source(source, source_file)
    shard = folder / "toy" / "shards" / manifest.shards[0].name
    return [
        Reader("predictions", predictions.read_bytes(), ours(_predictions, OSError, ValueError, KeyError)),
        Reader("loaded predictions", predictions.read_bytes(), ours(_rows, OSError, ValueError, KeyError)),
        Reader("manifest", (folder / "toy" / "manifest.parquet").read_bytes(), ours(_manifest)),
        Reader("source", source_file.read_bytes(), ours(read_source)),
        Reader(
            "shard", shard.read_bytes(), ours(lambda path: len(ShardFrames(path)), IndexError), checked=False
        ),
    ]


def _write_predictions(path: Path) -> None:
    labels = np.array(LABELS)
    top = np.stack([labels, (labels + 1) % 4], axis=1)
    none = np.empty((len(labels), 0))
    scores = np.ones_like(top, dtype=np.float32)
    rows = Predictions(np.arange(len(labels)), labels, top, scores, np.ones(len(labels)), none, none)
    write_predictions(rows, path, [f"{label}.mp4" for label in LABELS], KEY)


def _renamed(path: Path, name: str) -> Path:
    path.with_name(name).write_bytes(path.read_bytes())
    return path.with_name(name)


def _record(path: Path) -> Any:
    found = read_record(_renamed(path, "epoch-0001.json"), KEY)
    return None if found is None else (found.sha256, [*found.history[0]], found.key)


def _result(path: Path) -> Any:
    found = read_result(_renamed(path, "result.json").parent, KEY)
    return None if found is None else repr(found)


def _predictions(path: Path) -> Any:
    found = read_predictions(_renamed(path, "epoch-0002.parquet"), KEY)
    return found.top.tolist(), found.label.tolist(), found.loss.tolist()


def _rows(path: Path) -> Any:
    table = read_rows(_renamed(path, "epoch-0002.parquet"), 1, "predictions", key=KEY)
    return None if table is None else table.to_pylist()


def _manifest(path: Path) -> Any:
    found = read_manifest(path)
    return found.name, found.classes, found.hash("train"), found.hash("val")


def _shard(path: Path) -> Any:
    shard = ShardFrames(path)
    return [len(shard.jpeg(row)) for row in range(len(shard))]


def _catalog_of(path: Path) -> Any:
    folder = path.parent / "journal"
    folder.mkdir(exist_ok=True)
    (folder / "w.jsonl").write_bytes(path.read_bytes() + b"\n")
    with Catalog.open(path.parent) as catalog:
        catalog.query("SELECT * FROM results")
        return catalog.query("SELECT * FROM recorded.finished").num_rows


def _lease(path: Path) -> Any:
    folder = path.parent / "leases" / KEY
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1.json").write_bytes(path.read_bytes())
    return Leases(FolderFiles(path.parent / "leases"), "me", lambda _: True).read(KEY)


def _driver(path: Path) -> Any:
    _renamed(path, "w.json")
    watch = Watch(FolderFiles(path.parent))
    return watch.record("w"), watch.drivers()


def _fence(path: Path) -> Any:
    return FolderStorage(path.parent).read_fence(_renamed(path, "fence").parent)


@pytest.mark.parametrize("name", [*readers()])
def test_a_changed_file_is_refused_or_read_as_it_was(name: str) -> None:
    reader = readers()[name]
    fuzz(lambda content: _check(reader, content), files_like(reader.content))


@pytest.mark.parametrize("name", [*readers()])
def test_what_was_written_is_read_and_what_was_found_is_refused(name: str) -> None:
    reader = readers()[name]
    assert _read(reader, reader.content) is not NOTHING
    for content in SEEDS:
        _check(reader, content)


def _as_of_before(reader: Reader, content: bytes) -> bool:
    """Whether a change has taken away the whole checksum and no more: so earlier versions wrote the file."""
    first_name, _, _ = reader.content[len(b'{"crc":"01234567",') :].partition(b":")
    return reader.content.startswith(b'{"crc"') and content.startswith(b"{" + first_name + b":")


def _check(reader: Reader, content: bytes) -> None:
    found = _read(reader, content)
    if reader.checked and found is not NOTHING and not _as_of_before(reader, content):
        assert found == _original(reader.name)


@cache
def _original(name: str) -> Any:
    return _read(readers()[name], readers()[name].content)


def _read(reader: Reader, content: bytes) -> Any:
    with TemporaryDirectory() as folder:
        path = Path(folder) / DIRECTORY / "source.parquet"
        path.parent.mkdir()
        path.write_bytes(content)
        return reader.read(path)
