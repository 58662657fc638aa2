"""`actiongrid run` for real: a grid from video files to results, twice, killed, and rebuilt."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from catalog import Tail
from catalog.events import AttemptStarted, CellFinished, EpochFinished
from tests.support.running import wait_until_gone
from tests.support.studies import CHAINS, actiongrid, command, query, results

pytestmark = pytest.mark.slow

MEASURED = ("cell", "key", "top1", "top5", "loss", "best_top1", "best_epoch", "epochs", "eval_videos")


def measured(storage: Path) -> list[dict[str, Any]]:
    """What must not depend on kills: everything but times and attempts."""
    return [{name: row[name] for name in MEASURED} for row in results(storage)]


@pytest.fixture
def study(chains_study: Path) -> Path:
    return chains_study


@pytest.fixture
def undisturbed(undisturbed_chains: Path) -> Path:
    return undisturbed_chains


def test_every_cell_is_done_with_its_numbers(undisturbed: Path) -> None:
    rows = results(undisturbed)
    assert [row["cell"] for row in rows] == [
        "TAM-Tiny-f16@synthetic-motion",
        "TAM-Tiny-f8@synthetic-motion",
        "TSN-Tiny-f16@synthetic-motion",
        "TSN-Tiny-f8@synthetic-motion",
    ]
    assert [row["eval_videos"] for row in rows] == [12] * 4
    assert [row["epochs"] for row in rows] == [3, 4, 3, 4]
    by_cell = {row["cell"]: row for row in rows}
    child = by_cell["TAM-Tiny-f16@synthetic-motion"]
    assert child["parent_key"] == by_cell["TAM-Tiny-f8@synthetic-motion"]["key"]
    assert child["parent_top1_rechecked"] is not None
    epochs = query(undisturbed, "SELECT key, count(*) AS n FROM epochs GROUP BY key")
    assert sorted(row["n"] for row in epochs) == [3, 3, 4, 4]


def test_the_same_command_again_trains_nothing(undisturbed: Path, study: Path) -> None:
    before = query(undisturbed, "SELECT key, attempts FROM cells ORDER BY key")
    output = actiongrid("run", study, "--storage", undisturbed)
    assert "4 of 4 cells done, 0 of them trained by this run" in output
    assert query(undisturbed, "SELECT key, attempts FROM cells ORDER BY key") == before


def test_the_duckdb_file_can_be_deleted_and_rebuilt(undisturbed: Path) -> None:
    before = results(undisturbed)
    (undisturbed / "catalog.duckdb").unlink()
    shutil.rmtree(undisturbed / "snapshots")
    actiongrid("catalog", "rebuild", "--storage", undisturbed)
    actiongrid("catalog", "check", "--storage", undisturbed)
    assert (undisturbed / "catalog.duckdb").exists()
    assert results(undisturbed) == before


def test_the_report_has_the_accuracies(undisturbed: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    actiongrid("report", "--storage", undisturbed, "--output", page)
    html = page.read_text()
    assert "TAM-Tiny-f16@synthetic-motion" in html
    assert "Plotly.newPlot" in html


@pytest.mark.long  # tests/chaos has the short form
def test_kill_9_of_the_driver_loses_and_repeats_nothing(
    undisturbed: Path, study: Path, tmp_path: Path
) -> None:
    storage = tmp_path / "killed"
    # Same videos, other place: generating them again would only cost time.
    shutil.copytree(undisturbed / "datasets", storage / "datasets")
    arguments = command("run", study, "--storage", storage, "--cpus", "2")
    driver = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tail = Tail(storage)
    events: list[Any] = []
    deadline = time.monotonic() + 300
    while not in_mid_grid(events):
        assert driver.poll() is None and time.monotonic() < deadline, "the grid was never in its middle"
        time.sleep(0.05)
        events.extend(tail.poll())
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    events.extend(tail.poll())
    done_before = {event.key for event in events if isinstance(event, CellFinished)}
    wait_until_gone(driver.pid)

    actiongrid("run", study, "--storage", storage, "--cpus", "2")
    after = tail.poll()
    assert not {event.key for event in after if isinstance(event, AttemptStarted)} & done_before
    assert measured(storage) == measured(undisturbed)
    assert curves(storage) == curves(undisturbed)
    before = {(one.key, one.epoch): one.seconds for one in events if isinstance(one, EpochFinished)}
    rows = query(storage, "SELECT key, epoch, seconds FROM epochs")
    kept = {(row["key"], row["epoch"]): row["seconds"] for row in rows}
    # Training an epoch again would take another time, to the microsecond.
    assert {place: kept[place] for place in before} == before


def curves(storage: Path) -> list[dict[str, Any]]:
    """Every epoch's losses and accuracies."""
    return query(storage, "SELECT cell, epoch, lr, train_loss, val_loss, top1 FROM epochs ORDER BY ALL")


def in_mid_grid(events: list[Any]) -> bool:
    """One cell is done, and another has reported an epoch but is not done."""
    done = {event.key for event in events if isinstance(event, CellFinished)}
    begun = {event.key for event in events if isinstance(event, EpochFinished)}
    return bool(done) and bool(begun - done)


@pytest.mark.long
def test_a_broken_parent_is_trained_again_before_its_child(
    undisturbed: Path, study: Path, tmp_path: Path
) -> None:
    """The chain's f16 cells are asked for again with another recipe; one of the parents is damaged."""
    storage = tmp_path / "broken"
    shutil.copytree(undisturbed, storage, symlinks=True)
    changed = tmp_path / "changed.yaml"
    changed.write_text(CHAINS.replace("epochs: 3", "epochs: 2"))
    parent = next(storage.glob("runs/TAM-Tiny-f8*"))
    chosen = json.loads((parent / "result.json").read_text())["checkpoints"]["best"]["path"]
    (parent / chosen).write_bytes(b"damaged")

    output = subprocess.run(
        command("run", changed, "--storage", storage, "--cpus", "2"),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert output.returncode == 0, output.stderr
    assert "TAM-Tiny-f8@synthetic-motion" in output.stdout and "set aside as" in output.stdout
    assert "it is trained again, then the cells that start from it" in output.stdout
    states = {
        row["cell"]: row["state"] for row in query(storage, "SELECT cell, state FROM cells WHERE current")
    }
    assert set(states.values()) == {"done"} and len(states) == 4
    attempts = {
        row["cell"]: row["attempts"]
        for row in query(storage, "SELECT cell, count(*) AS attempts FROM attempts GROUP BY cell")
    }
    assert attempts["TAM-Tiny-f8@synthetic-motion"] == attempts["TSN-Tiny-f8@synthetic-motion"] + 1
    kept = "SELECT cell, top1 FROM results_all WHERE cell LIKE '%-f8@%' ORDER BY ALL"
    assert query(storage, kept) == query(undisturbed, kept)
