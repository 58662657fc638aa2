"""A storage whose dataset is really built and whose journal says that a study's cells are finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalog import Journal
from catalog.events import AttemptEnded, AttemptStarted, CellFinished, StudySubmitted
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.datasets.build import Builder, build_missing
from orchestrator.datasets.built import dataset_states
from orchestrator.evaluation.jobs import dataset_built_event
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from orchestrator.planning.storage_plan import plan_and_measure
from orchestrator.running.journal_events import planned_event
from orchestrator.study.load import parse_study
from orchestrator.study.model import Study
from trainables.data.frames.manifest import read_manifest

STUDY = """\
name: lengths
axes: {module: [tam], backbone: [tiny], frames: [8, 16, 32, 64], dataset: [toy]}
datasets: {toy: {kind: synthetic-motion, train_per_class: 2, val_per_class: 1}}
recipe:
  base: {init: random, epochs: 2, batch_size: 8, lr: 0.01, crop_size: 32, inherit: last}
  overrides:
    - where: {frames: 16}
      set: {lr: 0.01}
evaluation: {crop_size: 32, short_side: 36}
"""
NAMES = tuple(f"TAM-Tiny-f{frames}@toy" for frames in (8, 16, 32, 64))
SUBMITTED = 1_790_000_000.0


def study(text: str = STUDY) -> Study:
    return parse_study(text, "lengths.yaml")


def plan(storage: Path, text: str = STUDY) -> dict[str, PlannedCell]:
    """The plan of a study on a storage, by cell."""
    return {one.cell.name: one for one in whole_plan(storage, text).cells}


def whole_plan(storage: Path, text: str = STUDY) -> Plan:
    return plan_and_measure(study(text), storage, None).plan


def build(storage: Path, text: str = STUDY) -> None:
    """Build the datasets of a study."""
    what, layout = study(text), Layout(storage)
    build_missing(
        what, dataset_states(what, layout), FolderStorage(storage), Builder(lambda *_: None, lambda _: None)
    )


def finish(storage: Path, text: str = STUDY, file: str = "lengths.yaml", **result: Any) -> Plan:
    """Journal a submission of the study and the results of its cells that have none.

    `file` is where the study was read; `result` replaces fields of every `CellFinished`. Returns the plan
    of before.
    """
    what, driver, time = submit(storage, text, file)
    with Journal.open(storage, driver) as journal:
        for one in what.cells:
            if one.state is State.TO_RUN:
                journal.append(AttemptStarted(one.key, 1, driver, "host", f"runs/{one.key}", time=time))
                journal.append(AttemptEnded(one.key, 1, "done", time=time + 30.0))
                journal.append(_finished(one, time + 30.0, result))
    return what


def submit(storage: Path, text: str = STUDY, file: str = "lengths.yaml") -> tuple[Plan, str, float]:
    """Journal a submission of the study and its datasets; returns its plan, its driver and its time."""
    what, layout = whole_plan(storage, text), Layout(storage)
    number = len(list((storage / "journal").glob("*.jsonl")))
    driver, time = f"driver-{number}", SUBMITTED + 1000.0 * number
    with Journal.open(storage, driver) as journal:
        for name, state in dataset_states(study(text), layout).items():
            if state.manifest is not None:
                path = Path(state.manifest)
                journal.append(dataset_built_event(name, path, read_manifest(path), FolderStorage(storage)))
        config = study(text).model_dump(mode="json")
        journal.append(StudySubmitted(what.study, driver, len(what.cells), file, config, time=time))
        for one in what.cells:
            journal.append(planned_event(one, what.study, driver))
    return what, driver, time


def _finished(planned: PlannedCell, time: float, changes: dict[str, Any]) -> CellFinished:
    fields: dict[str, Any] = {
        "key": planned.key,
        "attempt": 1,
        "epochs": planned.cell.recipe.epochs,
        "best_epoch": 1,
        "top1": 50.0,
        "top5": 90.0,
        "loss": 1.0,
        "best_top1": 50.0,
        "best_top5": 90.0,
        "best_loss": 1.0,
        "eval_videos": 4,
        "train_videos": 8,
        "train_seconds": 16.0,
        "eval_seconds": 4.0,
        "train_clips_per_second": 1.0,
        "eval_clips_per_second": 2.0,
        "peak_memory_bytes": 1,
        "params": planned.params,
        "macs": planned.macs,
        "inherit": planned.cell.recipe.inherit,
        "parent_key": planned.parent_key,
        "parent_top1_rechecked": None,
        "checkpoint": f"runs/{planned.key}/epoch-0002.pt",
        "checkpoint_sha256": "0" * 64,
        "predictions": None,
        "versions": {"torch": "2"},
        "hardware": {"device": "CPU x86_64", "workers": 1, "bf16": False, "host": "host"},
        "evaluation": planned.evaluation_key,
    }
    return CellFinished(**(fields | changes), time=time)
