"""How long the rest takes, from what the finished cells took here (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Before anything has finished: processes to start per cell, and a CPU core's or small GPU's pace.
START_UP_SECONDS = 12.0


@dataclass(frozen=True)
class CellTime:
    """A cell's cost in FLOPs, what it waits for and how long it has run already (None: not started)."""

    name: str
    waits_for: str | None
    flops: float
    running_for: float | None = None


def seconds_per_flop(finished: Mapping[str, float], flops: Mapping[str, float]) -> float | None:
    """The pace of the finished cells (wall seconds by name), start-up taken off; None before the first."""
    work = sum(flops[name] for name in finished)
    seconds = sum(max(seconds - START_UP_SECONDS, 0.1 * seconds) for seconds in finished.values())
    return seconds / work if work > 0 else None


def eta_seconds(left: Sequence[CellTime], pace: float | None, slots: int) -> float | None:
    """Seconds until all of `left` is done on `slots` cells at a time: total work or the longest chain.

    None while no cell has finished, because nothing is known of this machine's pace.
    """
    if not left:
        return 0.0
    if pace is None:
        return None
    own = {
        cell.name: max(START_UP_SECONDS + cell.flops * pace - (cell.running_for or 0.0), 1.0) for cell in left
    }
    parents = {cell.name: cell.waits_for for cell in left}
    longest = max(_chain_seconds(name, parents, own) for name in own)
    return max(sum(own.values()) / max(1, slots), longest)


def _chain_seconds(name: str, parents: Mapping[str, str | None], own: Mapping[str, float]) -> float:
    total = 0.0
    current: str | None = name
    while current is not None and current in own:
        total += own[current]
        current = parents[current]
    return total
