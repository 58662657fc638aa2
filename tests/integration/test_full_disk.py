"""A disk that gets full while cells train: the study pauses, says so, and goes on by itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from catalog.events import EpochFinished
from tests.support.running import Events, RunningDriver
from tests.support.small_disk import fill_up, small_disk
from tests.support.studies import CHAINS, actiongrid, query, results

pytestmark = pytest.mark.slow

STUDY = CHAINS.replace("module: [tsn, tam]", "module: [tsn]").replace("epochs: 4", "epochs: 60")
KIB = 48 << 10


def study_file(folder: Path) -> Path:
    study = folder / "chains.yaml"
    study.write_text(STUDY)
    return study


def fill_up_while_it_trains(driver: RunningDriver, disk: Path) -> None:
    """Take all room on the disk, with `disk / "other"`, after the first epoch; wait for the pause."""
    Events(disk / "storage").wait(EpochFinished, 1, driver)
    fill_up(disk / "other")
    driver.says("paused: ", seconds=240)


@pytest.mark.long
def test_a_full_disk_pauses_the_study_until_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", KIB) as disk:
        storage, study = disk / "storage", study_file(tmp_path)
        with RunningDriver(study, storage, "--cpus", "2") as driver:
            fill_up_while_it_trains(driver, disk)
            assert "No space left on device" in driver.output
            assert "make room or mend the storage: it goes on by itself" in driver.output
            time.sleep(4)
            assert driver.process.poll() is None
            (disk / "other").unlink()
            assert "the storage takes writes again" in driver.ends_with(0, seconds=300)
        assert {row["cell"]: row["epochs"] for row in results(storage)} == {
            "TSN-Tiny-f8@synthetic-motion": 60,
            "TSN-Tiny-f16@synthetic-motion": 3,
        }
        epochs = query(storage, "SELECT cell, count(*) AS epochs FROM epochs GROUP BY cell ORDER BY cell")
        assert [row["epochs"] for row in epochs] == [3, 60]
        assert not query(storage, "SELECT * FROM failures")
        actiongrid("catalog", "check", "--storage", storage)
        assert not list((storage / "runs").rglob(".*.tmp*"))


@pytest.mark.long
def test_ctrl_c_on_a_full_disk_can_be_gone_on_from(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", KIB) as disk:
        storage, study = disk / "storage", study_file(tmp_path)
        with RunningDriver(study, storage, "--cpus", "2") as driver:
            fill_up_while_it_trains(driver, disk)
            os.kill(driver.pid, signal.SIGINT)
            said = driver.ends_with(130, seconds=120)
        assert "Traceback" not in said, said
        (disk / "other").unlink()
        stood = {(one.key, one.epoch) for one in Events(storage).of(EpochFinished)}
        with RunningDriver(study, storage, "--cpus", "2") as driver:
            driver.ends_with(0, seconds=300)
        assert stood <= {(one.key, one.epoch) for one in Events(storage).of(EpochFinished)}
        assert [row["epochs"] for row in results(storage)] in ([60, 3], [3, 60])
