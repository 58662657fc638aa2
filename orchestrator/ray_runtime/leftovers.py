"""What Tune and Train of a driver that died left on the storage: never used, told of where damaged, removed.

Both rewrite their state files in place, so that a kill can leave them empty or cut short, and Ray would fail
on them if anything were restored from them. Nothing is: every submission plans from the journal and makes its
own directories. The files of dead drivers would only fill the storage.
"""

from __future__ import annotations

import json
import pickletools
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalog.storage.storage import Storage
from orchestrator.coordination.drivers import Watch

# Tune's experiment and searcher; a Train run's checkpoints.
_STATE_FILES = ("experiment_state-*.json", "*.pkl", "checkpoint_manager_snapshot.json")


@dataclass(frozen=True)
class Leftover:
    """The directories that a dead driver's Ray wrote, and which of the state files in them are damaged."""

    writer: str
    folders: tuple[Path, ...]
    damaged: tuple[Path, ...]

    @property
    def warning(self) -> str:
        """One line for the terminal; "" where nothing is damaged."""
        if not self.damaged:
            return ""
        names = ", ".join(dict.fromkeys(path.name for path in self.damaged))
        return (
            f"warning: Ray's state files of {self.writer}, which died, are damaged ({names}); "
            f"{self.damaged[0].parent}; nothing has to be done: going on from the journal"
        )


def leftovers(storage: Storage) -> tuple[Leftover, ...]:
    """What drivers left whose processes are known to have ended. To be asked before they are forgotten."""
    watch = Watch(storage.shared_files(storage.layout.drivers))
    folders: dict[str, list[Path]] = {}
    for folder in sorted(storage.layout.ray_dir.glob("*/*")):
        folders.setdefault(folder.name, []).append(folder)
    return tuple(
        Leftover(writer, tuple(found), tuple(path for folder in found for path in damaged_files(folder)))
        for writer, found in folders.items()
        if watch.record(writer) is not None and watch.is_dead(writer)
    )


def remove(leftover: Leftover) -> None:
    """Remove it, as far as the storage lets us."""
    for folder in leftover.folders:
        shutil.rmtree(folder, ignore_errors=True)


def damaged_files(folder: Path) -> Iterator[Path]:
    """The state files below `folder` that are empty, cut short or no JSON; none is ever unpickled."""
    for pattern in _STATE_FILES:
        for path in sorted(folder.rglob(pattern)):
            if not _is_whole(path):
                yield path


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
        else:
            # Reads the instructions up to the last one and carries none of them out.
            deque(pickletools.genops(content), maxlen=0)
    except (OSError, ValueError, IndexError):
        return False
    return True
