"""The driver without Ray: what it starts, journals, tries again and gives up."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catalog import Journal
from catalog.events import AttemptEnded, AttemptStarted, CellFailed, CellFinished, EpochFinished, Event
from catalog.queries.drivers import MeasuredTop1
from orchestrator.running.cell_run import CellState
from orchestrator.running.journal_events import finished_event
from orchestrator.scheduling.schedule import Free
from orchestrator.study.keys import evaluation_key
from tests.support.driver_bench import STUDY, TOTAL, Bench, cell_result
from trainables.recipe.cell_spec import CellSpec


def test_a_grid_runs_to_its_end_parents_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    order = []
    for _ in range(4):
        request = bench.next()
        order.append(request.cell)
        bench.finish(request)
    assert bench.driver.is_finished
    assert bench.driver.next_trial(TOTAL) is None
    assert {name.split("-")[2] for name in order[:2]} == {"f8@synthetic"}
    assert len(bench.of(CellFinished)) == 4
    assert [event.state for event in bench.of(AttemptEnded)] == ["done"] * 4
    assert len(bench.of(EpochFinished)) == 8


def test_no_more_runs_than_fit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.next()
    bench.next()
    assert bench.driver.next_trial(TOTAL) is None
    assert len(bench.driver.running) == 2


def test_a_start_is_journalled_before_the_trial_is_given_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def refuse(event: Event) -> Event:
        raise OSError("disk full")

    bench.driver._storage._journal = refuse
    with pytest.raises(OSError, match="disk full"):
        bench.driver.next_trial(TOTAL)
    assert bench.driver.running == ()


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_child_gets_the_checkpoint_that_its_recipe_names(tmp_path: Path, which: str) -> None:
    bench = Bench(tmp_path, study=STUDY.replace("inherit: best", f"inherit: {which}"))
    parents = [bench.next(), bench.next()]
    bench.finish(parents[0])
    child = CellSpec.model_validate_json(bench.next().spec)
    assert child.parent is not None
    assert child.parent.cell == parents[0].cell
    assert child.parent.path.endswith(f"/{which}.pt")
    assert child.parent.sha256 == which * 16
    assert child.parent.predictions_path.endswith(f"/{which}.parquet")
    assert child.parent.frames == 8
    assert child.parent.recheck_videos == 4


def test_epochs_are_journalled_once_from_what_stands_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    request = bench.next()
    bench.driver.poll()
    assert not bench.of(EpochFinished)
    bench.write_epochs(request, 2)
    bench.clock += 0.5
    bench.driver.poll()
    assert not bench.of(EpochFinished), "looks at most once a second"
    for _ in range(2):
        bench.clock += 1.0
        bench.driver.poll()
    assert [event.epoch for event in bench.of(EpochFinished)] == [1, 2]
    assert bench.driver.running[0].metrics["epoch"] == 2


def test_a_result_that_stands_counts_even_where_the_trial_died(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    request = bench.next()
    bench.write_epochs(request, 2)
    run_dir = bench.layout.run_dir(request.cell, request.key)
    (run_dir / "result.json").write_text(json.dumps(asdict(cell_result(request))))
    bench.driver.trial_ended(request, "ActorDiedError: killed")
    assert bench.driver.cells[request.cell].state is CellState.DONE
    assert not bench.of(CellFailed)


def test_a_finished_cell_knows_its_last_and_its_best_accuracy(tmp_path: Path) -> None:
    """Whichever the study reports; whether it was trained here or by another driver."""
    bench = Bench(tmp_path)
    request = bench.next()
    bench.finish(request)
    assert bench.driver.cells[request.cell].measured == MeasuredTop1(20.0, 12, 10.0)
    assert bench.shared.read_update().finished == {request.key: MeasuredTop1(20.0, 12, 10.0)}
    (event,) = bench.of(CellFinished)
    assert (event.top1, event.best_top1, event.best_epoch, event.epochs) == (20.0, 10.0, 1, 2)
    assert [event.checkpoints[which]["epoch"] for which in ("last", "best")] == [2, 1]


def test_an_end_is_told_with_what_ray_made_of_the_request(tmp_path: Path) -> None:
    """The adapter adds to it how Ray is used."""
    bench = Bench(tmp_path)
    request = bench.next()
    bench.finish(replace(request, local=not request.local, train_storage="elsewhere"))
    assert bench.driver.cells[request.cell].state is CellState.DONE


def test_a_failure_is_tried_again_after_a_pause_then_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retries=1)
    first = bench.next()
    assert CellSpec.model_validate_json(first.spec).frames_on_local_disk == "/scratch"
    bench.driver.trial_ended(first, "ActorDiedError: killed")
    other = bench.next()
    assert other.cell != first.cell
    assert bench.driver.next_trial(TOTAL) is None
    bench.clock += 1.9
    assert bench.driver.next_trial(TOTAL) is None, "there is room, but it waits"
    bench.clock += 0.2
    again = bench.next()
    assert (again.cell, again.attempt) == (first.cell, 2)
    bench.driver.trial_ended(again, "ActorDiedError: killed")
    failure = bench.driver.failures[0]
    assert failure.name == first.cell
    assert len(failure.blocked) == 1
    assert [event.attempt for event in bench.of(CellFailed)] == [2]
    bench.finish(other)
    bench.finish(bench.next())
    assert bench.driver.is_finished
    assert sorted(run.state for run in bench.driver.cells.values()) == ["blocked", "done", "done", "failed"]


def test_a_worker_is_told_all_that_its_study_says(tmp_path: Path) -> None:
    """What a study's file says beside the recipe, each at another value than the default."""
    said = "choose_on: 25%\nkeep: last 3\nevaluation: {crop_size: 32, short_side: 40, clips: 2}\n"
    said += "resources: {default: {workers: 2, cpus_per_worker: 1}}\n"
    study = STUDY.replace("evaluation: {crop_size: 32, short_side: 36}\n", "").replace(
        "epochs: 2", "epochs: 5"
    )
    bench = Bench(tmp_path, study=study + said)
    request = bench.next()
    cell = bench.driver.cells[request.cell].work.cell
    spec = CellSpec.model_validate_json(request.spec)
    assert (spec.choose_on, str(spec.keep), spec.evaluation.clips) == (0.25, "last 3", 2)
    assert (spec.recipe, spec.evaluation, spec.keep) == (cell.recipe, cell.evaluation, cell.keep)
    assert (spec.workers, spec.threads, request.workers, spec.recipe.epochs) == (2, 1, 2, 5)
    named = (spec.module, spec.backbone, spec.temporal_pooling, spec.frames, spec.dataset, spec.seed)
    assert named == tuple(cell.axes.values())
    assert (spec.key, spec.num_classes, spec.attempt) == (request.key, 4, 1)


def test_each_further_try_waits_twice_as_long(tmp_path: Path) -> None:
    one_cell = STUDY.replace("[tsn, tam]", "[tsn]").replace("[8, 16]", "[8]")
    bench = Bench(tmp_path, retries=9, study=one_cell)
    for wait in (2.0, 4.0, 8.0, 16.0):
        bench.driver.trial_ended(bench.next(), "ActorDiedError: killed")
        bench.clock += wait - 0.1
        assert bench.driver.next_trial(TOTAL) is None
        bench.clock += 0.2


@pytest.mark.parametrize(
    "error", ["DivergedError: the loss is nan", "ReadError: walk/3.mp4", "size mismatch"]
)
def test_what_would_end_the_same_way_is_given_up_at_once(tmp_path: Path, error: str) -> None:
    kinds = {"DivergedError": "[failure: diverged] ", "ReadError": "[failure: data] "}
    bench = Bench(tmp_path, retries=9)
    request = bench.next()
    bench.driver.trial_ended(request, kinds.get(error.partition(":")[0], "") + error)
    bench.clock += 1000.0
    assert bench.driver.cells[request.cell].state is CellState.FAILED
    assert len(bench.of(CellFailed)) == 1


@pytest.mark.parametrize(("inherit", "which"), [("best", "best"), ("last", "last")])
def test_a_finished_cells_numbers_are_of_the_epochs_that_they_name(
    tmp_path: Path, inherit: str, which: str
) -> None:
    """The first of two epochs is the best one here, so that best and last cannot be taken for each other."""
    bench = Bench(tmp_path, study=STUDY.replace("inherit: best", f"inherit: {inherit}"))
    request = bench.next()
    result = replace(cell_result(request), best_epoch=1)
    event = finished_event(bench.driver.cells[request.cell].work, 1, result, bench.storage)
    assert (event.top1, event.loss, event.best_top1, event.best_loss) == (20.0, 20.0, 10.0, 10.0)
    assert event.checkpoint.endswith(f"/{which}.pt")
    assert event.checkpoint_sha256 == which * 16
    assert event.checkpoints is not None
    for name in ("last", "best"):
        one = event.checkpoints[name]
        assert (Path(one["path"]).name, one["sha256"]) == (f"{name}.pt", name * 16)
        assert Path(one["predictions"]).parent == Path(one["path"]).parent
    assert event.checkpoints[which]["predictions"] == event.predictions


def test_a_result_is_labelled_with_the_protocol_that_it_was_measured_with(tmp_path: Path) -> None:
    """The study may have been edited between the measurement and the moment in which it is journalled."""
    bench = Bench(tmp_path)
    request = bench.next()
    work = replace(bench.driver.cells[request.cell].work, videos_hash="v" * 64)
    result = replace(cell_result(request), evaluation=work.cell.evaluation.model_dump(mode="json"))
    now = finished_event(work, 1, result, bench.storage)
    assert (now.evaluation, now.protocol) == (work.evaluation_key, result.evaluation)
    before = {**result.evaluation, "clips": 7}
    then = finished_event(work, 1, replace(result, evaluation=before), bench.storage)
    measured = work.cell.evaluation.model_copy(update={"clips": 7})
    assert (then.evaluation, then.protocol) == (evaluation_key(work.key, measured, "v" * 64), before)
    assert then.evaluation != now.evaluation


def test_an_error_that_would_come_again_is_not_retried(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retries=5)
    request = bench.next()
    bench.driver.trial_ended(request, "[failure: mismatch] ParentMismatchError: parent measures 10 %")
    assert bench.driver.failures[0].name == request.cell
    (ended,) = bench.of(AttemptEnded)
    assert ended.error == "ParentMismatchError: parent measures 10 %", "the mark is not for people"


def test_attempts_count_over_submissions(tmp_path: Path) -> None:
    """Also over those that were made when there were no leases yet."""
    with Journal.open(tmp_path, "before") as journal:
        for key in range(4):
            journal.append(AttemptStarted(f"{key:032x}", 3, "before", "host", "run"))
    bench = Bench(tmp_path)
    assert bench.next().attempt == 4
    assert bench.of(AttemptStarted)[0].attempt == 4


def test_a_cell_larger_than_the_cluster_fails_with_the_figures(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.driver.next_trial(Free(cpus=0)) is None
    assert bench.driver.is_finished
    assert "asks for 1 CPUs and 0 GPUs, the cluster has 0 and 0" in bench.driver.failures[0].error


def test_an_interruption_is_journalled_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.next()
    bench.driver.interrupted()
    bench.driver.interrupted()
    assert [event.state for event in bench.of(AttemptEnded)] == ["interrupted"]
