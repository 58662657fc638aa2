"""Ctrl-C, SIGTERM and SIGHUP mean the same: stop well the first time, at once the second time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Turns the three signals into `KeyboardInterrupt`, or, where work can be stopped well, into a request.

    In a thread that is not the main one, where Python takes no signals, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.getsignal(one) for one in _SIGNALS}
            self.take_over()
        return self

    def take_over(self) -> None:
        """Receive the signals, again after `ray.init`, which takes SIGTERM. What was ignored stays so."""
        for one, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(one, self._received)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In this block, which then has to end soon, the first signal only sets `asked`; a second raises."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _received(self, number: int, frame: FrameType | None) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        if not (self._deferred and first):
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before if before is not None else signal.SIG_DFL)
