"""A grid submitted from outside to three Ray nodes, of which one dies in mid-cell; and the jobs' commands."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import Tail
from catalog.events import AttemptEnded, AttemptStarted, CellFinished, EpochFinished
from tests.support.cluster_studies import ROOT, call, command, write_study
from tests.support.three_nodes import ThreeNodes, kill_9, three_nodes, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

EPOCHS = 150


@pytest.fixture(scope="module")
def cluster() -> Iterator[ThreeNodes]:
    with three_nodes() as made:
        yield made
    assert wait_for(lambda: not made.processes(), 30)


def jobs(cluster: ThreeNodes) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(
        call(cluster.on_cluster("jobs", "list", "--json"), cluster.env).stdout
    )
    return shown


def test_without_the_token_nobody_may_submit(cluster: ThreeNodes, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong" * 8)
    stranger = cluster.env | {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    refused = call(cluster.on_cluster("jobs", "list"), stranger, code=1).stderr
    assert "error: the cluster wants its token" in refused
    assert "export RAY_AUTH_MODE=token" in refused


def test_a_node_dies_in_mid_cell_and_its_cells_finish_elsewhere(cluster: ThreeNodes, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    study = write_study(tmp_path, "moved", modules="[tsn, tam]", epochs=EPOCHS)
    # Submitted and detached: nothing of ours holds the job up.
    arguments = cluster.on_cluster("submit", study, "--storage", storage, "--no-follow")
    submitted = call(arguments, cluster.env).stdout
    name = submitted.split()[1]
    assert [(job["name"], job["study"]) for job in jobs(cluster)] == [(name, "moved")]

    tail, events = Tail(storage), []
    # Both cells are in their middle, so each of the two nodes trains one of them.
    wait_for(lambda: (events.extend(tail.poll()), _in_mid_cell(events) == 2)[1], 200)
    kill_9(next(pid for node, pid in cluster.raylets.items() if node != cluster.head))

    followed = call(cluster.on_cluster("jobs", "attach", name), cluster.env).stdout
    assert "2 of 2 cells done" in followed
    assert f"{name}: succeeded" in followed
    events.extend(tail.poll())
    assert sorted(event.epochs for event in events if isinstance(event, CellFinished)) == [EPOCHS] * 2
    cut_short = [event.key for event in events if isinstance(event, AttemptEnded) if event.state != "done"]
    assert len(cut_short) >= 1  # or the kill would prove nothing
    begun = [event.key for event in events if isinstance(event, AttemptStarted)]
    assert len(begun) == 2 + len(cut_short)
    # Each epoch was trained once: what stood before the kill was gone on from.
    seconds: dict[tuple[str, int], set[float]] = {}
    for event in events:
        if isinstance(event, EpochFinished):
            seconds.setdefault((event.key, event.epoch), set()).add(event.seconds)
    assert len(seconds) == 2 * EPOCHS and all(len(one) == 1 for one in seconds.values())
    assert nothing_left(cluster) == []


def nothing_left(cluster: ThreeNodes, seconds: float = 30) -> list[str]:
    """What jobs have left after a while, which should be nothing."""
    deadline = time.monotonic() + seconds
    while (left := cluster.left) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def _in_mid_cell(events: list[Any]) -> int:
    """How many cells have an epoch behind them and are not done."""
    done = {event.key for event in events if isinstance(event, CellFinished)}
    return len({event.key for event in events if isinstance(event, EpochFinished)} - done)


def test_rays_own_job_command_finds_the_cluster_and_everything_done(
    cluster: ThreeNodes, tmp_path: Path
) -> None:
    """`ray job submit --working-dir . -- actiongrid run STUDY`, the storage from the environment."""
    storage = tmp_path / "storage"
    study = write_study(tmp_path, "by-ray", epochs=1)
    submit = ["ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", str(ROOT), "--"]
    done = subprocess.run(
        [*submit, "env", f"ACTIONGRID_STORAGE={storage}", "actiongrid", "run", str(study)],
        capture_output=True,
        text=True,
        env=cluster.env,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 cells done, 1 of them trained by this run" in done.stdout
    # On the cluster, not on a Ray of its own that the job would have started.
    assert not list(storage.glob("ray/session_*"))
    assert f"Ray cluster at address: {cluster.address}" in "".join(
        log.read_text() for log in (storage / "logs").glob("*.log")
    )


def test_a_storage_inside_the_jobs_copy_of_the_repository_is_refused(
    cluster: ThreeNodes, tmp_path: Path
) -> None:
    study = write_study(tmp_path, "lost")
    refused = call(cluster.on_cluster("submit", study), cluster.env, code=2).stdout
    assert "the storage lies in the job's own copy of the repository" in refused
    job = jobs(cluster)[0]
    assert (job["study"], job["state"], job["exit_code"]) == ("lost", "FAILED", 2)


def test_ctrl_c_detaches_and_a_stopped_job_ends_and_leaves_nothing(
    cluster: ThreeNodes, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    study = write_study(tmp_path, "stopped", epochs=400)
    follower = subprocess.Popen(
        cluster.on_cluster("submit", study, "--storage", storage),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=cluster.env,
        cwd=ROOT,
        text=True,
    )
    tail, events = Tail(storage), []
    wait_for(lambda: (events.extend(tail.poll()), _in_mid_cell(events))[1], 120)
    follower.send_signal(signal.SIGINT)
    printed, _ = follower.communicate(timeout=30)
    assert follower.returncode == 130, printed
    assert "detached, the job goes on; come back with: actiongrid jobs attach stopped-" in printed
    assert jobs(cluster)[0]["state"] == "RUNNING"
    stopped = call(cluster.on_cluster("jobs", "stop", "stopped"), cluster.env).stdout
    assert "stopped; submit the study again to go on" in stopped
    logs = call(cluster.on_cluster("jobs", "logs", "stopped"), cluster.env).stdout
    assert "interrupted; go on with" in logs
    assert nothing_left(cluster) == []


def test_an_unknown_job_is_named(cluster: ThreeNodes) -> None:
    refused = call(cluster.on_cluster("jobs", "attach", "nothing"), cluster.env, code=2).stderr
    assert "error: no job nothing" in refused


def test_a_relative_storage_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    study = write_study(tmp_path, "relative")
    done = subprocess.run(
        command("submit", study, "--storage", "here", "--address", "http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a relative path means nothing on a cluster; --storage here" in done.stderr
