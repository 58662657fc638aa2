"""A cluster's head that freezes or dies: an error with its address within 20 s, before and during a run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from catalog.events import EpochFinished
from tests.support.running import Events, RunningDriver, held_cluster, held_leases, write_study
from tests.support.slowness import slowness

pytestmark = [pytest.mark.slow, pytest.mark.long]

LONGEST_SECONDS = 20.0


@pytest.fixture
def cluster() -> Iterator[subprocess.Popen[str]]:
    with held_cluster() as holder:
        yield holder


def head_of(holder: subprocess.Popen[str]) -> psutil.Process:
    """The process that answers at the cluster's address."""
    below = psutil.Process(holder.pid).children(recursive=True)
    return next(one for one in below if "gcs_server" in one.name())


def test_a_head_that_freezes_and_dies(cluster: subprocess.Popen[str], tmp_path: Path) -> None:
    assert cluster.stdout is not None
    address = cluster.stdout.readline().strip()
    head = head_of(cluster)
    study = write_study(tmp_path, "long", "[tsn]", epochs=2000)
    storage = tmp_path / "storage"
    events = Events(storage)
    patience = {"ACTIONGRID_ANSWER_SECONDS": "10"}
    with RunningDriver(study, storage, "--address", address, environment=patience) as driver:
        events.wait(EpochFinished, 1, driver)
        head.send_signal(signal.SIGSTOP)
        driver.says(f"error: no answer within 10 s; {address}", LONGEST_SECONDS * slowness())
        head.send_signal(signal.SIGCONT)
        driver.says("Ray answers again")
        stood = len(events.of(EpochFinished))
        events.wait(EpochFinished, stood + 2, driver)
        head.send_signal(signal.SIGSTOP)
        refused(study, storage, address, "--address", address)
        # What Ray itself makes of `auto`: here the environment says it, as other clusters may run beside.
        refused(study, storage, address, "--address", "auto")
        output = driver.ends_with(130, seconds=120)
        head.send_signal(signal.SIGCONT)
    assert f"interrupted: the Ray at {address} is gone" in output
    assert "Traceback" not in output
    assert held_leases(storage) == []


def refused(study: Path, storage: Path, address: str, *options: str) -> None:
    """A new run on a head that is frozen ends within 20 s, and names its address."""
    environment = {"ACTIONGRID_ANSWER_SECONDS": "5", "RAY_ADDRESS": address}
    began = time.monotonic()
    with RunningDriver(study, storage, *options, environment=environment) as driver:
        output = driver.ends_with(1, seconds=120)
    assert time.monotonic() - began < LONGEST_SECONDS * slowness()
    assert f"error: no answer within 5 s; {address}" in output, os.linesep + output
