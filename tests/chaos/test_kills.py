"""Kills, stops and a clock that jumps change nothing but times: a few kills here, all of it in `make chaos`.

A stopped process goes on after a minute, when its driver's leases have gone to another one. The clock jumps
by a day in all processes of a submission. A kill may also come while the driver or its Ray starts.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from catalog import read_events
from catalog.events import AttemptStarted, CellFinished, EpochFinished
from tests.support.storm import CLOCKS, STOPS, VICTIMS, Storm
from tests.support.studies import CHAINS, query, undisturbed_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("ACTIONGRID_KILLS", "1"))
MANY = 50
"""Kills among which each other event, of which some take minutes, happens twice."""
SEED = int(os.environ.get("ACTIONGRID_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)

CHAINS_THAT_LAST = CHAINS.replace("epochs: 4", "epochs: 8").replace("epochs: 3", "epochs: 6")
ONE_CHAIN = CHAINS.replace("module: [tsn, tam]", "module: [tam]")
STUDY = (CHAINS_THAT_LAST if KILLS >= MANY else ONE_CHAIN).replace("retries: 1", "retries: 50")
"""Few kills need no grid that lasts for all of them."""
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
def undisturbed(
    study: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if KILLS < MANY:
        shared: Path = request.getfixturevalue("undisturbed_chains")  # trained alike, with the other chain
        return shared
    return undisturbed_run(study, tmp_path_factory.mktemp("undisturbed"))


def test_a_grid_under_kills_ends_as_an_undisturbed_one(
    undisturbed: Path, study: Path, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    kinds = wanted(chance)
    print(f"ACTIONGRID_SEED={SEED}: {dict(Counter(kinds))}")
    for number in itertools.count():
        if not kinds:
            break
        assert number <= KILLS, f"cannot happen: {kinds}"
        storage = tmp_path / f"storm-{number}"
        # Same videos, other place: generating them again would only cost time.
        shutil.copytree(undisturbed / "datasets", storage / "datasets")
        storm = Storm(study, storage, kinds, chance)
        storm.rage()
        print(f"round {number}: {storm.submissions} submissions, {dict(storm.events)}")
        for sql in (RESULTS, EPOCHS, STATES):
            wanted_rows = query(undisturbed, sql)
            if KILLS < MANY:
                wanted_rows = [row for row in wanted_rows if row["cell"].startswith("TAM-")]
            assert query(storage, sql) == wanted_rows
        no_finished_cell_started_again(storage)
        no_epoch_that_stood_was_trained_again(storage)
        shutil.rmtree(storage)


def wanted(chance: random.Random) -> list[str]:
    """The events of this run: kills of each kind equally often, and what else happens beside them."""
    if KILLS < MANY:
        # Short: kills alone, each time of others. Stops and the clock: `test_stopped_driver.py`,
        # `test_control_commands.py`.
        return chance.choices(list(VICTIMS), k=KILLS)
    kinds = list(itertools.islice(itertools.cycle(VICTIMS), KILLS))
    return [*kinds, *STOPS, *STOPS, *CLOCKS, *CLOCKS]


def no_finished_cell_started_again(storage: Path) -> None:
    """By the numbers of attempts: the clock jumps."""
    started: dict[str, int] = defaultdict(int)
    finished: dict[str, int] = {}
    for event in read_events(storage):
        if isinstance(event, CellFinished):
            finished[event.key] = min(event.attempt, finished.get(event.key, event.attempt))
        if isinstance(event, AttemptStarted):
            started[event.key] = max(event.attempt, started[event.key])
    assert finished
    for key, attempt in finished.items():
        assert started[key] <= attempt, f"attempt {started[key]} of a cell that attempt {attempt} finished"


def no_epoch_that_stood_was_trained_again(storage: Path) -> None:
    """So a kill costs a running cell one epoch at most. Training again takes other microseconds."""
    seconds: dict[tuple[str, int], set[float | None]] = defaultdict(set)
    for event in read_events(storage):
        if isinstance(event, EpochFinished):
            seconds[event.key, event.epoch].add(event.seconds)
    assert all(len(times) == 1 for times in seconds.values())
