"""Out of memory: alone, then fewer clips at a time, until it fits or not even one does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import Catalog
from catalog.events import AttemptStarted, CellFailed, CellFinished
from catalog.storage.errors import FailureKind
from catalog.storage.storage import open_storage
from orchestrator.planning.storage_plan import memory_reductions
from orchestrator.ray_runtime.trial import TrialRequest, killed_meanwhile, oom_kills, read_error_log
from orchestrator.running.cell_run import CellState, CellWork
from orchestrator.scheduling.retry import MemoryReduction, classify, clips_at_once, deferred, next_reduction
from orchestrator.scheduling.schedule import Free, Task
from orchestrator.study.cells import expand
from orchestrator.study.load import parse_study
from tests.support.driver_bench import STUDY, TOTAL, Bench
from trainables.recipe.cell_spec import CellSpec

MEMORY = "CellMemoryError: out of memory with 8 clips of 8 frames at a time, accumulation 1, peak 1.20 GB"


def work(name: int = 0, **resources: Any) -> CellWork:
    cell = expand(parse_study(STUDY, "toy.yaml"))[name]
    cell = replace(cell, resources=cell.resources.model_copy(update=resources))
    return CellWork(cell, f"{name}", None, None, 1.0, 1, 1, "m", 4, 40, "e")


ALONE = MemoryReduction(alone=True)


def tasks(*items: CellWork) -> list[Task]:
    return [item.task for item in items]


def ladder(item: CellWork) -> list[MemoryReduction]:
    found = []
    while (reduction := next_reduction(item.cell, item.reduction)) is not None:
        found.append(reduction)
        item = item.reduced(reduction)
        assert len(found) < 40
    return found


def test_first_alone_then_with_twice_as_many_parts_down_to_single_clips() -> None:
    assert [(one.alone, one.accumulation) for one in ladder(work())] == [
        (True, 1),
        (True, 2),
        (True, 4),
        (True, 8),
    ]
    assert str(MemoryReduction(True, 4)) == "alone, with gradients summed over 4 parts"


@given(st.integers(1, 512), st.integers(1, 8), st.integers(1, 4))
def test_every_ladder_ends_at_single_clips(each: int, workers: int, accumulate: int) -> None:
    item = work(workers=workers)
    recipe = item.cell.recipe.model_copy(
        update={"batch_size": each * workers * accumulate, "accumulate": accumulate}
    )
    item = replace(item, cell=replace(item.cell, recipe=recipe))
    steps = ladder(item)
    assert clips_at_once(item.cell) == each
    assert steps[0] == MemoryReduction(alone=True, accumulation=1)
    clips = [-(-each // step.accumulation) for step in steps]
    assert clips[-1] == 1
    assert len(clips) == 1 + (each - 1).bit_length()
    assert all(after < before for before, after in pairwise(clips))


def test_a_worker_takes_at_least_one_clip_at_a_time() -> None:
    item = work(workers=4)
    few = item.cell.recipe.model_copy(update={"batch_size": 2})
    assert clips_at_once(replace(item.cell, recipe=few)) == 1


def test_alone_means_a_whole_gpu() -> None:
    assert work(gpus_per_worker=0.25).reduced(ALONE).cell.resources.gpus_per_worker == 1
    assert work(gpus_per_worker=2, workers=3).reduced(ALONE).cell.resources.gpus == 6


def test_shares_of_gpus_wait_for_a_cell_that_needs_a_whole_one() -> None:
    alone = work(0, gpus_per_worker=0.5).reduced(ALONE)
    share, whole = work(1, gpus_per_worker=0.5), work(2, gpus_per_worker=1)
    assert deferred(tasks(alone, share, whole), tasks(work(3, gpus_per_worker=0.5))) == {share.cell.name}
    assert deferred(tasks(share, whole), tasks(alone)) == frozenset(), "Ray keeps others off its GPU"
    assert deferred(tasks(share, whole), tasks(share)) == frozenset()


def test_without_gpus_a_cell_alone_is_the_only_one() -> None:
    alone, other = work(0).reduced(ALONE), work(1)
    assert deferred(tasks(alone, other), tasks(work(2))) == {alone.cell.name, other.cell.name}
    assert deferred(tasks(alone, other), tasks()) == {other.cell.name}
    assert deferred(tasks(other), tasks(alone)) == {other.cell.name}


def test_the_driver_tries_alone_then_in_parts_then_gives_up_with_the_figures(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retries=0)
    first = bench.next()
    other = bench.next()
    bench.driver.trial_ended(first, MEMORY)
    bench.clock += 600
    assert bench.driver.next_trial(TOTAL) is None, "another cell still runs"
    bench.finish(other)
    accumulations = []
    while bench.driver.cells[first.cell].state is not CellState.FAILED:
        again = bench.next()
        assert again.cell == first.cell
        assert bench.driver.next_trial(TOTAL) is None, "it is alone"
        accumulations.append(CellSpec.model_validate_json(again.spec).accumulation)
        bench.driver.trial_ended(again, MEMORY)
        bench.clock += 600
    assert accumulations == [1, 2, 4, 8]
    (failed,) = bench.of(CellFailed)
    assert failed.error == f"{MEMORY} (memory: not even single clips at a time fit)"
    started = [event for event in bench.of(AttemptStarted) if event.key == first.key]
    assert [(one.alone, one.accumulation) for one in started] == [
        (False, 1),
        (True, 1),
        (True, 2),
        (True, 4),
        (True, 8),
    ]


def test_a_share_of_a_gpu_is_tried_again_with_the_whole(tmp_path: Path) -> None:
    study = STUDY + "resources: {default: {gpus_per_worker: 0.5}}\n"
    bench = Bench(tmp_path, study=study)
    total = Free(cpus=8, gpus=1)
    first, other = bench.driver.next_trial(total), bench.driver.next_trial(total)
    assert first is not None
    assert other is not None
    assert bench.driver.next_trial(total) is None
    bench.driver.trial_ended(first, MEMORY)
    bench.clock += 600
    assert bench.driver.next_trial(total) is None
    bench.finish(other)
    assert bench.driver.next_trial(total).gpus_per_worker == 1  # type: ignore[union-attr]


def test_the_next_driver_goes_on_as_it_was_tried_last(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    request = bench.next()
    bench.driver.trial_ended(request, MEMORY)
    bench.clock += 600
    bench.driver.trial_ended(bench.next(), MEMORY)
    bench.clock += 600
    assert bench.next().cell == request.cell
    with Catalog.open(tmp_path) as catalog:
        assert memory_reductions(catalog) == {request.key: MemoryReduction(alone=True, accumulation=2)}
        rows = catalog.query("SELECT attempt, alone, accumulation FROM attempts ORDER BY attempt").to_pylist()
    assert [(row["alone"], row["accumulation"]) for row in rows] == [(False, 1), (True, 1), (True, 2)]


@pytest.mark.slow
@pytest.mark.long
def test_a_cell_under_a_real_limit_of_memory_ends_well_in_more_parts(toy_data: Path, tmp_path: Path) -> None:
    """Every attempt is a process of its own that really trains, and may have 160 MB beside its model.

    Sixteen clips of 16 frames make it grow by about 470 MB, eight of them by 270, four by 165, one by 60.
    """
    study = """
name: hungry
axes: {module: [tam], backbone: [tiny], frames: [16], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
recipe:
  base: {init: random, epochs: 1, batch_size: 16, crop_size: 96, crop_scales: [1.0]}
evaluation: {crop_size: 32, short_side: 36}
"""
    bench = Bench(tmp_path, retries=0, study=study, manifest=toy_data / "manifest.parquet")
    tried: list[tuple[int, str]] = []
    while not bench.driver.is_finished:
        request = bench.next()
        error = play(request, tmp_path, more=160_000_000)
        tried.append((CellSpec.model_validate_json(request.spec).accumulation, error or ""))
        bench.driver.trial_ended(request, error)
        bench.clock += 600
        assert len(tried) < 8
    accumulations = [accumulation for accumulation, _ in tried]
    # How much an allocator takes beside what is asked of it moves the end by one step.
    assert accumulations in ([1, 1, 2], [1, 1, 2, 4], [1, 1, 2, 4, 8])
    assert tried[-1][1] == ""
    assert all(classify(error) is FailureKind.MEMORY for _, error in tried[:-1])
    figures = r"out of memory with 16 clips of 16 frames at a time, accumulation 1, peak \d+\.\d\d GB"
    assert re.search(figures, tried[0][1])
    (finished,) = bench.of(CellFinished)
    assert finished.accumulation == accumulations[-1]
    with Catalog.open(tmp_path) as catalog:
        assert catalog.query("SELECT accumulation FROM results").to_pylist() == [
            {"accumulation": accumulations[-1]}
        ]


def play(request: TrialRequest, folder: Path, more: int) -> str | None:
    """Train the request's cell in a process with a limit; its error, None where it ended well."""
    file = folder / "request.json"
    file.write_text(json.dumps(asdict(request)))
    command = [sys.executable, "-m", "tests.support.limited_worker", str(file), str(more)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0:
        return None
    return (
        read_error_log(open_storage(request.storage), Path(request.log))
        or "ActorDiedError: died without a word"
    )


DIED = "ActorDiedError: The actor died unexpectedly before finishing this task."


def test_the_kernels_count_tells_a_kill_for_memory_from_another() -> None:
    assert classify(DIED + killed_meanwhile(DIED, 3, 4)) is FailureKind.MEMORY
    assert classify(DIED + killed_meanwhile(DIED, 3, 3)) is FailureKind.PROCESS_DIED
    assert classify(DIED + killed_meanwhile(DIED, None, None)) is FailureKind.PROCESS_DIED
    assert killed_meanwhile("ValueError: of its own", 3, 4) == ""


def test_the_count_is_read_where_the_kernel_keeps_it(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 1\noom_kill 7\nswap_ra 0\n")
    assert oom_kills(counters) == 7
    assert oom_kills(tmp_path / "none") is None
