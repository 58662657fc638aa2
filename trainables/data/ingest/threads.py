"""Reading batches on this machine: a few threads, each with a decoding process of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread

from trainables.data.ingest.batch import BatchTask, Event, Events, ingest
from trainables.data.ingest.probe_worker import SILENCE_SECONDS, ProbeWorker

_MAX_WORKERS = 4  # each holds decord and its libraries: some 450 MB


class LocalThreads:
    """An executor of `workers` threads (default: one a CPU, at most 4)."""

    def __init__(self, workers: int | None = None, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._workers = workers or min(_MAX_WORKERS, os.cpu_count() or 1)
        self._silence = silence_seconds

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        """See `Executor`; closing the iterator kills the decoding processes in the middle of their work."""
        waiting = deque(tasks)
        events: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        workers = [ProbeWorker(self._silence) for _ in range(min(self._workers, len(tasks)))]
        threads = [Thread(target=_work, args=(waiting, worker, events), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if event is None:
                    running -= 1
                else:
                    yield event
        finally:
            for worker in workers:
                worker.abort()
            for thread in threads:
                thread.join()


def _work(
    waiting: deque[BatchTask], worker: ProbeWorker, events: SimpleQueue[Event | BaseException | None]
) -> None:
    """Do batches while there are any; then, or where one fails, the end of this thread."""
    try:
        while waiting:
            try:
                task = waiting.popleft()
            except IndexError:
                break
            for event in ingest(task, worker):
                events.put(event)
    except BaseException as error:
        events.put(error)
    else:
        events.put(None)
    finally:
        worker.close()
