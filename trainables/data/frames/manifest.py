"""A dataset as a Parquet table: one row a video; classes and what was left out in the file's metadata."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind
from catalog.storage.layout import dataset_command, escaped
from catalog.storage.outage import retry_reading
from catalog.storage.parquet_files import read_parquet, write_parquet
from trainables.data.frames.frame_format import ORIGINALS, Decoder, FrameFormat
from trainables.data.frames.shard import Shard
from trainables.recipe.fields import Split

FORMAT = 2
_METADATA = b"actiongrid.manifest"
_INSIDE = "./"  # before the path of a quarantined file under the manifest's own directory


class ManifestError(ActionGridError):
    """A manifest cannot be read: `what; where; what to do`."""

    exit_code = BAD_INPUT
    failure_kind = FailureKind.DATA


@dataclass(frozen=True)
class Video:
    """One usable video; `frames` as counted by decoding it all, sizes in pixels as its frames are kept.

    `decoder` is the one to read the original with: decord where it gave exactly PyAV's frames, else PyAV.
    Its frames are the rows from `first_row` on of the file `shard` of the frame store, where there is one.
    """

    path: str
    split: Split
    label: int
    frames: int
    fps: float
    width: int
    height: int
    sha256: str
    decoder: Decoder = "decord"
    shard: str = ""
    first_row: int = 0


@dataclass(frozen=True)
class Quarantined:
    """A listed video that is left out, and why; `path` is the annotations' name where no file is known."""

    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """A dataset: classes in label order, usable videos in their order, and the listed ones left out.

    `allow_missing` is the share of left-out videos that the user agreed to. The files `shards` of the frame
    store lie in the folder `SHARDS` beside the manifest; `direct` datasets have none. `ignored` counts what
    lay among the videos and is none, by kind; `notes` say what was read in one of several ways.

    All paths are text, escaped where a name is no UTF-8 (`catalog.storage.layout`).
    """

    name: str
    classes: tuple[str, ...]
    videos: tuple[Video, ...]
    quarantined: tuple[Quarantined, ...] = ()
    frame_format: FrameFormat = ORIGINALS
    shards: tuple[Shard, ...] = ()
    allow_missing: float = 0.0
    ignored: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def split(self, name: Split) -> tuple[Video, ...]:
        """The videos of one split, in manifest order."""
        return tuple(video for video in self.videos if video.split == name)

    def hash(self, split: Split) -> str:
        """Identity of a split: contents, labels, order and how frames are kept; never where files lie."""
        digest = sha256(f"{FORMAT} {split} {len(self.classes)} {self.frame_format.identity}\n".encode())
        for video in self.split(split):
            digest.update(f"{video.sha256} {video.label} {video.frames} {video.decoder}\n".encode())
        return digest.hexdigest()


def hold_out(videos: Sequence[Video], share: float) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """Training videos → (those to train on, those held out to choose epochs on), each in their order.

    Of each class the rounded `share` of its contents is held out, but at least one and never the only one.
    Which ones follows from the files' contents alone: neither names, order, seed nor other videos matter
    beside their number. Copies of one content stay together.
    """
    contents: dict[int, set[str]] = {}
    for video in videos:
        contents.setdefault(video.label, set()).add(video.sha256)
    held = {content for one in contents.values() for content in _first_by_hash(one, share)}
    return (
        tuple(video for video in videos if video.sha256 not in held),
        tuple(video for video in videos if video.sha256 in held),
    )


def _first_by_hash(contents: set[str], share: float) -> list[str]:
    count = min(max(1, int(share * len(contents) + 0.5)), len(contents) - 1)
    # Hashed again: a content's own hash also orders other things, such as files of a store.
    return sorted(contents, key=lambda content: sha256(f"choose_on {content}".encode()).hexdigest())[:count]


def same_content(manifest: Manifest) -> tuple[list[list[Video]], list[list[Video]]]:
    """Videos of identical bytes: the groups that lie in both splits, and those under several labels."""
    groups: defaultdict[str, list[Video]] = defaultdict(list)
    for video in manifest.videos:
        groups[video.sha256].append(video)
    several = [group for digest, group in groups.items() if digest and len(group) > 1]
    return (
        [group for group in several if len({video.split for video in group}) > 1],
        [group for group in several if len({video.label for video in group}) > 1],
    )


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write the manifest so that a reader sees the old file or the whole new one.

    Paths under the manifest's own directory are stored relative to it, so that the directory can be moved.
    """
    base = _escaped_folder(path)
    rows = [asdict(video) | {"path": _stored(video.path, base)} for video in manifest.videos]
    head = {
        "format": FORMAT,
        "name": manifest.name,
        "classes": manifest.classes,
        "quarantined": [{"path": _marked(q.path, base), "reason": q.reason} for q in manifest.quarantined],
        "frame_format": manifest.frame_format.model_dump(mode="json"),
        "shards": [asdict(shard) for shard in manifest.shards],
        "allow_missing": manifest.allow_missing,
        "ignored": manifest.ignored,
        "notes": manifest.notes,
        "declaration": _declaration(path),
    }
    schema = _schema().with_metadata({_METADATA: json.dumps(head).encode()})
    write_parquet(pa.Table.from_pylist(rows, schema=schema), path)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; all its paths come back absolute.

    Raises:
        ManifestError: no such file, not a manifest, or one of another format.
        StoreReadError: the storage is at fault, at several tries.
    """
    head, rows = _read(path)
    try:
        return _manifest(head, rows, _escaped_folder(path))
    except (KeyError, TypeError, ValueError) as error:
        mend = f"build the dataset again: {dataset_command(path.parent, 'build')}"
        raise ManifestError(f"not a whole manifest ({error})", path, mend) from error


def _manifest(head: dict[str, Any], rows: list[dict[str, Any]], base: Path) -> Manifest:
    return Manifest(
        name=head["name"],
        classes=tuple(head["classes"]),
        videos=tuple(Video(**row | {"path": str(base / row["path"])}) for row in rows),
        quarantined=tuple(Quarantined(_unmarked(q["path"], base), q["reason"]) for q in head["quarantined"]),
        frame_format=FrameFormat(**head["frame_format"]),
        shards=tuple(Shard(**shard) for shard in head["shards"]),
        allow_missing=head["allow_missing"],
        ignored=tuple((kind, count) for kind, count in head.get("ignored", ())),
        notes=tuple(head.get("notes", ())),
    )


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    mend = f"build the dataset again: {dataset_command(path.parent, 'build')}"
    try:
        table = retry_reading(lambda: read_parquet(path), path)
        metadata = table.schema.metadata or {}
        head = json.loads(metadata.get(_METADATA, b"{}"))
    except FileNotFoundError as error:
        raise ManifestError("no manifest", path, "build the dataset first") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"not a readable manifest ({error})", path, mend) from error
    known = isinstance(head, dict) and head.get("format") == FORMAT
    if not known or not table.schema.equals(_schema(), check_metadata=False):
        raise ManifestError(f"not a manifest of format {FORMAT}", path, mend)
    own, noted = _declaration(path), head.get("declaration")
    if noted and own and noted != own:
        raise ManifestError(f"the manifest of another dataset ({head['name']})", path, mend)
    return head, table.to_pylist()


def _declaration(path: Path) -> str:
    """The digest of its declaration that a dataset's directory is named by; empty where it is not."""
    found = re.fullmatch(r".+-([0-9a-f]{8})", path.absolute().parent.name)
    return found[1] if found else ""


def _escaped_folder(path: Path) -> Path:
    return Path(escaped(str(path.absolute().parent)))


def _stored(path: str, base: Path) -> str:
    absolute = Path(path).absolute()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else str(absolute)


def _marked(path: str, base: Path) -> str:
    """As `_stored`, but what is not an absolute path stays as it is: a name of no known file."""
    inside = Path(path).is_absolute() and Path(path).is_relative_to(base)
    return f"{_INSIDE}{_stored(path, base)}" if inside else path


def _unmarked(path: str, base: Path) -> str:
    return str(base / path.removeprefix(_INSIDE)) if path.startswith(_INSIDE) else path


def _schema() -> pa.Schema:
    types = {"label": pa.int32(), "frames": pa.int32(), "fps": pa.float64(), "width": pa.int32()}
    types |= {"height": pa.int32(), "first_row": pa.int64()}
    return pa.schema([(field.name, types.get(field.name, pa.string())) for field in fields(Video)])
