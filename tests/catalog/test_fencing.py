"""What a driver writes after it lost its cell to another changes nothing of what the other wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import (
    AttemptEnded,
    AttemptStarted,
    CellFailed,
    CellFinished,
    CellPlanned,
    EpochFinished,
    Event,
    StudyControlled,
    StudySubmitted,
)
from catalog.queries.planner import attempts_made, done_cells
from tests.support.grid_events import DEMO, grid_events, write_quickly

FINISHED = next(event for event in grid_events(DEMO) if isinstance(event, CellFinished))
KEY = FINISHED.key
PLANNED = next(event for event in grid_events(DEMO) if isinstance(event, CellPlanned) and event.key == KEY)


def epoch(attempt: int, top1: float, time: float) -> EpochFinished:
    return EpochFinished(KEY, 1, attempt, *[top1] * 8, time=time)


def rows(storage: Path, sql: str) -> list[dict[str, Any]]:
    with Catalog.open(storage) as catalog:
        return list(catalog.query(sql).to_pylist())


@pytest.fixture
def taken_over(tmp_path: Path) -> Path:
    """The old driver's attempt 1, taken over by the new one's attempt 2; PLANNED's cell."""
    write_quickly(tmp_path, iter([PLANNED, AttemptStarted(KEY, 1, "old", "h", "r", time=10.0)]), "old")
    new: list[Event] = [AttemptStarted(KEY, 2, "new", "h", "r", time=20.0), epoch(2, 22.0, 21.0)]
    write_quickly(tmp_path, iter(new), "new")
    return tmp_path


@pytest.mark.parametrize(
    "late",
    [
        AttemptEnded(KEY, 1, "interrupted", "lost", time=30.0),
        AttemptEnded(KEY, 1, "failed", "lost", time=30.0),
        CellFailed(KEY, 1, "lost", time=30.0),
        AttemptStarted(KEY, 1, "old", "h", "r", time=30.0),
        epoch(1, 11.0, 30.0),
    ],
    ids=lambda event: f"{type(event).__name__}-{getattr(event, 'state', '')}",
)
def test_late_words_of_the_old_driver_leave_the_new_ones_cell_running(taken_over: Path, late: Event) -> None:
    write_quickly(taken_over, iter([late]), "old-2")
    assert rows(taken_over, "SELECT state, attempts FROM cells") == [{"state": "running", "attempts": 2}]
    assert rows(taken_over, "SELECT state FROM attempts ORDER BY attempt DESC LIMIT 1") == [
        {"state": "running"}
    ]
    assert rows(taken_over, "SELECT attempt, top1 FROM epochs") == [{"attempt": 2, "top1": 22.0}]
    with Catalog.open(taken_over) as catalog:
        assert attempts_made(catalog) == {KEY: 2}


def test_a_late_result_does_not_replace_the_new_drivers(taken_over: Path) -> None:
    owner = dataclasses.replace(FINISHED, attempt=2, top1=50.0, time=25.0)
    write_quickly(taken_over, iter([owner]), "new-2")
    late = dataclasses.replace(FINISHED, attempt=1, top1=10.0, time=30.0)
    write_quickly(taken_over, iter([late]), "old-2")
    with Catalog.open(taken_over) as catalog:
        assert (done_cells(catalog)[KEY].attempt, done_cells(catalog)[KEY].top1) == (2, 50.0)
        catalog.snapshot()
    assert rows(taken_over, "SELECT attempt, state FROM attempts ORDER BY attempt") == [
        {"attempt": 1, "state": "interrupted"},
        {"attempt": 2, "state": "done"},
    ]


def test_commands_are_in_force_until_the_study_is_submitted_again(tmp_path: Path) -> None:
    events: list[Event] = [
        StudySubmitted("toy", "s1", 1, "toy.yaml", {}, time=10.0),
        StudyControlled("toy", "c1", "pause", "TAM*", "alice", time=11.0),
        StudyControlled("toy", "c2", "cancel", "*", "bob", time=13.0),
    ]
    write_quickly(tmp_path, iter(events))
    asked = "SELECT action, cells, who, in_force FROM controls ORDER BY given"
    assert rows(tmp_path, asked) == [
        {"action": "pause", "cells": "TAM*", "who": "alice", "in_force": True},
        {"action": "cancel", "cells": "*", "who": "bob", "in_force": True},
    ]
    write_quickly(tmp_path, iter([StudySubmitted("toy", "s2", 1, "toy.yaml", {}, time=12.0)]), "two")
    assert [row["in_force"] for row in rows(tmp_path, asked)] == [False, True]
