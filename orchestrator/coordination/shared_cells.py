"""The cells of a storage as one of several drivers sees them: claims, attempts, and what the others did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.queries.drivers import (
    MeasuredTop1,
    attempts_of_key,
    driver_of_attempt,
    finished_accuracies,
    journalled_epochs,
    latest_failures,
    running_attempts,
    study_commands,
)
from catalog.storage.storage import FencedError, Storage
from orchestrator.coordination.drivers import (
    Amount,
    DriverRecord,
    Presence,
    Watch,
    resources_left,
    this_driver,
)
from orchestrator.coordination.lease import Lease, LeaseLostError, Leases, LeaseState
from orchestrator.coordination.requests import Command
from orchestrator.scheduling.schedule import Free

if TYPE_CHECKING:
    from pathlib import Path

    from catalog import Catalog

_SOMEBODY = "another driver"


@dataclass(frozen=True)
class Claim:
    """The number of the attempt that may be made now; else, in words, who holds the cell."""

    attempt: int | None
    holder: str = ""


@dataclass(frozen=True)
class Failure:
    """A cell that another driver gave up."""

    attempt: int
    error: str
    log: str


@dataclass(frozen=True)
class JournalUpdate:
    """What the journals say by now: top-1 of finished cells and failures, by key, and commands to the study.

    Failures and commands are those since this driver began.
    """

    finished: Mapping[str, MeasuredTop1]
    failed: Mapping[str, Failure]
    commands: tuple[Command, ...]


@dataclass(frozen=True)
class DeadAttempt:
    """An attempt that counts as running although its driver is gone.

    `epoch` is the cell's last one that was journalled; `last_time`, in seconds since 1970, the attempt's
    last sign of life.
    """

    key: str
    attempt: int
    driver: str
    cell: str | None
    epoch: int
    last_time: float


class SharedCells:
    """Made when a submission begins; all that is known of other drivers comes from the storage."""

    def __init__(
        self,
        leases: Leases,
        watch: Watch,
        presence: Presence,
        catalog: Catalog,
        storage: Storage,
    ) -> None:
        self._storage = storage
        self._leases = leases
        self._watch = watch
        self._presence = presence
        self._catalog = catalog
        self._held: dict[str, Lease] = {}
        self._lost: dict[str, int] = {}
        self._others: tuple[DriverRecord, ...] = ()
        self.yields_to_priority = False
        self._failed_before = {key: failure.attempt for key, failure in self._failures().items()}
        self._commands_before = frozenset(command.id for command in self._commands())

    def _refresh(self) -> None:
        self._storage.refresh_journals()
        self._catalog.refresh()

    def claim(self, key: str, run_dir: Path | None = None, after: int = 0) -> Claim:
        """The next attempt at a cell, where no other driver holds it and it is not done by now.

        From then on only this attempt may write into `run_dir`. A cell that attempt `after` or one before
        finished is not done.

        Raises:
            LeaseError: The storage knows no hard links.
        """
        if key not in self._held and (driver := self._driver_without_lease(key)):
            return Claim(None, self._name(driver))
        lease = self._lease(key)
        if isinstance(lease, LeaseState):
            return Claim(None, self._name(lease.owner))
        self._held[key] = lease
        # What the one before journalled is there: the lease was given up after it.
        self._refresh()
        attempts, finished = attempts_of_key(self._catalog, key)
        if finished > max(after, self._lost.get(key, 0)):
            self.release(key)
            return Claim(None, "a driver that has finished it")
        while lease.number <= attempts:  # attempts from before there were leases
            lease = self._leases.advance(lease)
            self._held[key] = lease
        if run_dir is not None and not self._fences(run_dir, lease):
            self.release(key)
            return Claim(None, _SOMEBODY)
        return Claim(lease.number)

    def disregard(self, key: str, attempt: int) -> None:
        """From now on a cell is not done by a result of this attempt: its weights are lost."""
        self._lost[key] = attempt

    def _driver_without_lease(self, key: str) -> str | None:
        """The living driver that makes an attempt at a cell although its lease's file is gone."""
        attempts, _ = attempts_of_key(self._catalog, key)
        return self._other_driver(key, attempts) if attempts > self._leases.read(key).number else None

    def _other_driver(self, key: str, attempt: int) -> str | None:
        driver = driver_of_attempt(self._catalog, key, attempt)
        others = driver is not None and driver != self._presence.record.writer
        return driver if others and self._watch.is_here(driver or "") else None

    def _fences(self, run_dir: Path, lease: Lease) -> bool:
        """Whether the earlier attempts' workers are shut out, and this one is not itself by now."""
        try:
            self._storage.raise_fence(run_dir, lease.number)
        except FencedError:
            return False
        return self._leases.is_held(lease)

    def _lease(self, key: str) -> Lease | LeaseState:
        held = self._held.pop(key, None)
        if held is None:
            return self._leases.claim(key)
        try:
            return self._leases.advance(held)
        except LeaseLostError:
            return self._leases.read(key)

    def owns(self, key: str) -> bool:
        """Whether this driver still holds the cell."""
        lease = self._held.get(key)
        return lease is not None and self._leases.is_held(lease)

    def is_last(self, key: str, attempt: int) -> bool:
        """Whether nobody has made a later attempt at a cell, be it one that is over by now."""
        return self._leases.read(key).number <= attempt

    def release(self, key: str) -> None:
        """Give a cell back, where it is held. Where the storage refuses (OSError) it stays held."""
        lease = self._held.get(key)
        if lease is not None:
            self._leases.release(lease)
            del self._held[key]

    def release_all(self) -> None:
        """Give back all that is held."""
        for key in tuple(self._held):
            self.release(key)

    def holder(self, key: str) -> str | None:
        """The living driver that holds a cell, in words, or None."""
        owner = self._leases.read(key).owner
        if owner is None or owner == self._presence.record.writer or self._watch.is_dead(owner):
            return None
        return self._name(owner)

    def _name(self, owner: str | None) -> str:
        if owner is None:
            return _SOMEBODY
        record = self._watch.record(owner)
        return str(record) if record is not None else owner

    def attempts(self, key: str) -> int:
        """The highest attempt so far; 0 where there was none."""
        attempts, _ = attempts_of_key(self._catalog, key)
        return attempts

    def journalled_epochs(self, key: str) -> Mapping[int, tuple[float | None, ...]]:
        """Training loss, validation loss and top-1 of a cell's epochs that the journals have."""
        return journalled_epochs(self._catalog, key)

    def read_update(self) -> JournalUpdate:
        """Read what was journalled, and who is alive."""
        self._others = self._watch.drivers()
        self._refresh()
        rows = finished_accuracies(self._catalog).to_pylist()
        before = self._failed_before
        return JournalUpdate(
            finished={
                row["key"]: MeasuredTop1(row["top1"], row["eval_videos"], row["best_top1"])
                for row in rows
                if row["attempt"] > self._lost.get(row["key"], 0)
            },
            failed={key: one for key, one in self._failures().items() if one.attempt > before.get(key, 0)},
            commands=tuple(one for one in self._commands() if one.id not in self._commands_before),
        )

    def _failures(self) -> dict[str, Failure]:
        rows = latest_failures(self._catalog).to_pylist()
        return {row["key"]: Failure(row["attempt"], row["error"], row["log"] or "") for row in rows}

    def _commands(self) -> list[Command]:
        rows = study_commands(self._catalog, self._presence.record.study).to_pylist()
        return [Command(row["command"], row["action"], row["cells"], row["who"]) for row in rows]

    def publish(self, running: Amount, ready: Sequence[Amount]) -> None:
        """Tell the others what this driver occupies and what it could start at once."""
        self._presence.publish(running=running, ready=tuple(ready))

    def resources_left(self, total: Free) -> Free | None:
        """What this driver may use of its cluster, or None while a study of higher priority goes first."""
        left = resources_left(self._presence.record, self._others, total)
        self.yields_to_priority = left is None
        return left

    def dead_attempts(self) -> tuple[DeadAttempt, ...]:
        """Attempts without an end that no living driver makes.

        A cell's lease is looked at before and after the journals are read: where it was free all the time,
        all that its last owner had to say is in them.
        """
        before = {row["key"]: self._leases.read(row["key"]) for row in self._running()}
        found = []
        for row in self._running():
            state = before.get(row["key"])
            free = state is not None and (state.owner is None or self._watch.is_dead(state.owner))
            # An attempt has its lease's number: without that file the journals alone know whose it is.
            lost = state is not None and row["attempt"] > state.number and self._watch.is_here(row["driver"])
            if free and not lost and self._leases.read(row["key"]) == state:
                found.append(DeadAttempt(**row))
        return tuple(found)

    def _running(self) -> list[dict[str, Any]]:
        self._refresh()
        rows: list[dict[str, Any]] = running_attempts(self._catalog).to_pylist()
        return rows


@contextmanager
def shared_cells(
    storage: Storage, writer: str, study: str, priority: int, catalog: Catalog
) -> Iterator[tuple[SharedCells, Presence]]:
    """Take part in the work on a storage: with a heartbeat, and without a lease that is left behind."""
    drivers = storage.shared_files(storage.layout.drivers)
    watch = Watch(drivers)

    def driver_of(key: str, number: int) -> str | None:
        storage.refresh_journals()
        catalog.refresh()
        return driver_of_attempt(catalog, key, number)

    leases = Leases(storage.shared_files(storage.layout.leases), writer, watch.is_dead, driver_of)
    leases.reap()
    watch.forget_the_dead()
    with Presence(drivers, this_driver(writer, study, priority)) as presence:
        cells = SharedCells(leases, watch, presence, catalog, storage)
        storage.compact_journals(one.writer for one in watch.drivers())
        try:
            yield cells, presence
        finally:
            cells.release_all()
