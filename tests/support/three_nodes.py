"""A cluster of three Ray nodes on this machine, with a token, apart from every other Ray here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

from tests.support.cluster_studies import ROOT, command, environment

Value = TypeVar("Value")


@dataclass(frozen=True)
class ThreeNodes:
    """A head without CPUs and two nodes of one. `raylets` holds their processes' pids by node."""

    dashboard: str
    address: str
    head: str
    raylets: dict[str, int]
    folder: Path
    env: dict[str, str]

    def on_cluster(self, *arguments: str | Path) -> list[str]:
        """The command line of our command with this cluster's address behind it."""
        return [*command(*arguments), "--address", self.dashboard]

    def living(self, kind: str) -> list[dict[str, Any]]:
        """The cluster's `actors` or `placement_groups` that are not gone, from its own state API."""
        token = (self.folder / "home/.ray/auth_token").read_text()
        request = Request(f"{self.dashboard}/api/v0/{kind}?limit=1000&detail=1")
        request.add_header("Authorization", f"Bearer {token}")
        with urlopen(request, timeout=30) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]["result"]
        return [row for row in rows if row["state"] not in ("DEAD", "REMOVED")]

    @property
    def left(self) -> list[str]:
        """What jobs have left on the cluster."""
        # Ray Train keeps one for the whole cluster, without resources.
        kept = "_AutoscalingCoordinatorActor"
        actors = [row["class_name"] for row in self.living("actors") if row["class_name"] != kept]
        return actors + [row["placement_group_id"] for row in self.living("placement_groups")]

    def processes(self) -> list[str]:
        """What still runs of this cluster and its jobs, by the folder in the command lines."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = file.read_text().replace("\0", " ")
            except OSError:
                continue
            if str(self.folder) in line and "holder.py" not in line:
                found.append(line)
        return found


@contextmanager
def three_nodes() -> Iterator[ThreeNodes]:
    """Start it in a program of its own; all its processes are gone at the end."""
    # Not pytest's folder: Ray's sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="ag"))
    env = environment(folder)
    with (folder / "log").open("w") as log:
        holder = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "ray_holder.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
            cwd=ROOT,
            text=True,
        )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        line = holder.stdout.readline()
        assert line, (folder / "log").read_text()
        told = json.loads(line)
        yield ThreeNodes(told["dashboard"], told["address"], told["head"], told["raylets"], folder, env)
    finally:
        holder.stdin.close()
        holder.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(what: Callable[[], Value | None], seconds: float = 120) -> Value:
    """The first true value of `what`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)
    return value


def kill_9(pid: int) -> None:
    os.kill(pid, 9)
