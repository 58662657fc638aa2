"""The epochs that stand in run directories, journalled once each: of cells that run, and that were stopped.

The run directory is the truth: a checkpoint's record is written before its epoch is reported. Reports that
travel through Ray are neither exactly- nor at-least-once, so nothing else is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalog.events import Event
from orchestrator.coordination.shared_cells import SharedCells
from orchestrator.ray_runtime.train_run import TrialRequest
from orchestrator.running.attempt_files import RunReader
from orchestrator.running.journal_events import epoch_event


class EpochsOnDisk:
    """What one driver has journalled of the epochs of its cells."""

    def __init__(self, runs: RunReader, append: Callable[[Event], object], shared: SharedCells) -> None:
        self._runs = runs
        self._append = append
        self._shared = shared
        self._journalled: dict[str, int] = {}
        self._stopped: dict[str, TrialRequest] = {}

    def last(self, key: str) -> int:
        """The last epoch of a cell that is in this driver's journal, from 1; 0 where there is none."""
        return self._journalled.get(key, 0)

    def journal(self, request: TrialRequest) -> dict[str, Any] | None:
        """Journal what is new and return the newest epoch's metrics; None where nothing is new."""
        rows = self._runs.history(request)[self.last(request.key) :]
        if not rows or not self._may_speak(request):
            return None
        for row in rows:
            self._append(epoch_event(request.key, request.attempt, row))
            self._journalled[request.key] = int(row["epoch"])
        return dict(rows[-1])

    def started(self, request: TrialRequest) -> None:
        """The cell runs (again)."""
        self._stopped.pop(request.key, None)

    def stopped(self, request: TrialRequest) -> None:
        """The cell was left without a result; its worker may finish an epoch before it dies."""
        self._stopped[request.key] = request

    def journal_stopped(self) -> None:
        """Journal what came to stand after its cell was stopped."""
        for request in self._stopped.values():
            self.journal(request)

    def _may_speak(self, request: TrialRequest) -> bool:
        """Whether the cell is ours, or was until it was stopped here, and nobody's since."""
        given_up = request.key in self._stopped and self._shared.holder(request.key) is None
        return given_up or self._shared.is_ours(request.key)
