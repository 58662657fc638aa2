"""A layer between Python and the system's files: the n-th call that concerns a folder raises an OSError."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

READS = ("open", "stat", "lstat", "listdir", "scandir", "readlink")
WRITES = ("mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir", "utime", "truncate")


class FaultyFiles:
    """Counts the calls that concern a folder and raises an error from the `first`-th on, `times` times.

    `kinds` are names of functions of `os`; "open" also stands for `open` and `io.open`, and "fsync" for
    flushing a file of the folder.
    """

    def __init__(
        self, folder: Path, number: int, first: int = 1, times: int = 1 << 30, kinds: tuple[str, ...] = READS
    ) -> None:
        self.folder = str(folder)
        self.number = number
        self.first = first
        self.last = first + times - 1
        self.kinds = kinds
        self.calls = 0
        self.raised = 0

    def concerns(self, path: object) -> bool:
        """Whether a path, or the file of a descriptor, lies in the folder."""
        try:
            if isinstance(path, int):
                path = real_readlink(f"/proc/self/fd/{path}")
            text = os.fsdecode(path)  # type: ignore[arg-type]
        except (OSError, TypeError):
            return False
        return os.path.abspath(text).startswith(self.folder)  # noqa: PTH100 - asks no file system

    def call(self, kind: str, real: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Make a call, or refuse it."""
        if kind in self.kinds and args and self.concerns(args[0]):
            self.calls += 1
            if self.first <= self.calls <= self.last:
                self.raised += 1
                raise OSError(self.number, os.strerror(self.number), args[0])
        return real(*args, **named)


real_readlink = os.readlink


@contextmanager
def installed(files: FaultyFiles) -> Iterator[FaultyFiles]:
    """Let this process's file access, apart from that of C++ libraries, go through `files` in this block."""

    def wrapped(kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **named: files.call(kind, real, *args, **named)

    places = [(os, name, name) for name in (*READS, *WRITES, "fsync")]
    places += [(builtins, "open", "open"), (io, "open", "open")]
    patches = [patch.object(place, name, wrapped(kind, getattr(place, name))) for place, name, kind in places]
    for one in patches:
        one.start()
    try:
        yield files
    finally:
        for one in reversed(patches):
            one.stop()
