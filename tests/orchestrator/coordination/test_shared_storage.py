"""Several drivers on one storage, without Ray: who trains what, who waits, and who may say what."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catalog import Catalog, Journal
from catalog.events import (
    AttemptEnded,
    AttemptStarted,
    CellFailed,
    CellFinished,
    EpochFinished,
    StudyControlled,
)
from catalog.storage.folder_storage import FolderStorage
from orchestrator.coordination.drivers import DriverRecord, resources_left, this_driver
from orchestrator.coordination.requests import Command, StopRequest, retried, stop_requests
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.attempt_files import is_writing_checkpoint
from orchestrator.running.cell_run import CellState
from orchestrator.running.journal_events import epoch_event, last_events
from orchestrator.scheduling.schedule import Free
from tests.damage.test_damage_table import WAYS
from tests.support.driver_bench import TOTAL, Bench, cell_result, history

TSN8, TSN16, TAM8, TAM16 = (
    f"{module}-Tiny-f{frames}@synthetic-motion" for module in ("TSN", "TAM") for frames in (8, 16)
)
ALL = (TSN8, TSN16, TAM8, TAM16)


@pytest.fixture
def one(tmp_path: Path) -> Bench:
    return Bench(tmp_path, name="one")


@pytest.fixture
def two(tmp_path: Path, one: Bench) -> Bench:
    return Bench(tmp_path, name="two")


def pass_time(*benches: Bench, seconds: float = 3.0) -> None:
    for bench in benches:
        bench.clock += seconds
        bench.driver.poll()


def test_each_cell_is_trained_by_one_of_two_drivers(one: Bench, two: Bench) -> None:
    first, second = one.next(), two.next()
    assert {first.cell, second.cell} == {TSN8, TAM8}
    assert one.driver.next_trial(TOTAL) is None
    assert two.driver.next_trial(TOTAL) is None
    assert two.driver.cells[first.cell].state is CellState.HELD_ELSEWHERE
    assert f"pid {one.presence.record.pid}" in two.driver.cells[first.cell].holder
    one.finish(first)
    child = one.next()
    pass_time(two)
    assert two.driver.cells[first.cell].state is CellState.DONE
    assert two.driver.cells[first.cell].measured.top1 == 20.0
    assert two.driver.next_trial(TOTAL) is None, "the child is held by the first driver"
    assert not two.driver.is_finished
    two.finish(second)
    one.finish(child)
    pass_time(one, two)
    last = two.next()
    two.finish(last)
    pass_time(one, two)
    assert one.driver.is_finished and two.driver.is_finished
    assert one.names(CellState.DONE) == two.names(CellState.DONE) == set(ALL)
    started = [event.key for bench in (one, two) for event in bench.of(AttemptStarted)]
    assert len(started) == len(set(started)) == 4
    assert len(one.of(CellFinished)) + len(two.of(CellFinished)) == 4


def test_a_cell_that_was_finished_a_moment_ago_is_not_trained_again(one: Bench, two: Bench) -> None:
    """The second driver has not heard of it yet when it takes the free lease."""
    one.finish(one.next())
    one.finish(one.next())
    two.driver._next_refresh = two.driver._next_poll = 1e9
    assert two.driver.next_trial(TOTAL) is None
    assert two.of(AttemptStarted) == []
    two.driver._next_refresh = two.driver._next_poll = 0.0
    assert {two.next().cell, two.next().cell} == {TSN16, TAM16}


def test_a_dead_drivers_cell_is_taken_over_with_a_higher_number(one: Bench, two: Bench) -> None:
    lost = one.next()
    assert two.next().cell != lost.cell
    assert two.driver.next_trial(TOTAL) is None
    pass_time(two, seconds=40)
    assert two.driver.next_trial(TOTAL) is None, "one long look is no proof"
    for _ in range(8):
        pass_time(two, seconds=5)
    again = two.next()
    assert (again.cell, again.attempt) == (lost.cell, lost.attempt + 1)
    run_dir = two.layout.run_dir(lost.cell, lost.key)
    assert FolderStorage(run_dir).read_fence(run_dir) == again.attempt
    # The old driver wakes up, with the result of the new one's worker before its eyes.
    one.write_epochs(lost, 2)
    pass_time(one)
    (run_dir / "result.json").write_text(json.dumps(asdict(cell_result(lost))))
    one.driver.trial_ended(lost, None)
    assert one.of(CellFinished) == []
    assert [event.state for event in one.of(AttemptEnded)] == ["interrupted"]
    holder = one.driver.cells[lost.cell].holder
    assert "two" not in holder and "pid" in holder
    one.driver.interrupted()
    two.driver.trial_ended(again, None)
    assert [(event.key, event.attempt) for event in two.of(CellFinished)] == [(lost.key, 2)]
    with Catalog.open(two.layout.root) as catalog:
        rows = catalog.query(
            "SELECT attempt, state FROM attempts WHERE key = ? ORDER BY attempt", [lost.key]
        ).to_pylist()
    assert rows == [{"attempt": 1, "state": "interrupted"}, {"attempt": 2, "state": "done"}]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("folder", ["leases", "drivers"])
def test_a_damaged_lease_or_presence_gives_no_living_drivers_cell_away_and_blocks_none(
    one: Bench, two: Bench, folder: str, how: str
) -> None:
    mine, theirs = one.next(), two.next()
    names = {"leases": (f"{mine.key}/1.json", f"{theirs.key}/1.json"), "drivers": ("one.json", "two.json")}
    path, other = (one.layout.root / folder / name for name in names[folder])
    if folder == "leases" and how == "flipped":
        assert b'"owner": "one"' in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(b'"owner": "one"', b'"owner": "ona"'))
    else:
        WAYS[how](path, other)
    for _ in range(12):
        one.presence.beat()
        two.presence.beat()
        pass_time(one, two, seconds=5)
        assert two.driver.next_trial(TOTAL) is None, "its driver lives"
    assert not two.shared.dead_attempts()
    for _ in range(12):
        pass_time(two, seconds=5)
    again = two.next()
    assert (again.cell, again.attempt) == (mine.cell, mine.attempt + 1)
    assert not one.shared.owns(mine.key)


def test_what_another_driver_gave_up_is_not_tried_again_here(one: Bench, two: Bench) -> None:
    lost = one.next()
    two.next()
    assert two.driver.next_trial(TOTAL) is None
    one.driver.trial_ended(lost, "[failure: mismatch] ParentMismatchError: parent measures 10 %")
    assert one.of(CellFailed)
    pass_time(two)
    assert two.driver.cells[lost.cell].state is CellState.FAILED
    assert "ParentMismatchError" in two.driver.failures[0].error
    assert two.of(CellFailed) == []


def test_a_retried_cell_is_kept_meanwhile_and_gets_the_next_number(one: Bench, two: Bench) -> None:
    request = one.next()
    one.driver.trial_ended(request, "ActorDiedError: killed")
    assert two.next().cell != request.cell
    assert two.driver.next_trial(TOTAL) is None
    one.clock += 60
    assert one.next().attempt == 2


def test_an_interrupted_drivers_cells_are_free_at_once(one: Bench, two: Bench) -> None:
    request = one.next()
    one.write_epochs(request, 1)
    one.driver.interrupted()
    assert {two.next().cell, two.next().cell} == {TSN8, TAM8}
    assert {event.attempt for event in two.of(AttemptStarted) if event.key == request.key} == {2}


def test_only_dead_drivers_attempts_are_closed(one: Bench, two: Bench, tmp_path: Path) -> None:
    living = one.next()
    with Journal.open(tmp_path, "old") as journal:
        journal.append(AttemptStarted("f" * 32, 1, "old", "host", "run"))
    assert [(dead.key, dead.driver) for dead in two.shared.dead_attempts()] == [("f" * 32, "old")]
    one.driver.interrupted()
    assert living.key not in {dead.key for dead in two.shared.dead_attempts()}


def test_an_epoch_stays_the_attempts_that_trained_it(one: Bench, two: Bench) -> None:
    request = one.next()
    one.write_epochs(request, 1)
    one.driver.poll()
    one.driver.interrupted()
    assert [event.attempt for event in one.of(EpochFinished)] == [1]
    again = next(trial for trial in (two.next(), two.next()) if trial.key == request.key)
    two.driver.poll()
    assert not two.of(EpochFinished), "the journals have it"
    two.write_epochs(again, 2)
    pass_time(two)
    assert [(event.epoch, event.attempt) for event in two.of(EpochFinished)] == [(2, 2)]
    assert two.driver.cells[again.cell].epoch == 2


def test_an_epoch_that_is_trained_again_is_the_later_attempts(one: Bench, two: Bench) -> None:
    """Its record was torn, so that nothing stood when the attempt began; the same numbers come out."""
    request = one.next()
    one.write_epochs(request, 1)
    one.driver.poll()
    one.driver.interrupted()
    (one.layout.run_dir(request.cell, request.key) / "epoch-0001.json").unlink()
    again = next(trial for trial in (two.next(), two.next()) if trial.key == request.key)
    two.write_epochs(again, 1)
    pass_time(two)
    assert [(event.epoch, event.attempt) for event in two.of(EpochFinished)] == [(1, 2)]


def test_what_a_dead_attempt_had_still_to_say_is_dated_by_its_own_time(tmp_path: Path) -> None:
    """Three weeks until somebody submitted again were three weeks of its processors."""
    start, key = 1_790_000_000.0, "f" * 32
    rows = [{**row, "train_seconds": 20.0, "eval_seconds": 5.0} for row in history(3)]
    with Journal.open(tmp_path, "old") as journal:
        journal.append(AttemptStarted(key, 1, "old", "host", "run", time=start))
        journal.append(replace(epoch_event(key, 1, rows[0]), time=start + 25))
    bench = Bench(tmp_path, name="new")
    (dead,) = bench.shared.dead_attempts()
    assert (dead.epoch, dead.last_time) == (1, start + 25)
    weeks = 3 * 7 * 86_400.0
    first, second, end = last_events(dead, rows, start + weeks)
    assert isinstance(first, EpochFinished) and isinstance(second, EpochFinished)
    assert [(event.epoch, event.attempt, event.time) for event in (first, second)] == [
        (2, 1, start + 50), (3, 1, start + 75),
    ]  # fmt: skip
    assert isinstance(end, AttemptEnded) and (end.state, end.time) == ("interrupted", start + 75)
    assert last_events(dead, rows, start + 60)[-1].time == start + 60, "never later than now"
    assert last_events(replace(dead, epoch=0, last_time=start), (), start + weeks)[-1].time == start


def command(bench: Bench, action: str, cells: str = "*") -> None:
    with Journal.open(bench.layout.root, "control") as journal:
        number = str(time.monotonic_ns())
        journal.append(StudyControlled("toy", number, action, cells, "me"))  # type: ignore[arg-type]
    pass_time(bench)


def test_pause_lets_the_epoch_end_and_resume_goes_on(one: Bench) -> None:
    request = one.next()
    command(one, "pause")
    assert one.driver.to_kill == frozenset(), "the epoch is not over yet"
    assert one.driver.next_trial(TOTAL) is None
    one.write_epochs(request, 1)
    pass_time(one)
    assert one.driver.to_kill == {request.name}
    one.driver.trial_ended(request, "ActorDiedError: killed")
    assert [event.state for event in one.of(AttemptEnded)] == ["interrupted"]
    assert one.stopped() == dict.fromkeys(ALL, CellState.PAUSED)
    assert not one.driver.is_finished and not one.driver.has_work
    assert one.shared.holder(request.key) is None
    command(one, "resume")
    assert one.driver.has_work and one.stopped() == {}
    again = next(trial for trial in (one.next(), one.next()) if trial.cell == request.cell)
    assert again.attempt == 2, "a pause is no failure, and costs no retry"


def test_a_paused_cell_in_its_last_epoch_is_left_to_finish(one: Bench) -> None:
    request = one.next()
    command(one, "pause")
    one.write_epochs(request, 2)
    pass_time(one)
    assert one.driver.to_kill == frozenset()


def test_cancel_stops_at_once_and_ends_the_driver_without_its_cells(one: Bench) -> None:
    request, other = one.next(), one.next()
    command(one, "cancel", f"{request.cell.split('-')[0]}-*-f8@*")
    assert one.driver.to_kill == {request.name}
    one.driver.trial_ended(request, "ActorDiedError: killed")
    assert not one.driver.is_finished
    one.finish(other)
    one.finish(one.next())
    assert one.driver.is_finished
    cancelled = {TSN8, TSN16} if request.cell == TSN8 else {TAM8, TAM16}
    assert one.stopped() == dict.fromkeys(cancelled, CellState.CANCELLED)
    command(one, "resume")
    assert one.driver.is_finished, "what is cancelled stays so"


def test_an_epoch_that_stands_after_its_cell_was_stopped_is_journalled(one: Bench) -> None:
    request = stopped_cell(one)
    one.write_epochs(request, 1)
    one.driver.interrupted()
    assert [(event.key, event.epoch, event.attempt) for event in one.of(EpochFinished)] == [
        (request.key, 1, request.attempt)
    ]


def test_what_another_driver_trains_is_not_taken_for_an_epoch_of_the_stopped_cell(
    one: Bench, tmp_path: Path
) -> None:
    request = stopped_cell(one)
    new = Bench(tmp_path, name="new")
    again = next(trial for trial in (new.next(), new.next()) if trial.cell == request.cell)
    new.write_epochs(again, 1)
    one.driver.interrupted()
    assert one.of(EpochFinished) == []


def stopped_cell(bench: Bench) -> TrialRequest:
    request = bench.next()
    command(bench, "cancel")
    bench.driver.trial_ended(request, "ActorDiedError: killed")
    return request


MISMATCH = "[failure: mismatch] ParentMismatchError: parent measures 10 %"
STRANGE = "StrangeError: nobody knows"


def test_a_retry_tries_a_failed_cell_again_with_all_that_waits_for_it_and_counts_once(one: Bench) -> None:
    request = one.next()
    child = TSN16 if request.cell == TSN8 else TAM16
    one.driver.trial_ended(request, MISMATCH)
    assert one.names(CellState.FAILED) == {request.cell} and one.names(CellState.BLOCKED) == {child}
    command(one, "resume")
    assert one.names(CellState.FAILED) == {request.cell}, "only a retry tries again"
    command(one, "retry", request.cell)
    assert not one.names(CellState.FAILED) | one.names(CellState.BLOCKED)
    assert one.driver.failures == () and one.driver.has_work
    again = next(trial for trial in (one.next(), one.next()) if trial.cell == request.cell)
    assert again.attempt == 2
    one.driver.trial_ended(again, MISMATCH)
    pass_time(one)
    assert one.names(CellState.FAILED) == {request.cell}, "one command is one retry"
    command(one, "retry")
    third = one.next()
    assert (third.cell, third.attempt) == (request.cell, 3)
    one.finish(third)
    assert child in one.names(CellState.WAITING)


def test_a_retry_gives_all_retries_back_and_wakes_nothing_that_was_cancelled(one: Bench) -> None:
    request, other = one.next(), one.next()
    one.driver.trial_ended(other, MISMATCH)
    command(one, "cancel", other.cell)
    one.driver.trial_ended(request, STRANGE)
    one.clock += 600
    one.driver.trial_ended(one.next(), STRANGE)
    assert one.names(CellState.FAILED) == {TSN8, TAM8}
    command(one, "retry")
    assert other.cell in one.names(CellState.CANCELLED), "what is cancelled stays so"
    again = one.next()
    assert (again.cell, again.attempt) == (request.cell, 3)
    one.driver.trial_ended(again, STRANGE)
    assert one.names(CellState.FAILED) == set(), "as at the first time one failure is forgiven"


def test_both_drivers_obey_a_retry_of_what_one_of_them_gave_up(one: Bench, two: Bench) -> None:
    lost = one.next()
    two.next()
    assert two.driver.next_trial(TOTAL) is None
    one.driver.trial_ended(lost, MISMATCH)
    pass_time(two)
    assert two.names(CellState.FAILED) == {lost.cell}
    command(one, "retry")
    again = one.next()
    assert (again.cell, again.attempt) == (lost.cell, 2)
    pass_time(two)
    assert two.names(CellState.FAILED) == set(), "the failure before the command does not count"
    assert two.driver.next_trial(TOTAL) is None
    pass_time(two)
    assert two.driver.cells[lost.cell].state is CellState.HELD_ELSEWHERE
    one.driver.trial_ended(again, MISMATCH)
    pass_time(two)
    assert two.names(CellState.FAILED) == {lost.cell}, "the one after it does"


def test_a_new_submission_starts_without_old_commands(one: Bench, tmp_path: Path) -> None:
    command(one, "cancel")
    assert one.driver.is_finished
    assert Bench(tmp_path, name="new").next().attempt == 1


def test_a_cancelled_cell_may_end_the_checkpoint_that_it_writes(one: Bench) -> None:
    request = one.next()
    run_dir = one.layout.run_dir(request.cell, request.key)
    (run_dir / "epoch-0001.parquet").write_text("")
    command(one, "cancel")
    assert one.driver.to_kill == frozenset()
    one.write_epochs(request, 1)
    assert one.driver.to_kill == {request.name}
    (run_dir / "epoch-0002.parquet").write_text("")
    one.clock += 11
    assert one.driver.to_kill == {request.name}, "but nobody waits for ever"


def test_a_stop_waits_for_checkpoints_and_nothing_new_starts(one: Bench) -> None:
    request = one.next()
    assert not one.driver.leave_now
    run_dir = one.layout.run_dir(request.cell, request.key)
    (run_dir / "epoch-0001.parquet").write_text("")
    one.stop.set()
    assert one.driver.next_trial(TOTAL) is None
    assert not one.driver.leave_now
    one.write_epochs(request, 1)
    assert one.driver.leave_now
    one.driver.interrupted()
    assert [event.state for event in one.of(AttemptEnded)] == ["interrupted"]


def test_a_driver_whose_last_cells_were_interrupted_is_not_finished(one: Bench) -> None:
    for _ in range(3):
        one.finish(one.next())
    one.next()
    one.stop.set()
    one.driver.interrupted()
    assert not one.driver.is_finished


def test_what_an_earlier_attempt_left_half_written_holds_up_nobody(tmp_path: Path) -> None:
    predictions = tmp_path / "epoch-0001.parquet"
    predictions.write_text("")
    assert is_writing_checkpoint(tmp_path, predictions.stat().st_mtime - 1)
    assert is_writing_checkpoint(tmp_path, predictions.stat().st_mtime + 0.02), "its clock ticks"
    assert not is_writing_checkpoint(tmp_path, predictions.stat().st_mtime + 1)
    predictions.with_suffix(".json").write_text("")
    assert not is_writing_checkpoint(tmp_path, 0.0)


def commands(*given: tuple[str, str]) -> list[Command]:
    return [Command(str(number), action, cells) for number, (action, cells) in enumerate(given)]


def test_what_commands_mean() -> None:
    paused, cancelled = StopRequest.PAUSED, StopRequest.CANCELLED
    names = ("a-8", "a-16", "b-8")
    assert stop_requests(names, commands(("pause", "a-*"))) == {"a-8": paused, "a-16": paused}
    assert stop_requests(names, commands(("pause", "*"), ("resume", "a-*"))) == {"b-8": paused}
    assert stop_requests(names, commands(("cancel", "b-8"), ("pause", "b-*"), ("resume", "*"))) == {
        "b-8": cancelled
    }
    assert stop_requests(names, commands(("cancel", "B-8"))) == {}
    assert stop_requests(names, commands(("pause", "*"), ("retry", "a-*"))) == dict.fromkeys(names, paused)
    assert retried(names, commands(("retry", "a-1*"), ("resume", "*"))) == {"a-16"}


def driver(
    name: str, priority: int = 0, cluster: str | None = "head:6379", **changes: object
) -> DriverRecord:
    record = replace(this_driver(name, name, priority), cluster=cluster)
    return replace(record, **changes)  # type: ignore[arg-type]


def test_on_one_cluster_the_higher_priority_goes_first() -> None:
    total = Free(cpus=8, gpus=2)
    low = driver("low", running=(2.0, 0.0))
    busy = driver("busy", priority=5, running=(4.0, 1.0))
    assert resources_left(low, [low, busy], total) == Free(4, 1), "what others run is not free"
    waiting = replace(busy, ready=((2.0, 1.0),))
    assert resources_left(low, [waiting], total) is None
    assert resources_left(waiting, [low], total) == Free(6, 2), "the higher one does not wait for the lower"
    assert resources_left(low, [replace(waiting, priority=0)], total) == Free(4, 1)
    too_large = replace(busy, ready=((3.0, 1.0),))
    assert resources_left(low, [too_large], total) == Free(4, 1), "what does not fit holds up nobody"
    assert resources_left(low, [replace(waiting, cluster="other:6379")], total) == total
    alone = replace(low, cluster=None)
    assert resources_left(alone, [replace(waiting, cluster=None)], total) == total, (
        "each has a Ray of its own"
    )


def test_a_driver_of_lower_priority_starts_nothing_before_the_others_ready_cells(
    one: Bench, two: Bench
) -> None:
    one.presence.publish(cluster="head:6379", priority=1)
    two.presence.publish(cluster="head:6379")
    pass_time(one, two)
    assert two.driver.next_trial(TOTAL) is None
    assert two.driver.yields_to_priority and not one.driver.yields_to_priority
    one.next()
    one.next()
    one.driver.interrupted()
    one.presence.publish(running=(1.0, 0.0), ready=())
    two.clock += 3
    assert two.next().cell in (TSN8, TAM8)
    assert two.driver.next_trial(TOTAL) is None, "the other CPU is the other driver's"


def test_the_terminals_thread_may_look_while_the_driver_works(one: Bench) -> None:
    seen: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(len(one.stopped()) + len(one.driver.running) + len(one.driver.cells))

    viewer = threading.Thread(target=look)
    viewer.start()
    for _ in range(4):
        one.finish(one.next())
    done.set()
    viewer.join()
    assert seen and one.driver.is_finished
