"""Shows how far a build is: one line that is rewritten on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from orchestrator.terminal.text import PLAIN_STATUS_SECONDS, clock_text
from trainables.data.ingest.plan import in_words
from trainables.data.ingest.run import BuildProgress, Stage

_TERMINAL_SECONDS = 0.2
_WORDS: dict[Stage, tuple[str, str, str]] = {  # what is counted, what was done with bytes, what is wrong
    "generating": ("videos", "written", "quarantined"),
    "reading": ("videos", "written", "quarantined"),
    "verifying": ("files", "read", "not as built"),
}


class BuildView:
    """Told of every step, writes some of them to `out`; a build of a few seconds leaves no line behind."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out, clock
        self._live = out.isatty()
        self._stage: tuple[str, str] | None = None
        self._began = self._shown = 0.0
        self._width = 0

    def __call__(self, name: str, now: BuildProgress) -> None:
        """Dataset `name` is as far as `now` says."""
        time_now = self._clock()
        if self._stage != (name, now.stage):
            self._stage, self._began, self._shown = (name, now.stage), time_now, time_now
        last = now.done == now.total
        if self._live and (last or time_now - self._shown >= _TERMINAL_SECONDS):
            self._rewrite("" if last else build_line(name, now, time_now - self._began))
        elif not self._live and time_now - self._shown >= PLAIN_STATUS_SECONDS:
            self._out.write(build_line(name, now, time_now - self._began) + "\n")
        else:
            return
        self._out.flush()
        self._shown = time_now

    def _rewrite(self, line: str) -> None:
        self._out.write(f"\r{line:<{self._width}}" + ("" if line else "\r"))
        self._width = len(line)


def build_line(name: str, now: BuildProgress, seconds: float) -> str:
    """Share, videos, rate, time to go, bytes and quarantined videos on one line."""
    fresh = now.done - now.standing
    rate = fresh / seconds if seconds > 0 else 0.0
    to_go = clock_text((now.total - now.done) / rate if rate else None)
    unit, moved, bad = _WORDS[now.stage]
    parts = [
        f"{now.stage} {100 * now.done // max(1, now.total)} %",
        f"{now.done} of {now.total} {unit}",
        f"{rate:.1f} {unit}/s",
        f"{to_go} to go",
    ]
    parts += [f"{in_words(now.bytes)} {moved}"] if now.bytes else []
    parts += [f"{now.quarantined} {bad}"] if now.quarantined else []
    return f"dataset {name}: {', '.join(parts)}"
