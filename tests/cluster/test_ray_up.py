"""`ray up` with the on-premises file, over real sshd, onto two machines made of namespaces."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cluster_studies import ROOT, call, command, environment, write_study
from tests.support.machines import Machine, machines, why_not

# Two minutes on an idle machine; other work beside it makes it several times that.
pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class OwnCluster:
    """Two machines, the file that describes them, the directory they share as we see it, our environment."""

    machines: tuple[Machine, ...]
    file: Path
    shared: Path
    env: dict[str, str]

    def ray(self, *arguments: str) -> str:
        return call([str(Path(sys.executable).parent / "ray"), *arguments], self.env).stdout


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[OwnCluster]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    # Not pytest's folder: Ray's sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="ag"))
    try:
        shared = folder / "shared"
        shared.mkdir()
        env = environment(folder)
        with machines(2, folder, shared) as made:
            file = folder / "cluster.yaml"
            file.write_text(yaml.safe_dump(_described(made, folder / "key")))
            cluster = OwnCluster(made, file, shared, env)
            try:
                yield cluster
            finally:
                if _besides_sshd(cluster):
                    cluster.ray("down", "-y", str(file))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _described(made: tuple[Machine, ...], key: Path) -> dict[str, Any]:
    """The repository's file with these machines' addresses, and small Rays."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "clusters/on-premises.yaml").read_text())
    config["provider"] |= {"head_ip": made[0].address, "worker_ips": [one.address for one in made[1:]]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    small = "ray start --num-cpus=1 --object-store-memory=80000000 "
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[name] = [one.replace("ray start ", small) for one in config[name]]
    return config


def test_a_cell_runs_across_machines_that_ray_up_started_and_ray_down_leaves_nothing(
    own_cluster: OwnCluster, tmp_path: Path
) -> None:
    started = time.monotonic()
    own_cluster.ray("up", "-y", "--no-config-cache", str(own_cluster.file))
    up = time.monotonic() - started
    # Two workers of one CPU each: neither machine has both, so the cell spans them.
    study = write_study(tmp_path, "across", workers=2)
    submitted = call(command("submit", study, "--cluster", own_cluster.file), own_cluster.env).stdout
    print(f"\nray up: {up:.0f} s; submitted, joined, trained: {time.monotonic() - started - up:.0f} s")
    assert "1 of 1 cells done, 1 of them trained by this run" in submitted
    shown = call(
        command("results", "--format", "json", "--storage", own_cluster.shared), own_cluster.env
    ).stdout
    assert [row["cell"] for row in json.loads(shown)] == ["TSN-Tiny-f8@synthetic-appearance"]

    # What is each machine's own cannot be the storage, and nothing was trained there.
    refused = call(
        command("submit", study, "--storage", "/mnt/home/own", "--cluster", own_cluster.file),
        own_cluster.env,
        code=2,
    ).stdout
    assert "1 of 2 machines do not share the storage: machine1 (" in refused
    assert "mount one shared file system there" in refused
    assert not (own_cluster.machines[1].folder / "home/own").exists()

    own_cluster.ray("down", "-y", str(own_cluster.file))
    down = time.monotonic()
    while (left := _besides_sshd(own_cluster)) and time.monotonic() < down + 90:
        time.sleep(0.5)
    print(f"nothing left after {time.monotonic() - down:.0f} s")
    assert left == []


def _besides_sshd(cluster: OwnCluster) -> list[str]:
    running = {machine.address: machine.processes() for machine in cluster.machines}
    assert all(any(line.startswith("sshd") for line in lines) for lines in running.values())
    return [f"{at}: {one}" for at, lines in running.items() for one in lines if not one.startswith("sshd")]
