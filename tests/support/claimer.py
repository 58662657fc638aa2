"""One of several processes that claim the same cells: `python -m tests.support.claimer STORAGE OUTPUT`."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from catalog.storage.storage import open_storage
from orchestrator.coordination.lease import Lease, Leases


def claim_all(storage: str, output: Path) -> None:
    if "://" in storage:
        os.environ["ACTIONGRID_CACHE"] = f"{output}-cache"
    opened = open_storage(storage)
    leases = Leases(opened.shared_files(opened.layout.leases), output.name, lambda _: False)
    leases.read("warm up")
    Path(f"{output}-ready").touch()
    while not (output.parent / "go").exists():
        time.sleep(0.001)
    keys = [f"key-{number}" for number in range(60)]
    random.Random(output.name).shuffle(keys)  # in one order the first would stay ahead
    won = [key for key in keys if isinstance(leases.claim(key), Lease)]
    output.write_text("\n".join(won))


if __name__ == "__main__":
    claim_all(sys.argv[1], Path(sys.argv[2]))
