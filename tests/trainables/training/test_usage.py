"""What an epoch used: counted where it happens, summed over workers, kept in the journal and drawn."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from catalog import Catalog
from catalog.events import EpochFinished
from dashboards.figures.figure import Scope
from dashboards.figures.usage import FIGURE, PANELS, draw_usage
from orchestrator.running.journal_events import epoch_event
from tests.support.grid_events import DEMO, grid_events, write_quickly
from trainables.training.usage import EpochUsage, usage_of

CPU = torch.device("cpu")


def used_by(*workers: EpochUsage) -> dict[str, float]:
    sums = torch.stack([one.counts() for one in workers]).sum(dim=0)
    return usage_of(sums.tolist(), len(workers))


def slowly(count: int, seconds: float, closed: list[bool]) -> Generator[Any, None, None]:
    try:
        for number in range(count):
            time.sleep(seconds)
            yield number
    finally:
        closed.append(True)


def test_the_wait_for_the_loader_counts_and_the_step_does_not() -> None:
    usage, closed = EpochUsage(CPU), list[bool]()
    for number in usage.waiting(slowly(4, 0.02, closed)):
        time.sleep(0.05)
        assert number in range(4)
    used = used_by(usage)
    assert 0.08 <= used["wait_seconds"] < 0.2 and closed == [True]


def test_what_workers_used_is_summed_or_averaged_as_its_names_say() -> None:
    used = usage_of([3.0008, 8.00046, 5e8, 100.1, 3.0, 4.0], world=2)
    assert used == {
        "wait_seconds": 1.5,
        "cpu_seconds": 8.0,
        "resident_bytes": 5e8,
        "gpu_percent": 33.4,
        "grad_norm": 2.0,
    }


def test_a_loop_that_ends_early_closes_the_loader() -> None:
    closed = list[bool]()
    batches = EpochUsage(CPU).waiting(slowly(4, 0.0, closed))
    next(batches)
    batches.close()
    assert closed == [True]


def test_processor_time_and_memory_are_those_of_the_process() -> None:
    usage, held = EpochUsage(CPU), torch.ones(30_000_000)
    began = time.process_time()
    while time.process_time() - began < 0.2:
        held.mul_(1.0)
    used = used_by(usage)
    assert 0.2 <= used["cpu_seconds"] < 2.0
    assert held.nbytes < used["resident_bytes"] < 64e9 and "gpu_percent" not in used


def test_the_gradient_is_that_of_the_looked_at_steps() -> None:
    usage, layer = EpochUsage(CPU), nn.Linear(3, 1, bias=False)
    for step in range(1, 35):
        layer.weight.grad = torch.tensor([[2.0, 3.0, 6.0]]) * (1 if step in (1, 17, 33) else 100)
        usage.look(layer)
    assert used_by(usage)["grad_norm"] == pytest.approx(7.0)


def test_workers_come_together() -> None:
    first, second, layer = EpochUsage(CPU), EpochUsage(CPU), nn.Linear(1, 1, bias=False)
    layer.weight.grad = torch.full((1, 1), 3.0)
    for usage in (first, second):
        usage.look(layer)
    for _ in first.waiting(slowly(2, 0.1, [])):
        pass
    alone, used = used_by(first), used_by(first, second)
    assert used["grad_norm"] == pytest.approx(3.0), "all workers have the same gradient"
    assert used["wait_seconds"] == pytest.approx(alone["wait_seconds"] / 2, abs=0.002)
    assert used["resident_bytes"] == 2 * alone["resident_bytes"]


def test_a_gradient_that_is_no_number_is_not_recorded() -> None:
    usage, layer = EpochUsage(CPU), nn.Linear(1, 1)
    layer.weight.grad = torch.full((1, 1), torch.inf)
    usage.look(layer)
    assert "grad_norm" not in used_by(usage)


def test_where_nvml_is_not_to_be_had_nothing_is_said_of_the_gpu() -> None:
    from trainables.training.usage import gpu_percent

    busy = gpu_percent(torch.device("cuda"))
    assert (busy is not None and 0 <= busy <= 100) if torch.cuda.is_available() else busy is None


ROW = {
    **{"epoch": 1, "train_loss": 1.0, "train_top1": 50.0, "lr": 0.1, "val_loss": 1.0, "top1": 50.0},
    **{"top5": 90.0, "clips_per_second": 10.0, "train_seconds": 20.0},
}


def test_what_was_used_is_journalled_and_drawn_and_old_epochs_do_without(tmp_path: Path) -> None:
    events = list(grid_events(DEMO))
    last = next(event for event in events if isinstance(event, EpochFinished))
    key = last.key
    used = {"wait_seconds": 5.0, "cpu_seconds": 30.0, "resident_bytes": 2e9, "grad_norm": 0.5}
    again = epoch_event(key, 9, {**ROW, **used, "peak_memory_bytes": 3e9})
    events.append(dataclasses.replace(again, time=events[-1].time))
    write_quickly(tmp_path, iter(events))
    with Catalog.open(tmp_path) as catalog:
        table = FIGURE.data(catalog, Scope(keys=(key,)))
    first, *others = table.to_pylist()
    expected = {"waiting": 25.0, "cores": 1.5, "resident_gb": 2.0, "peak_gb": 3.0, "grad_norm": 0.5}
    assert {name: first[name] for name in expected} == expected and first["gpu_percent"] is None
    assert others and all(row[name] is None for row in others for name in PANELS.values())
    titles = [note.text for note in draw_usage(table).layout.annotations]
    assert titles == [title for title, name in PANELS.items() if name in expected]
    words = draw_usage(table.slice(1)).layout.annotations[0].text
    assert "No epoch has said what it used" in words
