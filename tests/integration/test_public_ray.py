"""A small study through Ray's public names alone: the way of every Ray on which the other was not tried."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from catalog.events import AttemptEnded, AttemptStarted, EpochFinished
from orchestrator.ray_runtime.ray_compat import (
    PROVEN_LOCAL,
    PROVEN_ON_CLUSTERS,
    WAY_VARIABLE,
    RayWay,
    RayWayError,
    ray_way,
)
from tests.support.running import Events, RunningDriver, held_leases, write_study
from tests.support.studies import actiongrid, command, query

CELL = "TSN-Tiny-f8@synthetic-motion"


def test_private_names_are_used_only_where_they_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WAY_VARIABLE, raising=False)
    for local, proven in ((True, PROVEN_LOCAL), (False, PROVEN_ON_CLUSTERS)):
        monkeypatch.setattr("orchestrator.ray_runtime.ray_compat.version", lambda _, one=proven[-1]: one)
        assert ray_way(local=local) is RayWay.FAST
        monkeypatch.setattr("orchestrator.ray_runtime.ray_compat.version", lambda _: "3.1.4")
        assert ray_way(local=local) is RayWay.PUBLIC


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in RayWay:
        monkeypatch.setenv(WAY_VARIABLE, way)
        assert ray_way(local=True) is way
    monkeypatch.setenv(WAY_VARIABLE, "quick")
    with pytest.raises(RayWayError, match="neither public nor fast: 'quick'; ACTIONGRID_RAY; "):
        ray_way(local=True)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAY_VARIABLE, "public")


@pytest.mark.slow
@pytest.mark.long
def test_a_chain_trains_and_is_evaluated_by_two_workers(public: None, tmp_path: Path) -> None:
    study, storage = write_study(tmp_path, "small", "[tsn]", frames="[8, 16]"), tmp_path / "storage"
    study.write_text(study.read_text() + "resources: {default: {workers: 2, cpus_per_worker: 1}}\n")
    actiongrid("run", study, "--storage", storage, "--cpus", "2")
    rows = query(storage, "SELECT frames, state FROM cells ORDER BY frames")
    assert [(row["frames"], row["state"]) for row in rows] == [(8, "done"), (16, "done")]
    views = ("--clips", "2", "--json", "--cpus", "2", "--storage", storage)
    (measured,) = json.loads(actiongrid("evaluate", CELL, *views))
    assert measured["computed"] and measured["views"] == 2


@pytest.mark.slow
@pytest.mark.long
def test_a_cancelled_cell_ends_and_its_resources_come_back(public: None, tmp_path: Path) -> None:
    """The trial is killed; the one CPU, given back by Train's own cleaner, trains the other cell."""
    study, storage = write_study(tmp_path, "long", "[tsn, tam]", epochs=2000), tmp_path / "storage"
    events = Events(storage)
    with RunningDriver(study, storage, "--cpus", "1") as driver:
        events.wait(EpochFinished, 1, driver)
        (first,) = query(storage, "SELECT cell FROM cells WHERE state = 'running'")
        actiongrid("cancel", "long", "--cells", first["cell"], "--storage", storage)
        events.wait(AttemptEnded, 1, driver)
        events.wait(AttemptStarted, 2, driver)
        second = events.of(AttemptStarted)[1].key
        seen = len(events.of(EpochFinished))
        events.wait(EpochFinished, seen + 1, driver)
        assert events.of(EpochFinished)[-1].key == second
        os.kill(driver.pid, signal.SIGTERM)
        driver.ends_with(130)
    assert held_leases(storage) == []


def test_an_unknown_way_is_one_line(tmp_path: Path) -> None:
    study = write_study(tmp_path, "small", "[tsn]")
    run = command("run", study, "--storage", tmp_path / "storage")
    environment = os.environ | {WAY_VARIABLE: "quick"}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: neither public nor fast: 'quick'; ACTIONGRID_RAY")
