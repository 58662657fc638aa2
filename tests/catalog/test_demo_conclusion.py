"""The demo's promised conclusion: its check passes on results as promised, and on no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.events import CellFinished, CellPlanned, Event
from tests.support.demo_conclusion import main
from tests.support.grid_events import DEMO, grid_events, write_quickly

Change = Callable[[CellPlanned, float], float]


def as_promised(cell: CellPlanned) -> float:
    if cell.dataset == "synthetic-motion" and cell.module == "tsn":
        return 80.0 if cell.temporal_pooling else 25.0
    return 95.0


def _with_top1(event: CellFinished, cell: CellPlanned, change: Change) -> CellFinished:
    top1 = change(cell, as_promised(cell))
    return dataclasses.replace(event, top1=top1, best_top1=top1)


def demo_storage(path: Path, change: Change) -> str:
    planned: dict[str, CellPlanned] = {}
    written: list[Event] = []
    for event in grid_events(DEMO):
        if isinstance(event, CellPlanned):
            planned[event.key] = event
        written.append(
            _with_top1(event, planned[event.key], change) if isinstance(event, CellFinished) else event
        )
    write_quickly(path, iter(written))
    return str(path)


def test_a_demo_as_promised_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(demo_storage(tmp_path, lambda _cell, top1: top1)) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda cell, top1: 60.0 if top1 == 25.0 and cell.frames == 16 else top1,
            "TSN cannot tell movements",
        ),
        (lambda cell, top1: 30.0 if top1 == 80.0 and cell.frames == 8 else top1, "temporal pooling lets it"),
        (
            lambda cell, top1: 40.0 if cell.module == "s3d" and "motion" in cell.dataset else top1,
            "other modules",
        ),
        (lambda cell, top1: 70.0 if cell.module == "tsn" and top1 == 95.0 else top1, "the look of things"),
    ],
)
def test_a_broken_promise_is_said(
    change: Change, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(demo_storage(tmp_path, change)) == 1
    assert said in capsys.readouterr().err


def test_a_storage_without_the_demo_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(tmp_path)) == 1
    assert "no result" in capsys.readouterr().err
