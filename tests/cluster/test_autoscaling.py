"""A cluster that begins as a head alone grows for one cell's gang of workers, and shrinks when it idles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.cluster_studies import ROOT, call, command, environment, write_study

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

APART = ["unshare", "-n", "-m", "-p", "-f", "--mount-proc", "--kill-child"]


def test_machines_come_for_a_gang_of_workers_and_go_when_idle(tmp_path: Path) -> None:
    # Ray's test cluster stops every Ray it can see, so it gets processes and a network of its own.
    allowed = subprocess.run([*APART, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    if allowed.returncode != 0:
        pytest.skip(f"namespaces are not allowed here: {allowed.stderr.decode().strip()}")
    study = write_study(tmp_path, "gang", workers=2, cpus=2)
    # Built here, so that nothing but the cell asks for machines.
    call(command("data", "build", study, "--storage", tmp_path / "storage"), dict(os.environ))
    folder = Path(tempfile.mkdtemp(prefix="ag"))  # not pytest's: Ray's sockets need a short path
    try:
        program = [sys.executable, str(ROOT / "tests" / "support" / "autoscaled_cluster.py")]
        inside = ["bash", "-c", 'ip link set lo up && exec "$@"', "bash", *program]
        done = subprocess.run(
            [*APART, *inside, str(study), str(tmp_path / "storage")],
            capture_output=True,
            text=True,
            env=environment(folder) | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"},
            cwd=ROOT,
            timeout=560,
            check=False,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.strip().splitlines()[-1])
    print(told)
    assert told["code"] == 0, done.stderr
    # Two workers of two CPUs: two machines, and never the third that is allowed.
    assert (told["before"], told["most"], told["after"]) == (0, 2, 0)
