"""Writes events as fast as it can and prints each when it was acknowledged; to be killed."""

from __future__ import annotations

import itertools
import os
import sys

from catalog.events import AttemptEnded
from catalog.journal import open_journal
from catalog.storage.storage import open_storage


def write(storage: str, first: int) -> None:
    with open_journal(open_storage(storage), f"writer-{first}-{os.getpid()}") as journal:
        for number in itertools.count(first):
            journal.append(AttemptEnded("k" * 32, number, "failed"))
            os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
