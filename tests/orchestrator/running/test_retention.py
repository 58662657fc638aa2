"""What is removed of finished cells: only what no study keeps and no child still starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog import Catalog, Journal
from catalog.events import CellFinished, CheckpointRemoved, Event, StudySubmitted
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.planning.plan_model import State
from orchestrator.running.journal_events import planned_event
from orchestrator.running.retention import Retention
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from tests.support.finished_study import NAMES, STUDY, build, finish, plan, study
from trainables.training.checkpoint import stored_epochs

LAST = STUDY.replace("epochs: 2", "epochs: 4").replace("inherit: last", "inherit: best") + "keep: last\n"
FIRST = LAST.replace("[8, 16, 32, 64]", "[8]").replace("name: lengths", "name: first")


def put_checkpoints(storage: Path) -> dict[str, Path]:
    """Files of four epochs in every finished cell's run directory, by cell."""
    folders = {}
    for name, planned in plan(storage, LAST).items():
        folders[name] = Layout(storage).run_dir(name, planned.key)
        folders[name].mkdir(parents=True, exist_ok=True)
        for epoch in range(1, 5):
            for ending in ("pt", "json", "parquet"):
                (folders[name] / f"epoch-{epoch:04d}.{ending}").touch()
    return folders


def sweep(storage: Path, text: str = LAST) -> list[Event]:
    """What a submission of the study does at its beginning."""
    events: list[Event] = []
    with Catalog.open(storage) as catalog, Journal.open(storage, "sweeping") as journal:
        keys = [one.key for one in plan(storage, text).values() if one.state is State.DONE]

        def append(event: Event) -> Event:
            events.append(event)
            return journal.append(event)

        Retention(FolderStorage(storage), catalog, append, study(text).keep).sweep(keys)
    return events


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    build(tmp_path, LAST)
    return tmp_path


def test_a_best_checkpoint_goes_when_all_children_are_done(storage: Path) -> None:
    finish(storage, LAST, epochs=4, best_epoch=1)
    folders = put_checkpoints(storage)
    events = sweep(storage)
    assert {epochs_in(folder) for folder in folders.values()} == {frozenset({4})}
    assert len(events) == 12
    assert all(isinstance(event, CheckpointRemoved) and event.keep == "last" for event in events)
    assert all((folder / "epoch-0001.parquet").exists() for folder in folders.values())
    assert not sweep(storage), "nothing is removed twice"


def test_a_chosen_checkpoint_stays_while_a_child_of_any_journal_is_open(storage: Path) -> None:
    finish(storage, FIRST, epochs=4, best_epoch=1)
    longer = LAST.replace("name: lengths", "name: longer")
    with Journal.open(storage, "longer") as journal:
        for one in plan(storage, longer).values():
            journal.append(planned_event(one, "longer", "longer"))
    folder = put_checkpoints(storage)[NAMES[0]]
    sweep(storage, FIRST)
    assert epochs_in(folder) == {1, 3, 4}, "nobody knows what `longer` keeps: the default"
    with Journal.open(storage, "longer") as journal:
        config = study(longer).model_dump(mode="json")
        journal.append(StudySubmitted("longer", "longer", 4, "longer.yaml", config))
    sweep(storage, FIRST)
    assert epochs_in(folder) == {1, 4}, "its child is not done"
    finish(storage, longer, epochs=4, best_epoch=2)
    sweep(storage, FIRST)
    assert epochs_in(folder) == {4}


def test_the_most_generous_study_decides(storage: Path) -> None:
    finish(storage, LAST, epochs=4, best_epoch=1)
    other = LAST.replace("keep: last\n", "keep: [last, every 2]\n").replace("name: lengths", "name: other")
    finish(storage, other)
    folder = put_checkpoints(storage)[NAMES[3]]
    sweep(storage)
    assert epochs_in(folder) == {2, 4}


def test_by_default_nothing_is_removed(storage: Path) -> None:
    default = LAST.replace("keep: last\n", "")
    finish(storage, default, epochs=4, best_epoch=1)
    folders = put_checkpoints(storage)
    assert not sweep(storage, default)
    assert {len(epochs_in(folder)) for folder in folders.values()} == {4}


def test_the_end_of_the_last_child_removes_its_parents(storage: Path) -> None:
    finish(storage, LAST.replace("[8, 16, 32, 64]", "[8, 16]"), epochs=4, best_epoch=1)
    folders = put_checkpoints(storage)
    cells = plan(storage, LAST.replace("[8, 16, 32, 64]", "[8, 16]"))
    with Catalog.open(storage) as catalog, Journal.open(storage, "again") as journal:
        (done,) = [event for event in _finished(catalog) if event.key == cells[NAMES[1]].key]
        Retention(FolderStorage(storage), catalog, journal.append, study(LAST).keep).append(done)
    assert epochs_in(folders[NAMES[0]]) == {4}
    assert epochs_in(folders[NAMES[1]]) == {4}
    assert epochs_in(folders[NAMES[2]]) == {1, 2, 3, 4}


def _finished(catalog: Catalog) -> list[CellFinished]:
    from catalog.queries.planner import done_cells

    return list(done_cells(catalog).values())


def test_a_kill_between_the_journal_and_the_removal_is_made_up_for(storage: Path) -> None:
    finish(storage, LAST, epochs=4, best_epoch=1)
    folder = put_checkpoints(storage)[NAMES[3]]
    with Journal.open(storage, "killed") as journal:
        journal.append(CheckpointRemoved(plan(storage, LAST)[NAMES[3]].key, 1, "last"))
    sweep(storage)
    assert epochs_in(folder) == {4}


def test_a_child_whose_start_was_removed_is_blocked_and_says_why(storage: Path) -> None:
    finish(storage, FIRST, epochs=4, best_epoch=1)
    put_checkpoints(storage)
    sweep(storage, FIRST)
    cells = plan(storage, LAST)
    assert [cells[name].state for name in NAMES] == [State.DONE, *[State.BLOCKED] * 3]
    assert cells[NAMES[1]].reason == (
        f"the best checkpoint of its parent {NAMES[0]} was removed, as keep said; "
        "say inherit: last, or train the chain in another storage"
    )
    last = plan(storage, LAST.replace("inherit: best", "inherit: last"))
    assert last[NAMES[1]].state is State.TO_RUN


def test_what_is_kept_changes_no_key(storage: Path) -> None:
    assert [one.key for one in plan(storage, LAST).values()] == [
        one.key for one in plan(storage, LAST.replace("keep: last", "keep: [best, every 3]")).values()
    ]


def test_a_wrong_keep_is_an_error_of_the_study_file() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(LAST.replace("keep: last", "keep: last, bset"), "s.yaml")
    (line,) = caught.value.lines
    assert "keep" in line
    assert "'bset' is nothing that can be kept; allowed: last, last N, best, every N" in line


def epochs_in(folder: Path) -> frozenset[int]:
    return stored_epochs(FolderStorage(folder), folder)
