"""Tiny studies and the real command for the tests on clusters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

STUDY = """
name: {name}
axes: {{module: {modules}, backbone: [tiny], frames: [8], dataset: [synthetic-appearance]}}
datasets:
  synthetic-appearance: {{kind: synthetic-appearance, train_per_class: 8, val_per_class: 2}}
recipe:
  base: {{init: random, epochs: {epochs}, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0]}}
evaluation: {{crop_size: 32, short_side: 36, batch_size: 8}}
resources: {{default: {{workers: {workers}, cpus_per_worker: {cpus}}}}}
retries: 1
"""


def write_study(
    folder: Path, name: str, *, modules: str = "[tsn]", epochs: int = 2, workers: int = 1, cpus: int = 1
) -> Path:
    path = folder / f"{name}.yaml"
    text = STUDY.format(name=name, modules=modules, epochs=epochs, workers=workers, cpus=cpus)
    path.write_text(text)
    return path


def environment(folder: Path) -> dict[str, str]:
    """For processes outside and inside one cluster: its token, its place for Ray's files, no other's."""
    home = folder / "home"
    (home / ".ray").mkdir(parents=True, exist_ok=True)
    token = home / ".ray/auth_token"
    if not token.exists():
        token.write_text(os.urandom(32).hex())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ACTIONGRID_"))}
    return kept | {
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
    }


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)]


def call(
    arguments: list[str], env: dict[str, str], *, code: int = 0, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's root and check its exit code."""
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=timeout, env=env, cwd=ROOT, check=False
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
