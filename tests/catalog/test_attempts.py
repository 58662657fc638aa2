"""Attempts: their states, how far a cell has come, and how many devices were busy, reckoned again by hand."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from catalog import Catalog
from catalog.events import AttemptEnded, AttemptStarted, CellPlanned, EpochFinished, Event
from tests.support.grid_events import Grid, grid_events, write_quickly
from tests.support.measured_cells import Cell, catalog_of

EPOCH = datetime(1970, 1, 1)


def started(key: str, attempt: int, time: float) -> Event:
    return AttemptStarted(key, attempt, "driver", "host", "run", time=time)


def epoch(key: str, number: int, attempt: int, time: float) -> Event:
    return EpochFinished(key, number, attempt, *[1.0] * 8, time=time)


def test_an_attempt_without_an_end_runs_unless_a_later_one_began(tmp_path: Path) -> None:
    events = [started("a", 1, 10.0), started("a", 2, 20.0), started("b", 1, 30.0), started("c", 1, 40.0)]
    events += [
        AttemptEnded("a", 2, "done", time=25.5),
        AttemptEnded("c", 1, "failed", "ReadError: a.mp4", "c.log", time=41.0),
    ]
    write_quickly(tmp_path, iter(events))
    with Catalog.open(tmp_path) as catalog:
        rows = catalog.query("FROM attempts ORDER BY key, attempt").to_pylist()
    found = [(row["key"], row["attempt"], row["state"], row["seconds"]) for row in rows]
    assert found == [
        ("a", 1, "interrupted", None),
        ("a", 2, "done", 5.5),
        ("b", 1, "running", None),
        ("c", 1, "failed", 1.0),
    ]
    assert (rows[3]["error"], rows[3]["log"], rows[3]["started"]) == (
        *("ReadError: a.mp4", "c.log"),
        EPOCH + timedelta(seconds=40),
    )


def test_how_far_a_cell_is_and_when_it_ends(tmp_path: Path) -> None:
    """Two epochs in a first attempt, two more in 30 s of the second: six of ten are left, 15 s each."""
    grid = Grid(modules=("tsn",), backbones=("tiny",), poolings=(False,), frames=(8,), datasets=("d",))
    (planned,) = [event for event in grid_events(grid) if isinstance(event, CellPlanned)]
    planned = dataclasses.replace(planned, config={"recipe": {"epochs": 10}})
    key = planned.key
    events = [planned, started(key, 1, 1000.0), epoch(key, 1, 1, 1100.0), epoch(key, 2, 1, 1200.0)]
    events += [started(key, 2, 2000.0), epoch(key, 3, 2, 2015.0), epoch(key, 4, 2, 2030.0)]
    write_quickly(tmp_path, iter(events))
    with Catalog.open(tmp_path) as catalog:
        (row,) = catalog.query("FROM running_cells").to_pylist()
    assert (row["cell"], row["attempt"], row["epoch"], row["epochs"]) == (planned.cell, 2, 4, 10)
    assert (row["seconds_per_epoch"], row["eta_seconds"]) == (15.0, 90.0)
    assert row["reported"] == EPOCH + timedelta(seconds=2030)


SPANS = [(0.0, 50.0, 1.0, 2.0), (10.0, 20.0, 0.5, 1.0), (10.0, 90.25, 2.0, 4.0), (100.0, 100.0, 1.0, 1.0)]
"""(start, end, GPUs, CPUs) of attempts; between 90.25 and 100 s nothing runs."""


def test_busy_devices_are_the_means_of_what_overlaps_each_interval(tmp_path: Path) -> None:
    values = ", ".join(map(str, SPANS))
    spans = f"WITH spans AS (FROM (VALUES {values}) AS attempt(started, ended, gpus, cpus))"
    with Catalog.open(tmp_path) as catalog:
        rows = catalog.query(f"{spans} FROM utilisation_of('spans')").to_pylist()
    assert len(rows) == 200 and {row["seconds"] for row in rows} == {0.5}
    for place, row in enumerate(rows):
        begin, end = 0.5 * place, 0.5 * (place + 1)
        shares = [max(0.0, min(end, last) - max(begin, first)) / 0.5 for first, last, *_ in SPANS]
        expected = [
            sum(share * amount for share, amount in zip(shares, amounts, strict=True))
            for amounts in ([one[2] for one in SPANS], [one[3] for one in SPANS], [1.0] * len(SPANS))
        ]
        assert [row["gpus"], row["cpus"], row["attempts"]] == pytest.approx(expected, abs=1e-9)
        assert row["time"] == EPOCH + timedelta(seconds=begin + 0.25)


def test_a_cell_whose_plan_names_no_resources_takes_one_core(tmp_path: Path) -> None:
    with catalog_of(tmp_path, [Cell()]) as catalog:
        (row,) = catalog.query("FROM cell_costs").to_pylist()
    assert (row["gpus"], row["cpus"], row["state"]) == (0.0, 1.0, "done")


def test_hours_are_seconds_times_devices_of_what_is_done_and_what_is_left(tmp_path: Path) -> None:
    """Two hours on 2 GPUs, half an hour of expected 90 minutes on one, and a cell of which nobody knows."""
    axes = {"module": "'tam'", "backbone": "'tiny'", "temporal_pooling": "false", "frames": "8"}
    axes |= {"dataset": "'d'", "seed": "0", "other_axes": "MAP {}::MAP(VARCHAR, VARCHAR)"}
    place = ", ".join(f"{value} AS {axis}" for axis, value in axes.items())
    values = "('done', 7200, 7200, 2, 4), ('running', 1800, 5400, 1, 3), ('planned', 0, NULL, 1, 3)"
    cost = f"""
        WITH cost AS (
            SELECT {place}, *
            FROM (VALUES {values}) AS cell(state, seconds, expected_seconds, gpus, cpus)
        )
        FROM costs_by_axis_of('cost') WHERE axis = 'module'
    """
    with Catalog.open(tmp_path) as catalog:
        (row,) = catalog.query(cost).to_pylist()
    assert [row[count] for count in ("cells", "done", "running", "unknown")] == [3, 1, 1, 1]
    hours = {
        unit: [row[f"{unit}_hours_{part}"] for part in ("spent", "expected", "left")]
        for unit in ("gpu", "cpu")
    }
    assert hours == {"gpu": [4.5, 5.5, 1.0], "cpu": [9.5, 12.5, 3.0]}
