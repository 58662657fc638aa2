"""The processes of one test, found by a mark in their environment that all their descendants inherit."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from uuid import uuid4

import psutil

_VARIABLE = "ACTIONGRID_TEST_MARK"


@dataclass(frozen=True)
class Mark:
    """What tells this test's processes from all others on the machine."""

    value: str

    @classmethod
    def new(cls) -> Mark:
        """A mark that nobody else has."""
        return cls(uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that marks a process and its descendants."""
        return os.environ | {_VARIABLE: self.value}

    def processes(self, *titles: str) -> list[psutil.Process]:
        """The living processes with one of these words in their command line; without words: all."""
        found = []
        for process in psutil.process_iter():
            try:
                own = process.environ().get(_VARIABLE) == self.value
                line = " ".join(process.cmdline())
                alive = process.status() != psutil.STATUS_ZOMBIE
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if own and alive and (not titles or any(title in line for title in titles)):
                found.append(process)
        return found

    def wait_until_gone(self, seconds: float = 60) -> None:
        """Wait for the last of them.

        Raises:
            AssertionError: some are still there after `seconds`; they are named, and killed.
        """
        deadline = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > deadline:
                names = [" ".join(one.cmdline())[:80] for one in left]
                self.kill_all()
                raise AssertionError(f"left behind: {names}")
            time.sleep(0.3)

    def kill_all(self) -> None:
        """For the end of a test that failed."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
