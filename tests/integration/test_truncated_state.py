"""State files of Tune and Train that a kill cut short, on a cluster's storage: resumed from the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.events import AttemptStarted, EpochFinished
from tests.support.running import Events, RunningDriver, held_cluster, write_study
from tests.support.studies import results

pytestmark = pytest.mark.slow


@pytest.fixture
def address() -> Iterator[str]:
    with held_cluster() as holder:
        assert holder.stdout is not None
        yield holder.stdout.readline().strip()


def cut_short(ray_files: Path) -> set[str]:
    """Empty every JSON and halve every pickle that Tune and Train have written; returns their names.

    Ours write no checkpoints through Train, which therefore keeps no list of them: one is put there, empty.
    """
    cut = set()
    for run in (ray_files / "train").glob("*/*"):
        (run / "checkpoint_manager_snapshot.json").touch()
    for path in [*ray_files.rglob("*.json"), *ray_files.rglob("*.pkl")]:
        content = path.read_bytes()
        path.write_bytes(b"" if path.suffix == ".json" else content[: len(content) // 2])
        cut.add(path.name)
    return cut


@pytest.mark.long
def test_a_resubmission_goes_on_from_the_journal_with_a_warning(address: str, tmp_path: Path) -> None:
    study = write_study(tmp_path, "cut", "[tam]", epochs=30)
    storage = tmp_path / "storage"
    events = Events(storage)
    with RunningDriver(study, storage, "--address", address) as driver:
        events.wait(EpochFinished, 2, driver)
        driver.process.kill()
        driver.process.wait()
    before = [event.epoch for event in events.of(EpochFinished)]
    cut = cut_short(storage / "ray")
    assert {"tuner.pkl", "checkpoint_manager_snapshot.json"} <= cut
    assert any(name.startswith("experiment_state-") for name in cut)
    with RunningDriver(study, storage, "--address", address) as driver:
        output = driver.ends_with(0)
    assert output.count("warning: Ray's state files of ") == 1
    assert "which died, are damaged (" in output
    assert "tuner.pkl" in output
    assert "nothing has to be done: going on from the journal" in output
    (row,) = results(storage)
    assert row["epochs"] == 30
    assert [event.attempt for event in events.of(AttemptStarted)] == [1, 2]
    seconds = {(event.attempt, event.epoch): event.seconds for event in events.of(EpochFinished)}
    assert all(seconds[2, epoch] == seconds[1, epoch] for epoch in before), "no epoch was trained twice"
    writers = {path.name for path in (storage / "ray" / "tune").iterdir()}
    assert len(writers) == 1, "the dead driver's files are gone"
