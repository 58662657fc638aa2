"""A whole `actiongrid run` in the test's own process: the real submission, plan and driver, without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import torch

from catalog import Catalog
from catalog.journal import open_journal
from catalog.storage.errors import ActionGridError
from catalog.storage.folder_storage import FolderStorage
from orchestrator.coordination.drivers import writer_name
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.driver import Driver
from orchestrator.running.submission import Options, Submission
from orchestrator.scheduling.retry import marked
from orchestrator.scheduling.schedule import Free
from orchestrator.study.load import parse_study
from trainables.data.frames.store_reader import prepare_frames
from trainables.recipe.cell_spec import CellSpec
from trainables.training.session import CellSession


class StoppedError(Exception):
    """The run was to end here."""


def run_here(
    root: Path,
    study_text: str,
    last_epoch: int | None = None,
    announce: Callable[[str], None] = lambda _: None,
    *,
    check_checkpoints: bool = False,
) -> list[str]:
    """Run what is missing of a study; the errors of cells that were given up.

    With `last_epoch` a cell with a parent is left there, as by a kill, and StoppedError raised.
    """
    torch.set_num_threads(1)
    study, storage, stop = parse_study(study_text, "study.yaml"), FolderStorage(root), Event()
    with (
        open_journal(storage, f"{writer_name()}-{time.monotonic_ns()}") as journal,
        Catalog.open(root) as catalog,
        shared_cells(storage, journal.path.stem, study.name, 0, catalog) as (shared, _),
    ):
        options = Options(storage, "study.yaml", check_checkpoints=check_checkpoints)
        submission = Submission(study, options, journal, catalog, shared, root / "ray")
        submission.prepare(lambda *_: None, announce)
        driver = submission.driver(stop)
        _drive(driver, last_epoch)
        return [failure.error for failure in driver.failures]


def _drive(driver: Driver, last_epoch: int | None) -> None:
    while not driver.is_finished:
        request = driver.next_trial(Free(2.0))
        if request is not None:
            driver.trial_ended(request, _error_of(request, last_epoch))


def _error_of(request: TrialRequest, last_epoch: int | None) -> str | None:
    spec = CellSpec.model_validate_json(request.spec)
    try:
        prepare_frames(Path(spec.manifest), spec.frames_on_local_disk)
        session = CellSession.open(spec, rank=0, world=1, local_rank=0)
        for epoch in range(session.first_epoch, spec.recipe.epochs + 1):
            session.train_epoch(epoch)
            if spec.parent is not None and epoch == last_epoch:
                raise StoppedError
        session.finish()
    except ActionGridError as error:
        return marked(error.failure_kind, f"{type(error).__name__}: {error}")
    return None


RESULTS = """
    SELECT cell, epochs, best_epoch, top1, top5, loss, best_top1, best_loss, train_videos, eval_videos
    FROM results ORDER BY cell
"""
PREDICTIONS = "SELECT cell, checkpoint, video, label, predicted, loss FROM predictions ORDER BY ALL"


def numbers(root: Path) -> dict[str, list[dict[str, Any]]]:
    """All that the catalog says of results and predictions, and the files that it could not read."""
    with Catalog.open(root) as catalog:
        found = {
            "results": catalog.query(RESULTS).to_pylist(),
            "predictions": catalog.query(PREDICTIONS).to_pylist(),
        }
        return found | {"faults": [fault.reason for fault in catalog.faults if fault.kind == "missing"]}
