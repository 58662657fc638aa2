"""Several drivers on one storage, stopping, commands from another terminal: the command on a real Ray."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, CellFinished, EpochFinished
from tests.support.running import (
    Events,
    RunningDriver,
    held_cluster,
    held_leases,
    ray_processes,
    wait_for,
    wait_until_gone,
    write_study,
)
from tests.support.slowness import slowness
from tests.support.studies import actiongrid, query

pytestmark = pytest.mark.slow

ONE_CPU = ("--cpus", "1")
TSN, TAM, S3D = (f"{module}-Tiny-f8@synthetic-motion" for module in ("TSN", "TAM", "S3D"))


@pytest.mark.long
def test_two_drivers_on_overlapping_studies_train_each_cell_once(tmp_path: Path) -> None:
    """They are started together, so that the second also meets the first one's build of the dataset."""
    storage = tmp_path / "storage"
    ours = write_study(tmp_path, "ours", "[tsn, tam]")
    theirs = write_study(tmp_path, "theirs", "[tam, tsn, s3d]")
    with RunningDriver(ours, storage, *ONE_CPU) as one, RunningDriver(theirs, storage, *ONE_CPU) as two:
        first, second = one.ends_with(0), two.ends_with(0)
    events = Events(storage)
    started = [event.key for event in events.of(AttemptStarted)]
    assert len(started) == len(set(started)) == 3
    assert len(events.of(CellFinished)) == 3
    assert "2 of 2 cells done" in first
    assert "3 of 3 cells done" in second
    trained = [int(text.rpartition("done, ")[2].split()[0]) for text in (first, second)]
    assert sum(trained) == 3 and min(trained) >= 1
    assert held_leases(storage) == []
    assert list((storage / "drivers").iterdir()) == []
    datasets(storage, tmp_path)


def datasets(storage: Path, folder: Path) -> None:
    """Keep the dataset for the tests after: generating the same videos again only costs time."""
    kept = folder.parent / "datasets-of-driver-tests"
    if not kept.exists():
        shutil.copytree(storage / "datasets", kept)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    kept = tmp_path.parent / "datasets-of-driver-tests"
    if kept.exists():
        shutil.copytree(kept, tmp_path / "storage" / "datasets")
    return tmp_path / "storage"


@pytest.mark.long
def test_a_waiting_driver_takes_a_killed_ones_cell_over(tmp_path: Path, storage: Path) -> None:
    study = write_study(tmp_path, "one", "[tsn]", epochs=30)
    events = Events(storage)
    with RunningDriver(study, storage, *ONE_CPU) as one:
        # The cell's worker starts for seconds, so that it is not done before the second driver looks.
        events.wait(AttemptStarted, 1, one)
        with RunningDriver(study, storage, *ONE_CPU) as two:
            two.says(f"held    {TSN}: by ")
            two.says("waiting for cells that other drivers train")
            assert f"pid {one.pid}" in two.output
            assert ray_processes(two.pid) == [], "nothing to do: no Ray"
            status = json.loads(actiongrid("status", "--json", "--storage", storage))
            assert f"pid {one.pid}" in status[0]["held_by"]
            events.wait(EpochFinished, 1, one)
            os.kill(one.pid, signal.SIGKILL)
            one.process.wait()
            output = two.ends_with(0)
    assert "1 of 1 cells done, 1 of them trained by this run" in output
    assert [event.attempt for event in events.of(AttemptStarted)] == [1, 2]
    (finished,) = events.of(CellFinished)
    assert finished.attempt == 2
    rows = query(storage, "SELECT attempt, state FROM attempts ORDER BY attempt")
    assert [row["state"] for row in rows] == ["interrupted", "done"]
    by_first = [event.epoch for event in events.of(EpochFinished) if event.attempt == 1]
    assert by_first, "the second went on from there"
    assert held_leases(storage) == []


def test_ctrl_c_before_anything_trains_ends_with_a_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, "large", "[tsn]")
    study.write_text(study.read_text().replace("train_per_class: 4", "train_per_class: 2000"))
    with RunningDriver(study, tmp_path / "storage") as driver:
        wait_for(lambda: list(tmp_path.glob("storage/datasets/*/*")), "the build begins", 60, driver)
        os.kill(driver.pid, signal.SIGINT)
        output = driver.ends_with(130, seconds=60)
    assert "interrupted; run the same command again to go on" in output
    assert "Traceback" not in output
    assert list((tmp_path / "storage" / "drivers").iterdir()) == []


@pytest.mark.long
def test_pause_resume_sigterm_and_cancel(tmp_path: Path, storage: Path) -> None:
    study = write_study(tmp_path, "long", "[tsn]", frames="[8, 16]", epochs=2000)
    events = Events(storage)

    def control(*arguments: str) -> str:
        return actiongrid(*arguments, "--storage", storage)

    with RunningDriver(study, storage, *ONE_CPU) as driver:
        events.wait(EpochFinished, 1, driver)
        assert f"pid {driver.pid}" in control("pause", "long")
        (ended,) = events.wait(AttemptEnded, 1, driver)
        assert ended.state == "interrupted"
        rows = json.loads(control("status", "long", "--json"))
        assert [(row["command"], row["held_by"]) for row in rows] == [("paused", None)] * 2
        assert driver.process.poll() is None
        stood = len(events.of(EpochFinished))
        control("resume", "long", "--cells", "*-f8@*")
        events.wait(EpochFinished, stood + 1, driver)
        assert [event.attempt for event in events.of(AttemptStarted)] == [1, 2]
        os.kill(driver.pid, signal.SIGTERM)
        asked = time.monotonic()
        output = driver.ends_with(130)
        assert time.monotonic() - asked < 30 * slowness()
        assert f"interrupted; go on with: actiongrid run {study}" in output
        wait_until_gone(driver.pid, 20)
    assert [event.state for event in events.of(AttemptEnded)] == ["interrupted"] * 2
    assert held_leases(storage) == []
    before = epochs_on_disk(storage)
    with RunningDriver(study, storage, *ONE_CPU) as driver:
        wait_for(lambda: epochs_on_disk(storage) > before, "it goes on where it was", 180, driver)
        assert "told" in control("cancel", "long")
        output = driver.ends_with(130)
    assert "cancelled by `actiongrid cancel`: 2 cells" in output
    assert f"a new run takes them up again: actiongrid run {study}" in output
    assert held_leases(storage) == []
    kept = [row["epochs"] for row in query(storage, "SELECT count(*) AS epochs FROM epochs GROUP BY key")]
    assert kept == [epochs_on_disk(storage)], "every epoch once, none lost"


TWO_DATASETS = """
name: two
axes: {module: [tsn], backbone: [tiny], frames: [8], dataset: [synthetic-motion, synthetic-appearance]}
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 4, val_per_class: 2}
  synthetic-appearance: {kind: synthetic-appearance, train_per_class: 4, val_per_class: 2}
recipe:
  base: {init: random, batch_size: 8, lr: 0.05, crop_size: 32, inherit: last, epochs: 2000}
  overrides: [{where: {dataset: synthetic-appearance}, set: {epochs: 2}}]
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
"""


@pytest.mark.long
def test_a_living_driver_tries_a_failed_cell_again(tmp_path: Path) -> None:
    """The frames of one dataset are taken away before its cell starts, and put back before the retry."""
    storage, study = tmp_path / "storage", tmp_path / "two.yaml"
    study.write_text(TWO_DATASETS)
    events = Events(storage)

    def control(*arguments: str) -> str:
        return actiongrid(*arguments, "--storage", storage)

    with RunningDriver(study, storage, *ONE_CPU) as driver:
        events.wait(AttemptStarted, 1, driver)
        (shards,) = {path.parent for path in storage.glob("datasets/synthetic-appearance*/**/*.arrow")}
        shards.rename(shards.with_name("away"))
        control("pause", "two", "--cells", "*synthetic-motion")
        (failed,) = events.wait(CellFailed, 1, driver)
        shards.with_name("away").rename(shards)
        assert f"1 of 2 cells of two; told {driver_name(driver)}" in control("retry", "two")
        (finished,) = events.wait(CellFinished, 1, driver)
        assert finished.key == failed.key and finished.attempt > failed.attempt
        control("cancel", "two")
        driver.ends_with(130)


def driver_name(driver: RunningDriver) -> str:
    return f"{getpass.getuser()}@{platform.node()}, pid {driver.pid}"


def epochs_on_disk(storage: Path) -> int:
    return max(int(path.stem.split("-")[1]) for path in storage.glob("runs/*/epoch-*.json"))


@pytest.fixture
def cluster() -> Iterator[subprocess.Popen[str]]:
    with held_cluster() as holder:
        yield holder


@pytest.mark.long
def test_ctrl_c_leaves_a_cluster_as_it_was(
    cluster: subprocess.Popen[str], tmp_path: Path, storage: Path
) -> None:
    assert cluster.stdout is not None and cluster.stdin is not None
    address = cluster.stdout.readline().strip()

    def alive() -> dict[str, Any]:
        assert cluster.stdout is not None and cluster.stdin is not None
        cluster.stdin.write("?\n")
        cluster.stdin.flush()
        told: dict[str, Any] = json.loads(cluster.stdout.readline())
        # Ray keeps one of these for a whole cluster from the first Train run on, whoever made that.
        return told | {"actors": [one for one in told["actors"] if one != "_AutoscalingCoordinatorActor"]}

    nothing = {"actors": [], "groups": 0, "cpus": 2.0}
    assert alive() == nothing
    study = write_study(tmp_path, "long", "[tsn, tam]", epochs=2000)
    events = Events(storage)
    with RunningDriver(study, storage, "--address", address) as driver:
        wait_for(
            lambda: len({event.key for event in events.of(EpochFinished)}) == 2, "both train", 180, driver
        )
        busy = alive()
        assert busy["groups"] and busy["cpus"] == 0
        os.kill(driver.pid, signal.SIGINT)
        driver.ends_with(130, seconds=60)
    left = alive()
    for _ in range(30):
        if left != nothing:
            time.sleep(1)
            left = alive()
    assert left == nothing
    assert held_leases(storage) == []
