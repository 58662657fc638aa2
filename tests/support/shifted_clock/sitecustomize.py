"""Shifts the clock of every Python process with this folder in `PYTHONPATH`, while it runs.

`ACTIONGRID_TEST_CLOCK` names a file that holds the shift in seconds; it is looked at all the time. Only what
reads the time of day through `time` sees it; a monotonic clock never jumps.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_LOOK_SECONDS = 0.2


class ShiftedClock:
    """The time of day, so many seconds later as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._nanoseconds, self._next_look = 0, 0.0
        self._real = time.time_ns
        self._strftime, self._localtime, self._gmtime = time.strftime, time.localtime, time.gmtime

    def time_ns(self) -> int:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            with suppress(OSError, ValueError):
                self._nanoseconds = int(self._file.read_text() or "0") * 10**9
        return self._real() + self._nanoseconds

    def time(self) -> float:
        return self.time_ns() / 1e9

    def localtime(self, seconds: float | None = None) -> time.struct_time:
        return self._localtime(self.time() if seconds is None else seconds)

    def gmtime(self, seconds: float | None = None) -> time.struct_time:
        return self._gmtime(self.time() if seconds is None else seconds)

    def strftime(self, form: str, when: time.struct_time | None = None) -> str:
        return self._strftime(form, self.localtime() if when is None else when)


if "ACTIONGRID_TEST_CLOCK" in os.environ:
    _clock = ShiftedClock(Path(os.environ["ACTIONGRID_TEST_CLOCK"]))
    for _name in ("time", "time_ns", "localtime", "gmtime", "strftime"):
        setattr(time, _name, getattr(_clock, _name))
