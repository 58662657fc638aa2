"""The tree of errors: each says what went wrong, where, and what to do, and knows its exit code and kind."""

from __future__ import annotations

import errno
import os
import shutil
from enum import StrEnum
from typing import ClassVar

WORK_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class FailureKind(StrEnum):
    """Why an attempt at a cell ended. The values are what the journal records.

    PROGRAM: an error of the code that the same input brings again, such as a TypeError. PARENT: the weights
    that the cell starts from do not stand; its parent has to be trained again first.
    """

    MISMATCH = "mismatch"
    PARENT = "parent"
    MISSING_WEIGHTS = "missing-weights"
    DATA = "data"
    CONFIGURATION = "configuration"
    DIVERGED = "diverged"
    PREEMPTED = "preempted"
    STORAGE = "storage"
    MEMORY = "memory"
    CHECKPOINT = "checkpoint"
    PROCESS_DIED = "process-died"
    PROGRAM = "program"
    UNKNOWN = "unknown"


class ActionGridError(Exception):
    """What our own code raises. Its text is `what; where; what to do`, without the parts that are empty.

    `exit_code` is how a command ends that meets it. `failure_kind` is why an attempt at a cell failed that
    it ended; classes that no worker meets leave it at `UNKNOWN`. All of them survive pickling, for Ray
    carries them from process to process.
    """

    exit_code: ClassVar[int] = WORK_FAILED
    failure_kind: ClassVar[FailureKind] = FailureKind.UNKNOWN

    def __init__(self, what: str, where: object = "", what_to_do: str = "") -> None:
        super().__init__()
        # Not handed up: `OSError`, which some have for a second base, would take them for its own fields.
        self.args = (what, str(where), what_to_do)

    @property
    def what(self) -> str:
        """What went wrong."""
        return str(self.args[0])

    @property
    def where(self) -> str:
        """The file, option, cell or address that it concerns."""
        return str(self.args[1])

    @property
    def what_to_do(self) -> str:
        """How the user mends it."""
        return str(self.args[2])

    def __str__(self) -> str:
        return "; ".join(filter(None, self.args))


class PathError(ActionGridError):
    """A path that the user gave, or one below it, is missing, of the wrong kind or not permitted."""

    exit_code = BAD_INPUT


class SystemFailureError(ActionGridError):
    """The operating system refused something that no other path would mend."""


OUTAGES = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EREMOTEIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
    }
)
"""What a file system says that is full, read-only, broken, away or overloaded: no fault of the work on it.

Of permission, too: servers of files refuse it for a moment when they come back.
"""

_PATH_ADVICE = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a directory is needed there: check the path",
    errno.EISDIR: "a file is needed there: check the path",
    errno.EEXIST: "remove it or choose another path",
    errno.ENOTEMPTY: "empty it or choose another path",
    errno.ELOOP: "check the path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EACCES: "change its permissions or choose another path",
    errno.EPERM: "change its permissions or choose another path",
}
_ADVICE = {
    errno.ENOSPC: "make room, then give the same command again",
    errno.EDQUOT: "make room, then give the same command again",
    errno.EROFS: "mount it writable or choose another path",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "raise the limit of open files (`ulimit -n`)",
}
_LONGEST = 200  # characters of words that are not ours
_ADVICE_OTHERWISE = "mend it, then give the same command again"


def from_system(error: OSError) -> ActionGridError:
    """The error of the tree that says the same as one of the operating system's."""
    names = [name for name in (error.filename, error.filename2) if name is not None]
    where = " → ".join(os.fsdecode(name) if isinstance(name, bytes) else str(name) for name in names)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # Of a folder that was copied: source, target and reason of each file that could not be.
        several = error.args[0]
        what = f"files that cannot be copied: {len(several)} ({str(several[0][2])[:_LONGEST]})"
        return SystemFailureError(what, str(several[0][1]), _ADVICE_OTHERWISE)
    if error.errno is None:
        return SystemFailureError(str(error)[:_LONGEST] or type(error).__name__, where, _ADVICE_OTHERWISE)
    what = error.strerror or os.strerror(error.errno)
    if error.errno in _PATH_ADVICE:
        return PathError(what, where, advice(error))
    return SystemFailureError(what, where, advice(error))


def advice(error: OSError) -> str:
    """What to do about an error of the operating system's, in words."""
    known = _PATH_ADVICE | _ADVICE
    return known.get(error.errno or 0, _ADVICE_OTHERWISE)
