"""A disk that gets full while cells train: the study pauses, says so, and goes on by itself."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog import read_events
from catalog.events import EpochFinished
from tests.integration.studies import CHAINS, actiongrid, command, query, results
from tests.small_disk import fill_up, small_disk

pytestmark = pytest.mark.slow

STUDY = CHAINS.replace("module: [tsn, tam]", "module: [tsn]").replace("epochs: 4", "epochs: 60")
KIB = 48 << 10


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert driver.poll() is None, f"ended with {driver.returncode}"
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)


def test_a_full_disk_pauses_the_study_until_there_is_room(tmp_path: Path) -> None:
    study, said = tmp_path / "chains.yaml", tmp_path / "said.txt"
    study.write_text(STUDY)
    with small_disk(tmp_path / "disk", KIB) as disk:
        storage = disk / "storage"
        with said.open("wb") as output:
            driver = subprocess.Popen(
                command("run", study, "--storage", storage, "--cpus", "2"), stdout=output, stderr=output
            )
        try:
            trains = lambda: any(isinstance(event, EpochFinished) for event in read_events(storage))  # noqa: E731
            wait_for(trains, driver)
            fill_up(disk / "other")
            wait_for(lambda: "paused: " in said.read_text(), driver)
            message = said.read_text()
            assert "No space left on device" in message
            assert "make room or mend the storage: it goes on by itself" in message
            time.sleep(4)
            assert driver.poll() is None
            (disk / "other").unlink()
            assert driver.wait(300) == 0, said.read_text()
        finally:
            driver.kill()
            driver.wait()
        assert "the storage takes writes again" in said.read_text()
        assert {row["cell"]: row["epochs"] for row in results(storage)} == {
            "TSN-Tiny-f8@synthetic-motion": 60,
            "TSN-Tiny-f16@synthetic-motion": 3,
        }
        epochs = query(storage, "SELECT cell, count(*) AS epochs FROM epochs GROUP BY cell ORDER BY cell")
        assert [row["epochs"] for row in epochs] == [3, 60]
        assert not query(storage, "SELECT * FROM failures")
        actiongrid("catalog", "check", "--storage", storage)
        assert not list((storage / "runs").rglob(".*.tmp*"))
