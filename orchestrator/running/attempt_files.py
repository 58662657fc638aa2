"""What running cells have left in their run directories, read on the driver's machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from catalog.storage.mirror import mirror_at
from trainables.training.result import CellResult, read_history, read_result
from trainables.training.run_files import fetch_small

if TYPE_CHECKING:
    from catalog.storage.layout import Layout
    from orchestrator.ray_runtime.train_run import TrialRequest
    from trainables.training.checkpoint import Metrics

LOOK_SECONDS = 5.0


class RunReader:
    """What running cells have left in their run directories, also where their workers are elsewhere.

    `together`: workers and driver are on one machine, and share its mirror.
    """

    def __init__(
        self, layout: Layout, *, together: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._layout = layout
        self._together = together or mirror_at(layout.root) is None
        self._clock = clock
        self._looked: dict[str, float] = {}

    def history(self, request: TrialRequest) -> tuple[Metrics, ...]:
        """Metric rows of all epochs that stand; from a bucket as of a few seconds ago.

        Raises:
            BucketError: The bucket does not answer.
        """
        run_dir = self._layout.run_dir(request.cell, request.key)
        now = self._clock()
        if not self._together and now - self._looked.get(request.key, float("-inf")) >= LOOK_SECONDS:
            self._looked[request.key] = now
            fetch_small(run_dir)
        return read_history(run_dir)

    def result(self, request: TrialRequest) -> CellResult | None:
        """The result, if there is one by now.

        Raises:
            BucketError: The bucket does not answer.
        """
        run_dir = self._layout.run_dir(request.cell, request.key)
        if not self._together:
            fetch_small(run_dir)
        return read_result(run_dir, request.key)
