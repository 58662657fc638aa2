"""Pieces of text that several commands and views share: times, sizes, shares, columns, who holds cells."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from catalog.names import clock_text, count_text
from catalog.storage.sizes import bytes_text

if TYPE_CHECKING:  # at run time it would cost every command numpy, Arrow and PyAV
    from trainables.data.ingest.run import BuildProgress, Stage

PLAIN_STATUS_SECONDS = 30.0
"""How often a view says how far it is where no terminal can be rewritten."""


_NARROWEST = 40


def aligned_columns(rows: list[list[str]], words: int = 2) -> list[str]:
    """Columns in line: the first `words` ones to the left, the others, of figures, to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def terminal_width() -> int | None:
    """Characters of a line where people look at it; None where a program reads, or a file is written."""
    wide = os.environ.get("COLUMNS", "")
    if not (sys.stdout.isatty() or wide.isdecimal()):
        return None
    return max(shutil.get_terminal_size().columns, _NARROWEST)


def percent_text(part: float, whole: float) -> str:
    """A part of something as people read it."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def accuracy_text(accuracy: float | None, videos: float | None, decimals: int = 2) -> str:
    """An accuracy (percent) with its 95 % interval from the number of videos, where that is known."""
    return accuracy_texts([(accuracy, videos)], decimals)[0]


def accuracy_texts(measured: Sequence[tuple[float | None, float | None]], decimals: int = 2) -> list[str]:
    """As `accuracy_text`, of many at once, each with its number of videos: one alone takes as long."""
    import numpy as np

    from dashboards.statistics import accuracy_in_words
    from dashboards.statistics.columns import accuracy_intervals

    accuracies, videos = np.array(measured, dtype=float).reshape(-1, 2).T
    texts = []
    for (accuracy, _), low, high in zip(
        measured, *accuracy_intervals(accuracies, np.floor(videos)), strict=True
    ):
        if accuracy is None or not math.isfinite(accuracy):
            texts.append("not done" if accuracy is None else "not a number")
        else:
            bounds = None if math.isnan(low) else (float(low), float(high))
            texts.append(accuracy_in_words(accuracy, bounds, decimals=decimals))
    return texts


def flops_text(flops: float) -> str:
    """Floating-point operations in the unit that suits them."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if flops < 1000:
            return f"{flops:.4g} {prefix}FLOP"
        flops /= 1000
    return f"{flops:.4g} EFLOP"


def hours_text(value: float) -> str:
    """Hours with as many digits as they deserve."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def time_text(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86400:,.1f} d"


class Phases:
    """Says what a command begins, with the time since the command itself began."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._began = clock()

    def __call__(self, phase: str) -> None:
        """What begins now."""
        self._say(f"{clock_text(self._clock() - self._began):>6}  {phase}")


def held_lines(holders: Mapping[str, str]) -> list[str]:
    """One line for every other driver that trains cells of this study."""
    return [
        f"{count_text(count, 'cell')} held by {holder}"
        for holder, count in sorted(Counter(holders.values()).items())
    ]


_TERMINAL_SECONDS = 0.2
_WORDS: dict[Stage, tuple[str, str, str]] = {  # what is counted, what was done with bytes, what is wrong
    "generating": ("videos", "written", "quarantined"),
    "comparing": ("videos", "read", "quarantined"),
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
    parts += [f"{bytes_text(now.bytes)} {moved}"] if now.bytes else []
    parts += [f"{now.quarantined} {bad}"] if now.quarantined else []
    return f"dataset {name}: {', '.join(parts)}"
