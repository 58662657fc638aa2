"""Who works on a storage: one file a driver, `<storage>/drivers/<writer>.json`, and its heartbeat.

The heartbeat is the file's mark (`SharedFiles`): its time of change. Clocks of two machines
are never compared: an observer counts, on its own monotonic clock, how long it has seen no change.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.storage import SharedFiles, Storage
from orchestrator.coordination.lease import Leases
from orchestrator.scheduling.schedule import Free

BEAT_SECONDS = 3.0
TIME_OUT_SECONDS = 30.0
# A look counts for no more than this much silence: who was suspended itself, or waited for a storage that
# did not answer, has not observed anybody meanwhile.
LOOK_SECONDS = 5.0

Amount = tuple[float, float]


@dataclass(frozen=True)
class DriverRecord:
    """A driver as others see it. Amounts are (CPUs, GPUs): what it runs, and what each ready cell asks for.

    `machine` and `started` tell its process from others with the same number, where one can look; `cluster`
    is its Ray's address, None while it has none, or one of its own.
    """

    writer: str
    user: str
    host: str
    pid: int
    machine: str
    started: int
    study: str
    priority: int = 0
    cluster: str | None = None
    running: Amount = (0.0, 0.0)
    ready: tuple[Amount, ...] = ()

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, pid {self.pid}"


def writer_name() -> str:
    """A journal's name that no other driver has: time, host, process."""
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{platform.node() or 'host'}-{os.getpid()}"


def this_driver(writer: str, study: str, priority: int) -> DriverRecord:
    """The record of the process that asks."""
    return DriverRecord(
        writer=writer,
        user=user_name(),
        host=platform.node(),
        pid=os.getpid(),
        machine=this_machine(),
        started=process_start(os.getpid()) or 0,
        study=study,
        priority=priority,
    )


class Presence:
    """This driver's record and its heartbeat, from entering to leaving the block."""

    def __init__(self, files: SharedFiles, record: DriverRecord, beat_seconds: float = BEAT_SECONDS) -> None:
        self._files = files
        self._name = f"{record.writer}.json"
        self._record = record
        self._beat_seconds = beat_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)

    @property
    def record(self) -> DriverRecord:
        """What was published last."""
        return self._record

    def publish(self, **changes: Any) -> None:  # noqa: ANN401 - any of the record's fields
        """Change fields of the record. A full disk keeps the old one in place: it is a hint to others."""
        record = replace(self._record, **changes)
        if record != self._record:
            self._record = record
            with suppress(OSError):
                self._write()

    def _write(self) -> None:
        self._files.write(self._name, self._content())

    def _content(self) -> bytes:
        return with_checksum(json.dumps(asdict(self._record)).encode())

    def beat(self) -> None:
        """Show that this driver lives; its file is made again where it is gone."""
        with suppress(OSError):
            try:
                self._files.beat(self._name, self._content())
            except FileNotFoundError:
                self._write()

    def _keep_beating(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            self.beat()

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        # Who cannot say goodbye counts as dead a little later.
        with suppress(OSError):
            self._files.remove(self._name)


class Watch:
    """Judges the other drivers of a storage. A file that is gone counts like one that changes no more."""

    def __init__(
        self,
        files: SharedFiles,
        time_out_seconds: float = TIME_OUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._time_out = time_out_seconds
        self._clock = clock
        self._seen: dict[str, tuple[Hashable, float, float]] = {}

    def record(self, writer: str) -> DriverRecord | None:
        """What a driver says of itself, or None where that cannot be read, or another one says it."""
        try:
            found = _record(load_checked(self._files.read(f"{writer}.json") or b"", ("writer",)))
            return found if found.writer == writer else None
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            OverflowError,
            IsADirectoryError,
        ):
            return None

    def is_dead(self, writer: str) -> bool:
        """Whether a driver's process has ended, where one can look, or its heart was still for too long."""
        silent = self._silence(writer) >= self._time_out
        record = self.record(writer)
        return silent or (record is not None and has_ended(record))

    def is_here(self, writer: str) -> bool:
        """Whether a driver has a file and is not known to be dead."""
        return self._files.mark(f"{writer}.json") is not None and not self.is_dead(writer)

    def drivers(self) -> tuple[DriverRecord, ...]:
        """All drivers that are not known to be dead."""
        records = (self.record(writer) for writer in self._writers() if not self.is_dead(writer))
        return tuple(record for record in records if record is not None)

    def forget_the_dead(self) -> None:
        """Remove the files of drivers whose processes have ended on this machine."""
        for writer in self._writers():
            record = self.record(writer)
            if record is not None and has_ended(record):
                self._files.remove(f"{writer}.json")

    def _writers(self) -> list[str]:
        names = (name for name in self._files.names() if name.endswith(".json") and name[0] != ".")
        return sorted(name.removesuffix(".json") for name in names)

    def _silence(self, writer: str) -> float:
        """Seconds for which a driver's mark has been seen unchanged."""
        now, mark = self._clock(), self._files.mark(f"{writer}.json")
        before, looked, silent = self._seen.get(writer, (mark, now, 0.0))
        silent = silent + min(now - looked, LOOK_SECONDS) if mark == before else 0.0
        self._seen[writer] = (mark, now, silent)
        return silent


def _record(fields: dict[str, Any]) -> DriverRecord:
    """A driver's record from its file; ValueError, TypeError or KeyError where that is none."""
    amounts = [
        tuple(float(one) for one in amount) for amount in (fields.pop("running"), *fields.pop("ready"))
    ]
    if any(len(amount) != 2 for amount in amounts):
        raise ValueError("an amount is of CPUs and GPUs")
    whole = {name: int(fields[name]) for name in ("pid", "started", "priority")}
    running, *ready = ((cpus, gpus) for cpus, gpus in amounts)
    return DriverRecord(**{**fields, **whole, "running": running, "ready": tuple(ready)})


def resources_left(mine: DriverRecord, others: Sequence[DriverRecord], total: Free) -> Free | None:
    """The cluster's resources without what the others' cells occupy; None while this driver has to wait.

    It waits as long as a driver of higher priority on the same cluster has a cell ready that would fit, so
    that what becomes free goes there first. Nothing that runs is ever stopped for another study.
    """
    if mine.cluster is None:
        return total
    rivals = [one for one in others if one.cluster == mine.cluster and one.writer != mine.writer]
    cpus = total.cpus - sum(one.running[0] for one in rivals)
    gpus = total.gpus - sum(one.running[1] for one in rivals)
    free = Free(cpus - mine.running[0], gpus - mine.running[1])
    for rival in rivals:
        fitting = any(ask[0] <= free.cpus and ask[1] <= free.gpus for ask in rival.ready)
        if rival.priority > mine.priority and fitting:
            return None
    return Free(cpus, gpus)


def held_by(storage: Storage, keys: Iterable[str]) -> dict[str, str]:
    """The drivers that hold cells, in words, by the cells' keys. Who is known to be dead holds nothing."""
    watch = Watch(storage.shared_files(storage.layout.drivers))
    leases = Leases(storage.shared_files(storage.layout.leases), "", watch.is_dead)
    found = {}
    known = frozenset(leases.known())
    for key in known.intersection(keys):
        owner = leases.read(key).owner
        if owner is not None and not watch.is_dead(owner):
            record = watch.record(owner)
            found[key] = str(record) if record is not None else owner
    return found


def has_ended(record: DriverRecord) -> bool:
    """Whether a driver ran on this machine and its process is gone; False wherever one cannot tell."""
    if not record.machine or record.machine != this_machine():
        return False
    return process_start(record.pid) != record.started


def this_machine() -> str:
    """This boot and process namespace: in one of them a process number says who is alive; "" if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """When a living process of this machine started, in clock ticks since boot; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie is dead: only its parent has not asked yet.
    return None if fields[0] in "ZX" else int(fields[19])


def user_name() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
