"""Where things lie in a storage directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from catalog.storage.mirror import mirror_at


@dataclass(frozen=True)
class Layout:
    """The paths under one `--storage` directory. Names of cells are made safe for every file system."""

    root: Path

    def named(self, path: Path | str) -> str:
        """What the journal says of a file below the root: in a bucket, what any machine can resolve."""
        mirror = mirror_at(self.root)
        return str(path) if mirror is None else mirror.bucket.where(mirror.name(Path(path)))

    def run_dir(self, cell: str, key: str) -> Path:
        """Checkpoints, history and result of one cell; the same for every attempt and every study."""
        return self.root / "runs" / f"{file_name(cell)}-{key[:12]}"

    def dataset_dir(self, dataset: str, digest: str) -> Path:
        """Manifest (and generated videos) of a dataset; another declaration has another directory."""
        return self.root / "datasets" / f"{file_name(dataset)}-{digest[:8]}"

    @property
    def ray_dir(self) -> Path:
        """What Tune and Train write for themselves on a cluster; nothing is ever restored from it."""
        return self.root / "ray"

    @property
    def leases(self) -> Path:
        """Who trains which cell (`orchestrator.coordination.lease`)."""
        return self.root / "leases"

    @property
    def drivers(self) -> Path:
        """Who works on this storage (`orchestrator.coordination.drivers`)."""
        return self.root / "drivers"

    @property
    def packing(self) -> Path:
        """What was measured of cells side by side on one GPU, put here by people (`benchmarks.packing`)."""
        return self.root / "packing.json"

    @property
    def report(self) -> Path:
        """Where `actiongrid report` writes unless told otherwise."""
        return self.root / "report.html"

    def log(self, writer: str) -> Path:
        """Ray's own output during one submission."""
        return self.root / "logs" / f"{writer}.log"


def file_name(text: str) -> str:
    """`text` with everything but letters, digits, `.`, `_` and `-` replaced, e.g. for `TAM-Tiny-f8@toy#1`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)
