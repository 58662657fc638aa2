"""One of many processes that fight for the same leases: `python -m tests.support.lease_racer ROOT NAME`.

Appends `enter KEY NUMBER NAME` once it owns a lease and `exit …` before it gives it up. One `write` a line to
a file opened for appending: the lines stand in the order in which things happened.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from catalog.storage.folder_storage import FolderFiles
from orchestrator.coordination.drivers import Presence, Watch, this_driver
from orchestrator.coordination.lease import Lease, Leases

KEYS = ("a", "b", "c")


def race(root: Path, name: str) -> None:
    log = os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    draw = random.Random(name)
    leases = Leases(FolderFiles(root / "leases"), name, Watch(FolderFiles(root / "drivers")).is_dead)
    with Presence(FolderFiles(root / "drivers"), this_driver(name, "race", 0)):
        while True:
            lease = leases.claim(draw.choice(KEYS))
            if isinstance(lease, Lease):
                os.write(log, f"enter {lease.key} {lease.number} {name}\n".encode())
                time.sleep(draw.random() * 0.003)
                if draw.random() < 0.3:
                    lease = leases.advance(lease)
                os.write(log, f"exit {lease.key} {lease.number} {name}\n".encode())
                leases.release(lease)


if __name__ == "__main__":
    race(Path(sys.argv[1]), sys.argv[2])
