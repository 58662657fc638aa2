"""When a running cell may be stopped without losing an epoch: between two checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.coordination.requests import Standing
from orchestrator.running.work import RunningCell

# Longer than writing a large checkpoint takes, shorter than the grace that clusters give after SIGTERM.
CHECKPOINT_WAIT_SECONDS = 10.0


def checkpoint_in_writing(run_dir: Path, since: float) -> bool:
    """Whether an epoch's files are being written: its predictions stand, its record, which is last, not yet.

    What an attempt before `since` (seconds since 1970) left half written does not count.
    """
    for predictions in run_dir.glob("epoch-*.parquet"):
        try:
            if not predictions.with_suffix(".json").exists() and predictions.stat().st_mtime >= since:
                return True
        except FileNotFoundError:
            continue
    return False


@dataclass(frozen=True)
class _Stop:
    """Stop past this epoch, or (None) when no checkpoint is being written, and `by` then at the latest."""

    after_epoch: int | None
    by: float


class Stops:
    """Which running cells people want stopped, and from when on that may be done."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stops: dict[str, _Stop] = {}

    def ask(self, name: str, standing: Standing | None, epoch: int) -> None:
        """Take note of what holds for a running cell that has finished `epoch` epochs so far."""
        stop = self._stops.get(name)
        if standing is None:
            self._stops.pop(name, None)
        elif standing is Standing.PAUSED:
            self._stops[name] = stop or _Stop(epoch, 0.0)
        elif stop is None or stop.after_epoch is not None:
            self._stops[name] = _Stop(None, self._clock() + CHECKPOINT_WAIT_SECONDS)

    def is_due(self, cell: RunningCell, epoch: int, writes: Callable[[RunningCell], bool]) -> bool:
        """Whether to stop a cell now that has finished `epoch` epochs."""
        stop = self._stops.get(cell.name)
        if stop is None:
            return False
        if stop.after_epoch is None:
            return self._clock() >= stop.by or not writes(cell)
        # After its last epoch a cell has only its result to write.
        return stop.after_epoch < epoch < cell.epochs

    def pop(self, name: str) -> bool:
        """Forget a cell that has ended; whether it was to be stopped."""
        return self._stops.pop(name, None) is not None
