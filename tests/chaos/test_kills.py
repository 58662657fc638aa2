"""Kills at random moments change nothing but times: a few of them here, fifty in `make chaos`."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from catalog import read_events
from catalog.events import AttemptStarted, CellFinished, EpochFinished
from tests.support.storm import Storm
from tests.support.studies import CHAINS, actiongrid, query

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("ACTIONGRID_KILLS", "4"))
SEED = int(os.environ.get("ACTIONGRID_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)

STUDY = (
    CHAINS.replace("retries: 1", "retries: 50")
    .replace("epochs: 4", "epochs: 8")
    .replace("epochs: 3", "epochs: 6")
)
RESULTS = """
    SELECT cell, key, top1, top5, loss, best_top1, best_epoch, epochs, eval_videos, parent_top1_rechecked
    FROM results ORDER BY cell
"""
EPOCHS = "SELECT cell, epoch, lr, train_loss, train_top1, val_loss, top1, top5 FROM epochs ORDER BY ALL"
STATES = "SELECT cell, state FROM cells WHERE current ORDER BY cell"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "chains.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(scope="module")
def undisturbed(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("undisturbed")
    actiongrid("run", study, "--storage", storage, "--cpus", "2")
    return storage


def test_a_grid_under_kills_ends_as_an_undisturbed_one(
    undisturbed: Path, study: Path, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    print(f"kills: {KILLS}, ACTIONGRID_SEED={SEED}")
    done: Counter[str] = Counter()
    for number in range(KILLS):
        if done.total() >= KILLS:
            break
        storage = tmp_path / f"storm-{number}"
        # Same videos, other place: generating them again would only cost time.
        shutil.copytree(undisturbed / "datasets", storage / "datasets")
        storm = Storm(study, storage, KILLS - done.total(), chance)
        storm.rage()
        done += storm.kills
        print(f"round {number}: {storm.submissions} submissions, kills {dict(storm.kills)}")
        for sql in (RESULTS, EPOCHS, STATES):
            assert query(storage, sql) == query(undisturbed, sql)
        no_finished_cell_started_again(storage)
        no_epoch_that_stood_was_trained_again(storage)
        shutil.rmtree(storage)
    assert done.total() == KILLS


def no_finished_cell_started_again(storage: Path) -> None:
    """By the times of the journal lines, which are all of this machine."""
    finished: dict[str, float] = {}
    events = sorted(read_events(storage), key=lambda event: event.time or 0.0)
    for event in events:
        if isinstance(event, CellFinished):
            finished.setdefault(event.key, event.time or 0.0)
        if isinstance(event, AttemptStarted):
            assert event.key not in finished, f"attempt {event.attempt} of a finished cell"


def no_epoch_that_stood_was_trained_again(storage: Path) -> None:
    """So a kill costs a running cell one epoch at most. Training again takes other microseconds."""
    seconds: dict[tuple[str, int], set[float | None]] = defaultdict(set)
    for event in read_events(storage):
        if isinstance(event, EpochFinished):
            seconds[event.key, event.epoch].add(event.seconds)
    assert all(len(times) == 1 for times in seconds.values())
