"""One writer per run directory, also across a killed driver whose last worker is still dying."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class LockHeldError(ActionGridError):
    """Another live process holds the lock."""

    exit_code = BAD_INPUT
    failure_kind = FailureKind.PREEMPTED


@contextmanager
def exclusive(path: Path, wait_seconds: float, what: str) -> Iterator[None]:
    """Hold an exclusive `flock` on `path`; the kernel frees it when its holder dies, however it dies.

    Raises:
        LockHeldError: Still held by another process after `wait_seconds`; names `what` and the holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, path, wait_seconds, what)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.uname().nodename} pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, wait_seconds: float, what: str) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "an unknown process"
                raise LockHeldError(
                    f"{what} is in use by {holder}", path, "wait until it ends or stop it"
                ) from None
            time.sleep(0.2)
        else:
            return
