"""Checkpoints of one cell: written whole, checksummed, found again after any crash.

A checkpoint is `epoch-0007.pt` plus its record `epoch-0007.json`. Both are written under a temporary name,
fsynced and moved; the record comes last, so a record that can be read names a complete file. The record
carries the metric history up to its epoch: history and weights can never disagree.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.atomic import sha256_of
from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import EPOCHS, epoch_file, epoch_files
from catalog.storage.outage import is_outage, retry_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from catalog.storage.storage import Storage

logger = logging.getLogger(__name__)

Metrics = dict[str, float]
WAY_OUT = "give the same command again: `run` trains again what does not stand; or restore the file"
"""What mends a checkpoint (`orchestrator.running.finished_files`)."""


class CheckpointError(ActionGridError):
    """A checkpoint that cannot be used: damaged, of another model, or missing."""

    failure_kind = FailureKind.CHECKPOINT


@dataclass(frozen=True)
class CheckpointRecord:
    """What is known of one checkpoint. `history` holds one metrics row per epoch, 1..epoch.

    `key` is the cell's, empty where an earlier version did not note it; `others` has the hashes of the older
    checkpoints that stood beside this one, by epoch, in case their own records are lost.
    """

    epoch: int
    sha256: str
    path: str
    predictions_path: str
    history: tuple[Metrics, ...]
    key: str = ""
    others: Mapping[int, str] = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """Metrics of this checkpoint's own epoch."""
        return self.history[-1]


_FIELDS = frozenset(one.name for one in dataclass_fields(CheckpointRecord))


def save_checkpoint(
    storage: Storage,
    directory: Path,
    state: dict[str, Any],
    predictions_path: Path,
    history: Sequence[Metrics],
    key: str = "",
) -> CheckpointRecord:
    """Write the checkpoint of the epoch that `history` ends with and return its record.

    Raises:
        OSError: The storage takes it not; nobody may be told of the epoch.
    """
    import io

    import torch

    epoch = len(history)
    path = epoch_file(directory, epoch, ".pt")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    storage.write(path, content)
    record = CheckpointRecord(
        epoch=epoch,
        sha256=hashlib.sha256(content).hexdigest(),
        path=str(path),
        predictions_path=str(predictions_path),
        history=tuple(history),
        key=key,
        others={one.epoch: one.sha256 for one in records(directory, key) if one.epoch < epoch},
    )
    storage.write(path.with_suffix(".json"), with_checksum(json.dumps(asdict(record)).encode()))
    return record


def read_record(path: Path, key: str = "") -> CheckpointRecord | None:
    """The record in `path`, or None where it is damaged, of another form, or of another cell than `key`.

    Paths follow a moved file.

    Raises:
        OSError: the storage is at fault; the record may well stand.
    """
    try:
        fields = load_checked(path.read_bytes(), _FIELDS, with_nan=True)
        record = CheckpointRecord(
            epoch=int(fields["epoch"]),
            sha256=str(fields["sha256"]),
            path=str(path.with_suffix(".pt")),
            predictions_path=str(path.parent / Path(fields["predictions_path"]).name),
            history=tuple(fields["history"]),
            key=str(fields.get("key", "")),
            others={int(epoch): str(sha256) for epoch, sha256 in fields.get("others", {}).items()},
        )
        return record if _is_of(record, path, key) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if is_outage(error):
            raise
        return None


def _is_of(record: CheckpointRecord, path: Path, key: str) -> bool:
    """Whether a record can be that of this file and cell."""
    whole = [row["epoch"] for row in record.history] == [*range(1, record.epoch + 1)]
    named = path.stem == epoch_file(path.parent, record.epoch, "").name
    return whole and named and (not key or record.key in ("", key))


def records(directory: Path, key: str = "") -> tuple[CheckpointRecord, ...]:
    """The checkpoint records of cell `key` in `directory`, oldest first; the weights are not verified.

    One that cannot be read is taken from what a newer one says of it.
    """
    found = [read_record(path, key) for path in epoch_files(directory, ".json")]
    readable = {record.epoch: record for record in found if record is not None}
    for epoch, sha256 in readable[max(readable)].others.items() if readable else ():
        path = epoch_file(directory, epoch, ".pt")
        if epoch not in readable and path.is_file():
            logger.warning("the record of %s is damaged; what a newer one says of it counts", path)
            readable[epoch] = _from_newer(readable[max(readable)], epoch, sha256, path)
    return tuple(readable[epoch] for epoch in sorted(readable))


def _from_newer(newer: CheckpointRecord, epoch: int, sha256: str, path: Path) -> CheckpointRecord:
    predictions, history = str(path.with_suffix(".parquet")), newer.history[:epoch]
    return CheckpointRecord(epoch, sha256, str(path), predictions, history, newer.key)


def best_epoch(history: Sequence[Metrics]) -> int:
    """Epoch with the highest top-1; the earliest of equals; NaN never wins.

    Its top-1 is that of the videos held out to choose on where there are any, else of the evaluation videos.
    """
    found = (row.get("choose_top1", row["top1"]) for row in history)
    scores = [-1.0 if math.isnan(top1) else top1 for top1 in found]
    return scores.index(max(scores)) + 1


def is_intact(record: CheckpointRecord) -> bool:
    """Whether the weights file is there and matches its checksum."""
    path = Path(record.path)
    return path.is_file() and sha256_of(path) == record.sha256


def latest_intact(directory: Path, key: str = "") -> CheckpointRecord | None:
    """The newest checkpoint to go on from; a damaged one is named in the log and passed over.

    So is one whose best epoch so far is damaged: the epochs from there on are trained again, for a result
    that names another one as its best would not be that of an undisturbed run.

    Raises:
        StoreReadError: the storage is at fault, at several tries: no epoch is lost to that.
    """
    found = retry_reading(lambda: records(directory, key), directory)
    intact: dict[int, bool] = {}
    for record in found:
        intact[record.epoch] = retry_reading(partial(is_intact, record), Path(record.path))
    for record in reversed(found):
        best = best_epoch(record.history)
        if not intact[record.epoch]:
            logger.warning("checkpoint %s is damaged; the one before it is used", record.path)
        elif not intact.get(best):
            what = "checkpoint %s is not used: its best epoch, %d, is damaged or gone, and trained again"
            logger.warning(what, record.path, best)
        else:
            return record
    return None


def load_state(path: Path, sha256: str) -> dict[str, Any]:
    """Load a checkpoint's tensors, after its checksum, without trusting the file (`weights_only`).

    Raises:
        CheckpointError: The file is missing, does not match `sha256` or is no checkpoint.
    """
    import torch

    if not path.is_file():
        raise CheckpointError("checkpoint is missing", path, WAY_OUT)
    actual = retry_reading(lambda: sha256_of(path), path)
    if actual != sha256:
        raise CheckpointError(
            f"checkpoint does not match its checksum (recorded {sha256[:12]}…, file {actual[:12]}…)",
            path,
            WAY_OUT,
        )
    state: dict[str, Any] = retry_reading(
        lambda: torch.load(path, map_location="cpu", weights_only=True), path
    )
    return state


def stored_epochs(storage: Storage, directory: Path) -> frozenset[int]:
    """The epochs whose weights are in a run directory, here or for others, with a record or without.

    Raises:
        OSError: The storage does not answer.
    """
    own = {path.stem for path in epoch_files(directory, ".pt")}
    others = {one.path.stem for one in storage.files(directory) if one.path.match(f"{EPOCHS}.pt")}
    return frozenset(int(name.removeprefix("epoch-")) for name in own | others)


def remove(storage: Storage, directory: Path, epochs: Iterable[int]) -> None:
    """Remove the checkpoints of these epochs of a finished cell; what it predicted stays: it is small.

    Raises:
        OSError: The storage does not answer.
    """
    for epoch in epochs:
        for suffix in (".json", ".pt"):
            storage.remove(epoch_file(directory, epoch, suffix))


def prune(directory: Path, keep_epochs: Iterable[int]) -> None:
    """Remove checkpoints of all epochs but `keep_epochs` here: record first, so that none lacks its weights.

    `Storage.remove_missing` then removes them for everybody.
    """
    kept = {epoch_file(directory, epoch, "").name for epoch in keep_epochs}
    for record_path in epoch_files(directory, ".json"):
        if record_path.stem not in kept:
            record_path.unlink(missing_ok=True)
    for path in epoch_files(directory, ".*"):
        if path.stem not in kept:
            path.unlink(missing_ok=True)
