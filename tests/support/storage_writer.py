"""Writes to a storage in a process to be killed: `python -m tests.support.storage_writer HOW ADDRESS`.

`forever` replaces one file again and again, `cut` dies between a file's temporary name and its own.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from catalog.storage.storage import open_storage

BYTES = 6 << 20


def path_in(root: Path) -> Path:
    """The file that is written."""
    return root / "runs" / "cell" / "epoch-0001.pt"


def write_forever(address: str) -> None:
    """Replace the file with as many bytes of another letter, and say so each time it stands."""
    storage = open_storage(address)
    for letter in itertools.cycle(b"abc"):
        storage.write(path_in(storage.root), bytes([letter]) * BYTES)
        os.write(1, b"written\n")


def write_and_die(address: str) -> None:
    """Die as by `kill -9` when the new content would take the file's name."""
    storage = open_storage(address)

    def die(self: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGKILL)
        return target

    Path.replace = die  # type: ignore[method-assign, assignment]
    storage.write(path_in(storage.root), b"new")


if __name__ == "__main__":
    {"forever": write_forever, "cut": write_and_die}[sys.argv[1]](sys.argv[2])
