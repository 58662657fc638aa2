"""A run whose leases expire within seconds: `python -m tests.support.stoppable_run STORAGE STUDY [stop]`.

With `stop` it stops itself (SIGSTOP) once, after its first epoch stands, as a machine that sleeps does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from orchestrator.coordination import drivers
from orchestrator.coordination.drivers import Watch
from tests.support.run_here import run_here
from trainables.training.session import CellSession

TIME_OUT_SECONDS = 2.0


class QuickWatch(Watch):
    """Takes a driver for dead after two seconds of silence, not thirty."""

    def __init__(self, files: drivers.SharedFiles) -> None:
        super().__init__(files, TIME_OUT_SECONDS)


def stop_after_the_first_epoch() -> None:
    train = CellSession.train_epoch

    def train_and_stop(session: CellSession, epoch: int) -> object:
        row = train(session, epoch)
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return row

    CellSession.train_epoch = train_and_stop  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    import orchestrator.coordination.shared_cells as shared

    shared.Watch = QuickWatch  # type: ignore[misc]
    if "stop" in sys.argv[3:]:
        stop_after_the_first_epoch()
    failures = run_here(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
    sys.exit(f"failed: {failures}" if failures else 0)
