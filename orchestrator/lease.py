"""One owner of a cell at a time, across machines: leases as files in a shared directory (pure file protocol).

`<folder>/<key>/<number>.json` says who owns the lease with that number. It is made by `os.link`, of which
only one of many succeeds, on NFS too; the number is one more than the highest that is there. The highest
number counts, so a number fences: whoever has a lower one has lost the cell. `<number>.free` says that its
owner gave it up, or that it died. Nothing is ever replaced or removed: a process that was suspended between
any two steps cannot undo what others did meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4


class LeaseError(RuntimeError):
    """A storage on which no lease can be made."""


class LeaseLostError(RuntimeError):
    """Another owner has taken a lease over."""


@dataclass(frozen=True)
class Lease:
    """The right to train the cell with this key, until a higher number exists."""

    key: str
    number: int


@dataclass(frozen=True)
class Slot:
    """What stands of a key: its highest number (0: none yet), and who owns that, or None where it is free."""

    number: int
    owner: str | None


class Leases:
    """The leases under one folder, as one owner sees them; `is_dead` judges other owners by their names."""

    def __init__(self, folder: Path, owner: str, is_dead: Callable[[str], bool]) -> None:
        self._folder = folder
        self._owner = owner
        self._is_dead = is_dead

    def look(self, key: str) -> Slot:
        """Who has the cell now, dead or alive."""
        try:
            names = frozenset(os.listdir(self._folder / key))  # noqa: PTH208 - names are all that is needed
        except FileNotFoundError:
            return Slot(0, None)
        numbers = [int(name.removesuffix(".json")) for name in names if _is_lease(name)]
        number = max(numbers, default=0)
        if number == 0 or f"{number}.free" in names:
            return Slot(number, None)
        return Slot(number, _owner(self._lease_path(key, number)))

    def claim(self, key: str) -> Lease | Slot:
        """The lease, where nobody living has it; else what stands in the way.

        Raises:
            LeaseError: The storage knows no hard links.
        """
        slot = self.look(key)
        if slot.owner is not None and not self._is_dead(slot.owner):
            return slot
        lease = Lease(key, slot.number + 1)
        return lease if self._create(lease) else self.look(key)

    def advance(self, lease: Lease) -> Lease:
        """The same owner's next number, for its next attempt.

        Raises:
            LeaseLostError: Somebody else has it.
        """
        successor = Lease(lease.key, lease.number + 1)
        if not self.is_held(lease) or not self._create(successor):
            slot = self.look(lease.key)
            raise LeaseLostError(
                f"the lease was taken over by {slot.owner}; {lease.key}; run the study again"
            )
        return successor

    def is_held(self, lease: Lease) -> bool:
        """Whether nobody has taken the lease over, nor declared its owner dead."""
        taken = self._lease_path(lease.key, lease.number + 1).exists()
        return not taken and not self._free_path(lease.key, lease.number).exists()

    def release(self, lease: Lease) -> None:
        """Give the lease up; a second call, and one after it was lost, change nothing."""
        self._free_path(lease.key, lease.number).touch()

    def reap(self) -> None:
        """Free what dead owners left behind."""
        for key in self.known():
            slot = self.look(key)
            if slot.owner is not None and slot.owner != self._owner and self._is_dead(slot.owner):
                self.release(Lease(key, slot.number))

    def known(self) -> Iterator[str]:
        """The keys that ever had a lease."""
        if self._folder.is_dir():
            yield from sorted(entry.name for entry in os.scandir(self._folder) if entry.is_dir())

    def _lease_path(self, key: str, number: int) -> Path:
        return self._folder / key / f"{number}.json"

    def _free_path(self, key: str, number: int) -> Path:
        return self._folder / key / f"{number}.free"

    def _create(self, lease: Lease) -> bool:
        """Whether this call, and no other, made the lease's file."""
        path = self._lease_path(lease.key, lease.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{uuid4().hex}.tmp")
        try:
            with temporary.open("w") as file:
                json.dump({"owner": self._owner, "number": lease.number}, file)
                file.flush()
                os.fsync(file.fileno())
            return _linked(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An NFS client that had no answer asks again, and is told that its own link exists.
        return temporary.stat().st_nlink == 2
    except PermissionError as error:
        raise LeaseError(
            f"the storage makes no hard links ({error}), so drivers could not share it; {path.parent}; "
            "use a local or NFS directory"
        ) from error
    return True


def _is_lease(name: str) -> bool:
    return name.endswith(".json") and name.removesuffix(".json").isdecimal()


def _owner(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["owner"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
