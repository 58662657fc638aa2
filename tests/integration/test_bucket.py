"""Real studies on a bucket of a real S3 server: other machines, kill -9, and a network that is cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog.events import AttemptEnded, AttemptStarted, CellFinished, EpochFinished
from catalog.storage.bucket import Bucket, checked_url
from catalog.storage.mirror import mirror_folder
from tests.support.running import Events, RunningDriver, held_cluster, wait_for, write_study
from tests.support.s3_server import S3Server, Wire, environment, in_environment
from tests.support.studies import command

ONE_CPU = ("--cpus", "1")
# Enough that a driver, which looks once a second, can be killed in the middle of a cell.
EPOCHS = 40
METRICS = "SELECT cell, epoch, train_loss, val_loss, top1, top5 FROM epochs ORDER BY 1, 2"


@dataclass(frozen=True)
class Machine:
    """A machine with a cache folder of its own, and how it reaches the server."""

    cache: Path
    server: str
    storage: str

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.server, self.cache)

    @property
    def mirror(self) -> Path:
        return mirror_folder(checked_url(self.storage), self.environment)

    def actiongrid(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            command(*arguments, "--storage", self.storage),
            capture_output=True,
            text=True,
            timeout=300,
            env=in_environment(self.environment),
            check=False,
        )
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.actiongrid("results", "--format", "json", "--sql", sql))
        return rows

    def driver(self, study: Path) -> RunningDriver:
        return RunningDriver(study, self.storage, *ONE_CPU, environment=self.environment)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def storage(s3: S3Server) -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.make_bucket(name)
    return f"s3://{name}/lab"


def study(folder: Path) -> Path:
    return write_study(folder, "chain", "[tsn]", frames="[8, 16]", epochs=EPOCHS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The metrics of the same study on a directory, all epochs of both cells."""
    folder = tmp_path_factory.mktemp("undisturbed")
    directory = Machine(folder, "http://127.0.0.1:1", str(folder / "storage"))
    directory.actiongrid("run", study(folder), *ONE_CPU)
    rows = directory.query(METRICS)
    assert len(rows) == 2 * EPOCHS
    return rows


@pytest.mark.long
def test_a_killed_drivers_cell_goes_on_on_an_empty_machine(
    s3: S3Server, storage: str, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    one, two, three = (Machine(tmp_path / name, s3.address, storage) for name in ("one", "two", "three"))
    chain = study(tmp_path)
    events = Events(one.mirror)
    with one.driver(chain) as driver:
        events.wait(EpochFinished, 3, driver)
        os.kill(driver.pid, signal.SIGKILL)
        driver.process.wait()
    assert "2 of 2 cells done, 2 of them trained by this run" in two.actiongrid("run", chain, *ONE_CPU)
    assert two.query(METRICS) == undisturbed
    first = "TSN-Tiny-f8@synthetic-motion"
    # How long an epoch took is never the same twice: those of before the kill were not trained again.
    seen = Events(two.mirror)
    key = events.of(EpochFinished)[0].key
    took: dict[int, set[float]] = {}
    for event in seen.of(EpochFinished):
        if event.key == key:
            took.setdefault(event.epoch, set()).add(event.seconds)
    before = {event.epoch: event.seconds for event in events.of(EpochFinished) if event.attempt == 1}
    assert set(before) >= {1, 2, 3}
    assert all(took[epoch] == {seconds} for epoch, seconds in before.items()), "trained twice"
    assert "2 of 2 cells done, 0 of them trained by this run" in three.actiongrid("run", chain, *ONE_CPU)
    assert three.query(METRICS) == undisturbed
    assert not list(three.mirror.glob("runs/*/*.pt")), "nothing was trained, so no weights came"
    (counted,) = three.query(f"SELECT count(*) AS videos FROM predictions WHERE cell = '{first}'")
    assert counted["videos"] == 8, "predictions come when they are asked for"
    states = json.loads(three.actiongrid("status", "--json"))
    assert [row["state"] for row in states] == ["done", "done"]
    assert "rows in the journals" in three.actiongrid("catalog", "check")
    assert "synthetic-motion" in three.actiongrid("data", "verify")
    (measured,) = json.loads(three.actiongrid("evaluate", first, "--clips", "2", "--json", *ONE_CPU))
    assert measured["views"] == 2 and measured["computed"]
    (again,) = json.loads(one.actiongrid("evaluate", first, "--clips", "2", "--json", *ONE_CPU))
    assert not again["computed"] and again["top1"] == measured["top1"]
    started = [event.run_dir for event in seen.of(AttemptStarted)]
    assert all(run_dir.startswith(f"{storage}/runs/") for run_dir in started)


@pytest.mark.long  # tests/storage has the parts of it
def test_a_study_waits_for_a_bucket_that_is_away(
    s3: S3Server, storage: str, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    with Wire(s3.port) as wire:
        machine = Machine(tmp_path / "one", wire.address, storage)
        with machine.driver(study(tmp_path)) as driver:
            Events(machine.mirror).wait(EpochFinished, 2, driver)
            wire.cut()
            driver.says("paused: bucket does not answer")
            assert storage in driver.output
            time.sleep(5)
            assert driver.process.poll() is None
            wire.mend()
            output = driver.ends_with(0)
        assert "takes writes again" in output
        assert "2 of 2 cells done, 2 of them trained by this run" in output
        assert machine.query(METRICS) == undisturbed
        assert "0 failed" in json.dumps(
            machine.query("SELECT count(*) || ' failed' AS n FROM recorded.failed")
        )


@pytest.mark.long
def test_two_machines_train_each_cell_once(s3: S3Server, storage: str, tmp_path: Path) -> None:
    one, two = (Machine(tmp_path / name, s3.address, storage) for name in ("one", "two"))
    both = write_study(tmp_path, "both", "[tsn, tam]", epochs=4)
    with one.driver(both) as first:
        wait_for(lambda: "cells to run" in first.output, "the first one begins", 60, first)
        with two.driver(both) as second:
            outputs = [driver.ends_with(0) for driver in (first, second)]
    assert all("2 of 2 cells done" in output for output in outputs)
    third = Machine(tmp_path / "three", s3.address, storage)
    third.actiongrid("status")
    events = Events(third.mirror)
    keys = [event.key for event in events.of(AttemptStarted)]
    assert len(keys) == len(set(keys)) == 2, outputs
    assert len(events.of(CellFinished)) == 2
    drivers = {event.driver for event in events.of(AttemptStarted)}
    assert len(drivers) == 2, "one cell each"


@pytest.fixture
def far_cluster(s3: S3Server, tmp_path: Path) -> Iterator[str]:
    """The address of a Ray cluster whose processes have another cache folder than the drivers of the test."""
    with held_cluster(in_environment(environment(s3.address, tmp_path / "far"))) as holder:
        assert holder.stdout is not None
        yield holder.stdout.readline().strip()


@pytest.mark.long
def test_workers_on_another_machine_have_a_mirror_of_their_own(
    s3: S3Server, storage: str, tmp_path: Path, far_cluster: str, undisturbed: list[dict[str, Any]]
) -> None:
    near, far = (Machine(tmp_path / name, s3.address, storage) for name in ("near", "far"))
    output = near.actiongrid("run", study(tmp_path), "--address", far_cluster)
    assert "2 of 2 cells done, 2 of them trained by this run" in output
    assert near.query(METRICS) == undisturbed
    assert len(list(far.mirror.glob("runs/*/*.pt"))) >= 4
    assert not list(near.mirror.glob("runs/*/*.pt")), "the driver needs no weights"
    assert list(near.mirror.glob("datasets/*/videos")) and not list(far.mirror.glob("datasets/*/videos"))
    assert list(far.mirror.glob("datasets/*/shards/*")), "frames are read where cells train"


@pytest.mark.long
def test_commands_from_another_machine_and_ctrl_c(s3: S3Server, storage: str, tmp_path: Path) -> None:
    with Wire(s3.port) as wire:
        one = Machine(tmp_path / "one", wire.address, storage)
        two = Machine(tmp_path / "two", s3.address, storage)
        forever = write_study(tmp_path, "long", "[tsn]", epochs=2000)
        events = Events(one.mirror)
        with one.driver(forever) as driver:
            events.wait(EpochFinished, 2, driver)
            assert f"pid {driver.pid}" in two.actiongrid("pause", "long")
            (ended,) = events.wait(AttemptEnded, 1, driver)
            assert ended.state == "interrupted"
            (row,) = json.loads(two.actiongrid("status", "long", "--json"))
            assert (row["command"], row["held_by"]) == ("paused", None)
            stood = len(events.of(EpochFinished))
            two.actiongrid("resume", "long")
            events.wait(EpochFinished, stood + 1, driver)
            os.kill(driver.pid, signal.SIGINT)
            assert "interrupted; go on with" in driver.ends_with(130, seconds=90)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in two.environment.items():
                patch.setenv(variable, value)
            left = [found.name for found in Bucket(storage).below("")]
        assert not [name for name in left if "/drivers/" in f"/{name}"], "no driver is left behind"
        leases = {name for name in left if name.startswith("leases/") and name.endswith(".json")}
        assert {name.replace(".json", ".free") for name in leases} <= set(left), "and no lease"
        with one.driver(forever) as driver:
            before = len(events.of(EpochFinished))
            events.wait(EpochFinished, before + 1, driver)
            wire.cut()
            driver.says("paused: ")
            os.kill(driver.pid, signal.SIGINT)
            said = driver.ends_with(130, seconds=120)
            assert "Traceback" not in said, said
            assert "the storage could not be told that this ends (bucket does not answer" in said
