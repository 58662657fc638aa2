"""Drivers as processes, for the tests that start several of them, stop them and kill them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from catalog import Tail
from catalog.events import Event
from tests.support.studies import command

STUDY = """
name: {name}
axes: {{module: {modules}, backbone: [tiny], frames: {frames}, dataset: [synthetic-motion]}}
datasets:
  synthetic-motion: {{kind: synthetic-motion, train_per_class: 4, val_per_class: 2}}
recipe:
  base: {{init: random, batch_size: 8, lr: 0.05, crop_size: 32, inherit: last, epochs: {epochs}}}
evaluation: {{crop_size: 32, short_side: 36, batch_size: 8}}
"""


def write_study(folder: Path, name: str, modules: str, frames: str = "[8]", epochs: int = 2) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, modules=modules, frames=frames, epochs=epochs))
    return path


class RunningDriver:
    """`actiongrid run` in the background; what it prints is kept, beside the study's file."""

    def __init__(
        self, study: Path, storage: Path | str, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        name = f"{Path(storage).name}-{study.stem}-{time.monotonic_ns()}.txt"
        self._output = study.with_name(name)
        arguments = command("run", study, "--storage", storage, *options)
        variables = {**os.environ, **(environment or {})}
        with self._output.open("w") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, env=variables)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self._output.read_text()

    def ends_with(self, code: int, seconds: float = 240) -> str:
        """Wait for the end, check the exit code and return what was printed."""
        try:
            ended = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running\n{self.output}") from None
        assert ended == code, f"exit {ended}\n{self.output}"
        return self.output

    def says(self, text: str, seconds: float = 120) -> None:
        """Wait until it has printed `text`."""
        wait_for(lambda: text in self.output, f"it says {text!r}", seconds, self)

    def __enter__(self) -> RunningDriver:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        wait_until_gone(self.pid)


class Events:
    """All that has been journalled in a storage so far."""

    def __init__(self, storage: Path) -> None:
        self._tail = Tail(storage)
        self._events: list[Event] = []

    def of(self, kind: type[Event]) -> list[Any]:
        self._events.extend(self._tail.poll())
        return [event for event in self._events if isinstance(event, kind)]

    def wait(self, kind: type[Event], number: int, driver: RunningDriver) -> list[Any]:
        """Wait until there are so many events of a kind; the driver is to make them."""
        wait_for(lambda: len(self.of(kind)) >= number, f"{number} x {kind.__name__}", 180, driver)
        return self.of(kind)


def wait_for(
    condition: Callable[[], object], what: str, seconds: float, driver: RunningDriver | None = None
) -> None:
    """Wait until `condition` holds; fail at once where the driver that is to bring it about has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if driver is not None:
            assert driver.process.poll() is None, f"ended before: {what}\n{driver.output}"
        shown = driver.output if driver is not None else ""
        assert time.monotonic() < deadline, f"never happened: {what}\n{shown}"
        time.sleep(0.2)


def ray_processes(session_of: int) -> list[psutil.Process]:
    """Processes of the Ray that the driver with this pid started: their command lines name its session."""
    mark = f"_{session_of}/"
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(mark in part and "session_" in part for part in process.info["cmdline"] or ())
    ]


def wait_until_gone(session_of: int, seconds: float = 60) -> None:
    """Wait until nothing is left of the Ray that the driver with this pid started."""
    wait_for(lambda: not ray_processes(session_of), f"Ray of {session_of} gone", seconds)


@contextmanager
def held_cluster(environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Ray cluster in a process of its own (`cluster_holder`), which prints its address first."""
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cluster_holder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    yield holder
    holder.communicate(timeout=60)


def held_leases(storage: Path) -> list[str]:
    """The keys whose leases somebody, dead or alive, still has."""
    from catalog.storage.folder_storage import FolderFiles
    from catalog.storage.layout import Layout
    from orchestrator.coordination.lease import Leases

    leases = Leases(FolderFiles(Layout(storage).leases), "test", lambda _: False)
    return [key for key in leases.known() if leases.read(key).owner is not None]
