"""Notices that Ray's own process on this machine has died: whoever waits for Ray would then wait for ever."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

logger = logging.getLogger(__name__)

SECONDS = 2.0
# Two looks: a Ray that is busy starting nodes may answer late once.
LOOKS = 2
_INTERRUPTED = 130


def this_node_is_alive() -> bool:
    """Whether the cluster still counts this process's own node among its living ones."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


@contextmanager
def watched(
    lost: Callable[[], None], alive: Callable[[], bool] = this_node_is_alive, seconds: float = SECONDS
) -> Iterator[None]:
    """Call `lost` once, from another thread, if during this block the node dies under an initialised Ray.

    Ray's blocking calls do not return then, nor can a signal end them; `lost` has to end the process.
    """
    over = threading.Event()

    def watch() -> None:
        dead = 0
        while not over.wait(seconds):
            try:
                dead = 0 if alive() else dead + 1
            except Exception:
                # Without an answer nothing is known; Ray's client itself ends the process after a minute.
                logger.exception("Ray does not say whether this node is alive")
            if dead >= LOOKS and not over.is_set():
                lost()
                return

    thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def end_process(last_words: Callable[[], None]) -> NoReturn:
    """End this process, with all that it started, although its main thread waits for Ray; exit code 130.

    `last_words` is called when its children are gone; after ten seconds nobody waits for it any more.
    """
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    speaking = threading.Thread(target=last_words, name="last-words", daemon=True)
    speaking.start()
    speaking.join(10.0)
    os._exit(_INTERRUPTED)
