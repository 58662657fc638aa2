"""Reading batches of videos as Ray tasks, and when that is worth starting Ray for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.storage.storage import Storage
from orchestrator.ray_runtime.session import RaySessionError, ray_session, redirect_output
from trainables.data.ingest.batch import BatchTask, Events, ingest
from trainables.data.ingest.probe_worker import ProbeWorker
from trainables.data.ingest.run import LocalThreads

# A local Ray is up after some 8 s, in which four threads here read some 50 videos of Kinetics. Below this
# much work starting it would never pay; above, it uses all CPUs where the threads keep to four.
RAY_FROM_BYTES = 1 << 30
RAY_FROM_VIDEOS = 500  # where nothing is stored, so that nothing was estimated
_ATTEMPTS = 4
_BATCHES_PER_CPU = 2  # batches in flight for each CPU: the next one's start hides behind the one before


class RayTasks:
    """An executor of one task a batch on the Ray that this process is connected to.

    Ray repeats a batch whose worker or node was lost.
    """

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        """See `Executor`; closing the generator ends the tasks.

        Raises:
            StoreWriteError: the storage takes no more.
            RaySessionError: a batch's workers are lost again and again.
        """
        import ray

        remote = ray.remote(num_cpus=1, num_returns="streaming", max_retries=_ATTEMPTS - 1)(_ingest)
        waiting, running = deque(tasks), list[Any]()
        try:
            while waiting or running:
                while waiting and len(running) < _BATCHES_PER_CPU * _cpus():
                    running.append(remote.remote(waiting.popleft()))
                ready, _ = ray.wait(running, num_returns=1)
                for stream in ready:
                    try:
                        event = _get(next(stream))
                    except StopIteration:
                        running.remove(stream)
                        continue
                    yield event
        finally:
            for stream in running:
                ray.cancel(stream, force=True)


def _cpus() -> int:
    """Of the cluster as it is now: it may grow while tasks wait."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _get(reference: Any) -> Any:  # noqa: ANN401 - Ray's own types have no annotations
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # the task's own error without Ray's traceback of the worker around it
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        first = (str(error).splitlines() or [""])[0]
        raise RaySessionError(
            f"reading videos failed {_ATTEMPTS} times ({type(error).__name__}: {first})",
            "Ray",
            "see that workers have memory enough (1 GB each) and give the same command again",
        ) from error


def _ingest(task: BatchTask) -> Events:
    worker = ProbeWorker()
    try:
        yield from ingest(task, worker)
    finally:
        worker.close()


@dataclass(frozen=True)
class VideoReaders:
    """The executor of a build: threads here for a small one, Ray tasks for a large one or on a cluster.

    `address` is a cluster's; `log` gets Ray's own output. `cpus` bounds what is used here (None: all).
    """

    storage: Storage
    address: str | None
    log: Path
    cpus: int | None = None

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        """See `Executor`.

        Raises:
            RaySessionError: Ray does not start or answer.
        """
        # Into a mirror only this machine can write.
        address = None if self.storage.mirrored else self.address
        if address is None and not is_large(tasks):
            yield from LocalThreads(most=self.cpus).run(tasks)
            return
        with _session(address, self.cpus if address is None else None, self.log):
            yield from RayTasks().run(tasks)


def is_large(tasks: Sequence[BatchTask]) -> bool:
    """Whether the work is worth a Ray of its own."""
    stored = sum(task.expected_bytes for task in tasks)
    unknown = sum(len(task.videos) for task in tasks if task.frame_format.mode == "direct")
    return stored >= RAY_FROM_BYTES or unknown >= RAY_FROM_VIDEOS


@contextmanager
def _session(address: str | None, cpus: int | None, log: Path) -> Iterator[None]:
    """A Ray session that prints to `log` while it starts and ends; between, the terminal is the build's."""
    with ExitStack() as session:
        # On standard error, as the build's own progress.
        with redirect_output(log, said_on=2) as terminal:
            session.enter_context(
                ray_session(
                    address, cpus, 0 if address is None else None, lambda line: print(line, file=terminal)
                )
            )
        try:
            yield
        finally:
            with redirect_output(log):
                session.close()
