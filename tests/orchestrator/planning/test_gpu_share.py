"""`gpus_per_worker: auto`: which share a cell gets, what is recorded, and what measured cells correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import Catalog
from orchestrator.planning.gpu_share import CONTEXT_BYTES, MARGIN, CardMemory, cell_memory, smallest_share
from orchestrator.planning.measured import card_memory, overshoots
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.running.journal_events import planned_event
from orchestrator.scheduling.schedule import Free, GridState, Task
from orchestrator.study.cells import Cell, expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from orchestrator.study.model import Resources, Study
from tests.support.finished_study import NAMES, STUDY, build, finish, plan

AUTO = STUDY + "resources: {default: {gpus_per_worker: auto, gpu_memory_gb: 16}}\n"
UNKNOWN = STUDY + "resources: {default: {gpus_per_worker: auto}}\n"
GPU = {"device": "NVIDIA L4", "memory_bytes": 16_000_000_000}


def planned(text: str, memory: dict[int, int], known: CardMemory | None = None) -> Plan:
    """A plan whose cells need so many bytes by frames."""
    return make_plan(
        parse_study(text, "s.yaml"), memory=known, memory_of=lambda cell, classes: memory[cell.frames]
    )


def shares(found: Plan) -> list[float]:
    return [one.cell.resources.gpus_per_worker for one in found.cells]


@given(st.floats(0, 200e9), st.integers(1, 200))
def test_a_share_is_the_smallest_that_is_enough(needed: float, card: int) -> None:
    card_bytes = card * 10**9
    found = smallest_share(needed, card_bytes)
    assert found in (0.25, 0.3333, 0.5, 1.0)
    taken = needed * MARGIN + CONTEXT_BYTES
    if found < 1:
        assert taken * round(1 / found) <= card_bytes, "as many as share the card fit together"
        assert round(1 / found) * found <= 1, "and Ray places them"
    for smaller, parts in ((0.25, 4), (0.3333, 3), (0.5, 2)):
        assert found <= smaller or taken * parts > card_bytes


def test_workers_of_one_cell_share_no_gpu() -> None:
    assert smallest_share(1e6, 16 * 10**9, workers=2) == 1.0
    assert smallest_share(1e6, 16 * 10**9, workers=1) == 0.25


def test_cells_get_shares_by_their_memory() -> None:
    found = planned(AUTO, {8: 10**9, 16: 3 * 10**9, 32: 6 * 10**9, 64: 12 * 10**9})
    assert shares(found) == [0.25, 0.3333, 0.5, 1.0]
    assert found.cells[0].share is not None
    assert (found.cells[0].share.estimated_bytes, found.cells[0].share.card_bytes) == (10**9, 16 * 10**9)
    event = planned_event(found.cells[1], "s", "driver")
    assert event.config["memory"] == {
        "gpus": 0.3333,
        "estimated_bytes": 3 * 10**9,
        "card_bytes": 16 * 10**9,
        "rule": "memory",
    }
    assert event.config["resources"]["gpus_per_worker"] == 0.3333


def test_the_estimate_of_a_real_model_grows_with_batch_and_length() -> None:
    cells = expand(parse_study(AUTO, "s.yaml"))
    short, long = cell_memory(cells[0], 4), cell_memory(cells[1], 4)
    assert 1.5 * short < long < 2.1 * short
    twice: Cell = expand(parse_study(AUTO.replace("batch_size: 8", "batch_size: 16"), "s.yaml"))[0]
    assert 1.5 * short < cell_memory(twice, 4) < 2.1 * short
    summed = expand(parse_study(AUTO.replace("batch_size: 8", "batch_size: 16, accumulate: 2"), "s.yaml"))[0]
    # The other pass's clips wait on the card too, as bytes, in each of two buffers.
    assert cell_memory(summed, 4) == short + 2 * 8 * 8 * 256 * 256 * 3
    assert make_plan(parse_study(AUTO, "s.yaml")).cells[0].cell.resources.gpus_per_worker == 0.25


def test_a_study_that_says_how_many_is_left_alone() -> None:
    fixed = AUTO.replace("auto, gpu_memory_gb: 16", "0.5")
    assert shares(planned(fixed, {})) == [0.5] * 4
    overridden = AUTO.replace("16}}", "16}, overrides: [{where: {frames: 64}, set: {gpus_per_worker: 1}}]}")
    memory = dict.fromkeys((8, 16, 32, 64), 10**9)
    assert shares(planned(overridden, memory)) == [0.25, 0.25, 0.25, 1.0]


def test_what_is_shared_is_no_part_of_the_key() -> None:
    assert [one.key for one in planned(AUTO, dict.fromkeys((8, 16, 32, 64), 1)).cells] == [
        one.key for one in planned(STUDY, {}).cells
    ]


def test_unknown_cards_are_an_error_that_says_what_to_write() -> None:
    with pytest.raises(StudyError) as caught:
        planned(UNKNOWN, dict.fromkeys((8, 16, 32, 64), 1))
    assert "say gpu_memory_gb: 40 beside it" in str(caught.value)
    known = CardMemory(card_bytes=16 * 10**9)
    assert shares(planned(UNKNOWN, dict.fromkeys((8, 16, 32, 64), 10**9), known)) == [0.25] * 4


def test_a_wrong_word_for_a_share_is_one_line() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(STUDY + "resources: {default: {gpus_per_worker: automatic}}\n", "s.yaml")
    (line,) = caught.value.lines
    assert "gpus_per_worker" in line


def test_editors_are_told_of_both() -> None:
    field = Study.model_json_schema()["$defs"]["Resources"]["properties"]["gpus_per_worker"]
    assert field["anyOf"] == [{"type": "number", "minimum": 0}, {"const": "auto"}]


def finished_storage(storage: Path, peak: int, **result: Any) -> Path:
    build(storage, AUTO)
    finish(storage, AUTO, peak_memory_bytes=peak, hardware=GPU, **result)
    return storage


def test_measured_peaks_correct_the_estimates_of_later_cells(tmp_path: Path) -> None:
    estimated = max(one.share.estimated_bytes for one in plan_of(tmp_path) if one.share)
    finished_storage(tmp_path, 3 * estimated)
    with Catalog.open(tmp_path) as catalog:
        known = card_memory(catalog)
        (row, *_) = catalog.query(
            "SELECT peak_memory_bytes, estimated_memory_bytes FROM results ORDER BY frames DESC"
        ).to_pylist()
    assert known.card_bytes == GPU["memory_bytes"]
    assert known.ratio >= 3
    assert (row["peak_memory_bytes"], row["estimated_memory_bytes"]) == (3 * estimated, estimated)
    memory = dict.fromkeys((8, 16, 32, 64), 2 * 10**9)
    assert shares(planned(UNKNOWN, memory, CardMemory(known.card_bytes))) == [0.25] * 4
    assert shares(planned(UNKNOWN, memory, CardMemory(known.card_bytes, ratio=3.0))) == [0.5] * 4
    # A new study on this storage needs to say nothing: its cells' shares come from what was measured.
    cells = plan(tmp_path, UNKNOWN.replace("lr: 0.01", "lr: 0.02"))
    assert cells[NAMES[0]].share is not None
    assert cells[NAMES[0]].share.card_bytes == GPU["memory_bytes"]


def plan_of(storage: Path) -> tuple[Any, ...]:
    build(storage, AUTO)
    return tuple(plan(storage, AUTO).values())


def test_a_cell_whose_batch_was_summed_in_parts_corrects_nothing(tmp_path: Path) -> None:
    finished_storage(tmp_path, 9 * 10**9, accumulation=2)
    with Catalog.open(tmp_path) as catalog:
        assert card_memory(catalog).ratio == 1.0


def test_a_cell_that_took_more_than_its_share_is_warned_of(tmp_path: Path) -> None:
    finished_storage(tmp_path, 5 * 10**9)
    with Catalog.open(tmp_path) as catalog:
        (warning,) = overshoots(catalog, NAMES[:1])
    assert warning.startswith(f"{NAMES[0]} took 5.00 GB of a GPU's 16.00 GB, its share was 0.25; ")


def test_a_cpu_says_nothing_of_gpus(tmp_path: Path) -> None:
    build(tmp_path, AUTO)
    finish(tmp_path, AUTO, peak_memory_bytes=10**12, hardware={"device": "CPU x86_64"})
    with Catalog.open(tmp_path) as catalog:
        assert card_memory(catalog) == CardMemory()
        assert overshoots(catalog, NAMES) == []


def test_shares_are_packed_onto_a_card_and_no_more() -> None:
    def task(name: str, gpus: float) -> Task:
        return Task(name, None, 1.0, Resources(gpus_per_worker=gpus))

    grid = GridState([task("a", 0.5), task("b", 0.3333), task("c", 0.25), task("d", 0.1667)])
    total = Free(cpus=8, gpus=1)
    started = []
    while (name := grid.next(total)) is not None:
        grid.started(name)
        started.append(name)
    assert started == ["a", "b", "d"]
    thirds = GridState([task(name, 0.3333) for name in "abcd"])
    for _ in range(3):
        thirds.started(str(thirds.next(total)))
    assert thirds.next(total) is None
