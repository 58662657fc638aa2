"""Checkpoints of one cell: written whole, checksummed, found again after any crash.

A checkpoint is `epoch-0007.pt` plus its record `epoch-0007.json`. Both are written under a temporary name,
fsynced and moved; the record comes last, so a record that can be read names a complete file. The record
carries the metric history up to its epoch: history and weights can never disagree.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.atomic import sha256_of
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import EPOCHS, epoch_file, epoch_files
from catalog.storage.outage import is_outage, retry_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.storage.storage import Storage

logger = logging.getLogger(__name__)

Metrics = dict[str, float]


class CheckpointError(ActionGridError):
    """A checkpoint that cannot be used: damaged, of another model, or missing."""

    failure_kind = FailureKind.CHECKPOINT


@dataclass(frozen=True)
class CheckpointRecord:
    """What is known of one checkpoint. `history` holds one metrics row per epoch, 1..epoch."""

    epoch: int
    sha256: str
    path: str
    predictions_path: str
    history: tuple[Metrics, ...]

    @property
    def metrics(self) -> Metrics:
        """Metrics of this checkpoint's own epoch."""
        return self.history[-1]


def save_checkpoint(
    storage: Storage,
    directory: Path,
    state: dict[str, Any],
    predictions_path: Path,
    history: Sequence[Metrics],
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
    )
    storage.write(path.with_suffix(".json"), json.dumps(asdict(record)).encode())
    return record


def read_record(path: Path) -> CheckpointRecord | None:
    """The record in `path`, or None where it is torn or of another form. Paths follow a moved file.

    Raises:
        OSError: the storage is at fault; the record may well stand.
    """
    try:
        fields = json.loads(path.read_text())
        return CheckpointRecord(
            epoch=int(fields["epoch"]),
            sha256=str(fields["sha256"]),
            path=str(path.with_suffix(".pt")),
            predictions_path=str(path.parent / Path(fields["predictions_path"]).name),
            history=tuple(fields["history"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if is_outage(error):
            raise
        return None


def records(directory: Path) -> tuple[CheckpointRecord, ...]:
    """All readable checkpoint records in `directory`, oldest first; the weights are not verified."""
    found = (read_record(path) for path in epoch_files(directory, ".json"))
    return tuple(record for record in found if record is not None)


def is_intact(record: CheckpointRecord) -> bool:
    """Whether the weights file is there and matches its checksum."""
    path = Path(record.path)
    return path.is_file() and sha256_of(path) == record.sha256


def latest_intact(directory: Path) -> CheckpointRecord | None:
    """The newest checkpoint whose checksum holds; a damaged one is named in the log and passed over.

    Raises:
        StoreReadError: the storage is at fault, at several tries: no epoch is lost to that.
    """
    for record in reversed(retry_reading(lambda: records(directory), directory)):
        if retry_reading(partial(is_intact, record), Path(record.path)):
            return record
        logger.warning("checkpoint %s is damaged; the one before it is used", record.path)
    return None


def load_state(path: Path, sha256: str) -> dict[str, Any]:
    """Load a checkpoint's tensors, after its checksum, without trusting the file (`weights_only`).

    Raises:
        CheckpointError: The file is missing, does not match `sha256` or is no checkpoint.
    """
    import torch

    if not path.is_file():
        raise CheckpointError("checkpoint is missing", path, "train that cell again")
    actual = retry_reading(lambda: sha256_of(path), path)
    if actual != sha256:
        raise CheckpointError(
            f"checkpoint does not match its checksum (recorded {sha256[:12]}…, file {actual[:12]}…)",
            path,
            "restore the file or train that cell again",
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
