"""A storage that takes nothing more: the driver waits, says so, and goes on when there is room again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TypeVar

from catalog.storage.atomic import StoreReadError, system_reason
from catalog.storage.errors import OUTAGES, advice
from catalog.storage.storage import Storage

Given = TypeVar("Given")

LOOK_SECONDS = 3.0
READ_PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between tries at reading a file: longer than most faults of a network's file server."""


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the storage, and not the work, is at fault."""
    return isinstance(error, OSError) and error.errno in OUTAGES


def retry_reading(action: Callable[[], Given], path: Path, pauses: Sequence[float] | None = None) -> Given:
    """Do something that reads at `path`; where the storage is at fault, again after each of these pauses.

    They are seconds, `READ_PAUSES` if none are given. It waits: never call it with a lock in hand.

    Raises:
        StoreReadError: the storage was at fault at every try.
        OSError: another one, such as that there is no file; and whatever else `action` raises.
    """
    pauses = READ_PAUSES if pauses is None else pauses
    for pause in pauses:
        try:
            return action()
        except OSError as error:
            if not is_outage(error):
                raise
        time.sleep(pause)
    try:
        return action()
    except OSError as error:
        if not is_outage(error):
            raise
        tries = f"{len(pauses) + 1} times in {sum(pauses):.0f} s"
        raise StoreReadError(f"cannot read ({system_reason(error)}, {tries})", path, advice(error)) from error


def room_for_a_checkpoint(params: Iterable[int]) -> int:
    """Bytes that the largest of these models (parameters each) needs: its weights and momentum, twice.

    For the checkpoint before is removed after the new one stands.
    """
    return 2 * 8 * max(params, default=0) + (1 << 20)


@contextmanager
def exit_despite_outage(asked: Event, say: Callable[[str], None]) -> Iterator[None]:
    """What a driver does that was asked to stop ends as interrupted, though the storage takes no word of it.

    What stands in the storage counts: the next submission takes up the cells when their leases have expired.

    Raises:
        KeyboardInterrupt: in place of an outage's OSError, once `asked` is set.
    """
    try:
        yield
    except OSError as error:
        if not (asked.is_set() and is_outage(error)):
            raise
        say(
            f"the storage could not be told that this ends ({system_reason(error)}); what stands in it counts"
        )
        raise KeyboardInterrupt from error


class Outage:
    """Whether a storage takes writes; of a bucket also whether this machine has room for its files.

    `needed` bytes must be free for work to go on. `stop`, once set, ends every wait.
    """

    def __init__(
        self, storage: Storage, needed: int, stop: Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._needed = needed
        self._stop = stop
        self._clock = clock
        self._say: Callable[[str], None] = lambda _: None
        self._reason = ""
        self._next_look = 0.0

    @property
    def notice(self) -> str:
        """What users have to know, "" while all is well."""
        if not self._reason:
            return ""
        mend = "make room or mend the storage: it goes on by itself"
        return f"paused: {self._reason}; {self._storage.location}; {mend}"

    def tell(self, say: Callable[[str], None]) -> None:
        """Where to print that an outage begins or ends, at once."""
        self._say = say

    def begins(self, reason: str) -> None:
        """Something could not be written."""
        told = bool(self._reason)
        self._reason = reason
        if not told:
            self._next_look = self._clock() + LOOK_SECONDS
            self._say(self.notice)

    def is_over(self) -> bool:
        """Whether there is no outage (any more); looks every few seconds."""
        if self._reason and self._clock() >= self._next_look:
            self._next_look = self._clock() + LOOK_SECONDS
            if self._takes_writes():
                self._reason = ""
                self._say(f"the storage takes writes again; {self._storage.location}; going on")
        return not self._reason

    def retry_until_available(self, action: Callable[[], Given]) -> Given:
        """Do something that writes; where the storage takes nothing, wait until it does.

        Raises:
            OSError: another one than an outage's, or an outage while the driver is to stop.
        """
        while True:
            try:
                return action()
            except OSError as error:
                if not is_outage(error) or self._stop.is_set():
                    raise
                self.begins(system_reason(error))
            while not self.is_over() and not self._stop.wait(LOOK_SECONDS / 3):
                pass

    def try_write(self, action: Callable[[], Given]) -> Given | None:
        """Do something that will be done again anyway; None where the storage does not let it.

        Raises:
            OSError: another one than an outage's.
        """
        try:
            return action()
        except OSError as error:
            if not is_outage(error):
                raise
            self.begins(system_reason(error))
            return None

    def _takes_writes(self) -> bool:
        try:
            if shutil.disk_usage(self._storage.root).free < self._needed:
                return False
            self._storage.check_writes()
        except OSError:
            return False
        return True
