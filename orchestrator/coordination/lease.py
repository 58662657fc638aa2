"""One owner of a cell at a time, across machines: leases as small files that all drivers see.

`<key>/<number>.json` says who owns the lease with that number. It is made exclusively
(`SharedFiles`), so that only one of many succeeds, on NFS and in a bucket too; the number is
one more than the highest that is there. The highest number counts, so a number fences: whoever has a lower
one has lost the cell. `<number>.free` says that its owner gave it up, or that it died. Nothing is ever
replaced or removed: a process that was suspended between any two steps cannot undo what others did meanwhile.

A lease that is not what was written says nothing; then the journals tell whose the attempt of its number is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.errors import ActionGridError
from catalog.storage.storage import SharedFiles

_LONGEST_NUMBER = 9
_UNKNOWN = "unknown"
"""Stands for an owner that nobody knows: no driver has this name, so that it counts as dead after a while."""


class LeaseLostError(ActionGridError):
    """Another owner has taken a lease over."""


@dataclass(frozen=True)
class Lease:
    """The right to train the cell with this key, until a higher number exists."""

    key: str
    number: int


@dataclass(frozen=True)
class LeaseState:
    """A key's lease: its highest number (0: none yet), and who owns that, or None where it is free."""

    number: int
    owner: str | None


class Leases:
    """A storage's leases, as one owner sees them; `is_dead` judges other owners by their names.

    `driver_of` tells from the journals who made the attempt of this number at a cell, or None.
    """

    def __init__(
        self,
        files: SharedFiles,
        owner: str,
        is_dead: Callable[[str], bool],
        driver_of: Callable[[str, int], str | None] = lambda _key, _number: None,
    ) -> None:
        self._files = files
        self._owner = owner
        self._is_dead = is_dead
        self._driver_of = driver_of
        # What a lease says never changes.
        self._owners: dict[str, str] = {}

    def read(self, key: str) -> LeaseState:
        """Who has the cell now, dead or alive."""
        names = self._files.names(key)
        numbers = [int(name.removesuffix(".json")) for name in names if _is_lease(name)]
        number = max(numbers, default=0)
        if number == 0 or f"{number}.free" in names:
            return LeaseState(number, None)
        return LeaseState(number, self._owner_of(Lease(key, number)))

    def claim(self, key: str) -> Lease | LeaseState:
        """The lease, where nobody else who lives has it; else what stands in the way.

        Raises:
            LeaseError: The storage knows no hard links.
        """
        state = self.read(key)
        # Our own is one that we have not heard of: the storage made it, and its answer was lost.
        if state.owner not in (None, self._owner) and not self._is_dead(state.owner or ""):
            return state
        lease = Lease(key, state.number + 1)
        return lease if self._create(lease) else self.read(key)

    def advance(self, lease: Lease) -> Lease:
        """The same owner's next number, for its next attempt.

        Raises:
            LeaseLostError: Somebody else has it.
        """
        successor = Lease(lease.key, lease.number + 1)
        if not self.is_held(lease) or not self._create(successor):
            state = self.read(lease.key)
            raise LeaseLostError(
                f"the lease was taken over by {state.owner}", lease.key, "run the study again"
            )
        return successor

    def is_held(self, lease: Lease) -> bool:
        """Whether nobody has taken the lease over, nor declared its owner dead."""
        taken = self._files.exists(_lease_name(lease.key, lease.number + 1))
        return not taken and not self._files.exists(_free_name(lease.key, lease.number))

    def release(self, lease: Lease) -> None:
        """Give the lease up; a second call, and one after it was lost, change nothing."""
        self._files.touch(_free_name(lease.key, lease.number))

    def reap(self) -> None:
        """Free what dead owners left behind."""
        for key in self.known():
            state = self.read(key)
            if state.owner is not None and state.owner != self._owner and self._is_dead(state.owner):
                self.release(Lease(key, state.number))

    def known(self) -> Iterator[str]:
        """The keys that ever had a lease."""
        yield from sorted(self._files.names())

    def _create(self, lease: Lease) -> bool:
        """Whether this call, and no other, made the lease's file."""
        # No two calls write the same: one whose answer was lost knows its own by that.
        content = {"owner": self._owner, "key": lease.key, "number": lease.number, "call": uuid4().hex}
        name = _lease_name(lease.key, lease.number)
        return self._files.create(name, with_checksum(json.dumps(content).encode()))

    def _owner_of(self, lease: Lease) -> str:
        name = _lease_name(lease.key, lease.number)
        if name not in self._owners:
            try:
                self._owners[name] = _written_owner(self._files.read(name) or b"", lease)
            except (ValueError, KeyError, TypeError, IsADirectoryError):
                return self._driver_of(lease.key, lease.number) or _UNKNOWN
        return self._owners[name]


def _written_owner(content: bytes, lease: Lease) -> str:
    """Whose a lease is; ValueError, KeyError or TypeError where this is not what was written for it."""
    fields = load_checked(content, ("owner",))
    # Earlier versions did not note the key.
    if (fields.get("key", lease.key), fields["number"]) != (lease.key, lease.number):
        raise ValueError("of another cell or number")
    return str(fields["owner"])


def _lease_name(key: str, number: int) -> str:
    return f"{key}/{number}.json"


def _free_name(key: str, number: int) -> str:
    return f"{key}/{number}.free"


def _is_lease(name: str) -> bool:
    """Whether a file is a lease: nothing comes to numbers of more digits, and an attempt's has 64 bits."""
    number = name.removesuffix(".json")
    return (
        name.endswith(".json") and number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER
    )
