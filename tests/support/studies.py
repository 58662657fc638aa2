"""Small studies for the tests that run the real command on a real Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CHAINS = """
name: chains
axes:
  module: [tsn, tam]
  backbone: [tiny]
  frames: [8, 16]
  dataset: [synthetic-motion]
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 8, val_per_class: 3}
recipe:
  base: {init: random, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0, 0.875], inherit: best}
  starter: {epochs: 4}
  finetune: {epochs: 3, schedule: multistep, milestones: [2]}
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
retries: 1
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", *map(str, arguments)]


def actiongrid(*arguments: str | Path, code: int = 0, timeout: float = 400) -> str:
    """Run the command, check its exit code and return its standard output."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, env=os.environ, check=False
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def undisturbed_run(study: Path, storage: Path) -> Path:
    """Run a study to its end with nothing in its way, and return the storage."""
    actiongrid("run", study, "--storage", storage, "--cpus", "2")
    return storage


def results(storage: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(actiongrid("results", "--format", "json", "--storage", storage))
    return sorted(rows, key=lambda row: row["cell"])


def query(storage: Path, sql: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        actiongrid("results", "--sql", sql, "--format", "json", "--storage", storage)
    )
    return rows
