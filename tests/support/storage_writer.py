"""Writes to a storage in a process to be killed: `python -m tests.support.storage_writer HOW ADDRESS`.

`forever` replaces one file again and again; `cut1`, `cut2`, … dies when the first, the second, … file would
get its own name in place of its temporary one.
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


def write_and_die(address: str, renaming: int) -> None:
    """Die as by `kill -9` when new content would take a file's name for the `renaming`-th time."""
    storage = open_storage(address)
    replace, renamings = Path.replace, itertools.count(1)

    def count(self: Path, target: Path) -> Path:
        if next(renamings) == renaming:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = count  # type: ignore[method-assign, assignment]
    storage.write(path_in(storage.root), b"new")


if __name__ == "__main__":
    if sys.argv[1] == "forever":
        write_forever(sys.argv[2])
    else:
        write_and_die(sys.argv[2], int(sys.argv[1].removeprefix("cut")))
