"""The loader's resident memory over 50 epochs, on the demo's dataset and on one five times as large.

    .venv/bin/python benchmarks/loader_memory.py [--epochs 50] [--json]

Both with the frame store, once read from the shards (as every dataset is that does not fit into memory) and
once kept in memory (as the demo's is). MiB, mapped files included, and the number of open files.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path

import torch

from trainables.data.clips.loader import train_batches, train_ring
from trainables.data.datasets import SyntheticMotion
from trainables.data.frames.store_reader import MEMORY_BYTES, open_reader
from trainables.data.ingest.build import build_dataset
from trainables.recipe.cell_spec import Recipe

RECIPE = Recipe(batch_size=16, crop_size=32, crop_scales=(1.0, 0.875))
FRAMES = 8


def main() -> None:
    """Measure and print one row a dataset and way of reading."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(Path(folder), per_class, memory, options.epochs)
            for per_class in (64, 320)
            for memory in (0, MEMORY_BYTES)
        ]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


def measure(folder: Path, per_class: int, memory_bytes: int, epochs: int) -> dict[str, object]:
    """Resident MiB after the first epoch, the largest after it, and after the last."""
    directory = folder / str(per_class)
    manifest = build_dataset(SyntheticMotion(train_per_class=per_class), "motion", directory)
    videos = manifest.split("train")
    reader = open_reader(manifest, directory / "manifest.parquet", memory_bytes=memory_bytes)
    ring = train_ring(videos, RECIPE, FRAMES, 1, pin=False)
    sizes, files = [], 0
    for epoch in range(epochs):
        batches = train_batches(
            videos, RECIPE, FRAMES, reader, seed=0, epoch=epoch, rank=0, world=1, threads=2, ring=ring
        )
        for _ in batches:
            pass
        sizes.append(resident_mib())
        files = len(list(Path("/proc/self/fd").iterdir()))
    return {
        "videos": len(videos),
        "kept_in_memory": memory_bytes > 0,
        "first_epoch_mib": sizes[0],
        "largest_later_mib": max(sizes[1:], default=sizes[0]),
        "last_epoch_mib": sizes[-1],
        "open_files": files,
    }


def resident_mib() -> float:
    """Resident size of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


if __name__ == "__main__":
    main()
