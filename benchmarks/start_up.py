"""What a cell costs beside its training: wall and CPU seconds per trivial cell, on a real Ray.

    python benchmarks/start_up.py [--cells 8] [--cpus 2] [--json]

Each cell trains one epoch on 8 toy videos, so that nearly all of its time is start-up. CPU seconds are the
whole machine's, so let nothing else run. What a submission costs once (Ray's start) is told from the cells
by the difference between a run of `cells` and one of half as many.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

STUDY = """
name: start-up
axes: {{module: [tsn], backbone: [tiny], frames: [8], dataset: [synthetic-motion], seed: [{seeds}]}}
datasets: {{synthetic-motion: {{kind: synthetic-motion, train_per_class: 2, val_per_class: 1}}}}
recipe: {{base: {{init: random, epochs: 1, batch_size: 8, crop_size: 32, crop_scales: [1.0]}}}}
evaluation: {{crop_size: 32, short_side: 36}}
"""


def busy_seconds() -> float:
    """CPU seconds that the machine has worked since it started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def measure(cells: int, cpus: int, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a run of `cells` trivial cells; the videos are generated before."""
    study = folder / f"start-up-{cells}.yaml"
    study.write_text(STUDY.format(seeds=", ".join(map(str, range(cells)))))
    command = [sys.executable, "-m", "orchestrator.cli"]
    storage = ["--storage", str(folder / f"storage-{cells}")]
    subprocess.run([*command, "data", "build", str(study), *storage], check=True, stdout=subprocess.DEVNULL)
    wall, busy = time.perf_counter(), busy_seconds()
    run = [*command, "run", str(study), *storage, "--cpus", str(cpus)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - wall, busy_seconds() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few = measure(options.cells // 2, options.cpus, Path(folder))
        many = measure(options.cells, options.cpus, Path(folder))
    extra = options.cells - options.cells // 2
    row = {
        "cells": options.cells,
        "cpus": options.cpus,
        "seconds_per_cell": round((many[0] - few[0]) / extra, 2),
        "cpu_seconds_per_cell": round((many[1] - few[1]) / extra, 2),
        "seconds_once": round(few[0] - (many[0] - few[0]) / extra * (options.cells // 2), 2),
    }
    if options.json:
        print(json.dumps({"rows": [row]}))
    else:
        for name, value in row.items():
            print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
