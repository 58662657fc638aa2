"""Probing many files in child processes, so that a decoder's crash or hang costs one file and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from trainables.data.probe import Probe, Rejected, from_json

SILENCE_SECONDS = 120.0
_START_SECONDS = 120.0
_MAX_WORKERS = 4  # each holds decord and its libraries: some 450 MB

Message = dict[str, object] | str | None  # an answer, a sign of life, the end


class ProbeWorker:
    """One child process that probes files; started when first asked, and again after it died."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence = silence_seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[Message] = SimpleQueue()

    def probe(self, path: Path) -> Probe:
        """Probe one file; a crash or a silence of the child is the file's fault.

        Raises:
            RuntimeError: the child cannot even start.
        """
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(str(path)) + "\n")
            process.stdin.flush()
            answer = self._answer(self._silence)
        except (EOFError, OSError):
            return Rejected(f"the decoder crashed (exit status {self.close()})")
        except Empty:
            self.close()
            return Rejected(f"the decoder hung: no frame in {self._silence:g} s")
        return from_json(answer)

    def _answer(self, seconds: float) -> dict[str, object]:
        while True:
            message = self._answers.get(timeout=seconds)
            if message is None:
                raise EOFError
            if isinstance(message, dict):
                return message

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainables.data.probe_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            self._answers = SimpleQueue()
            Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
            try:
                self._answer(_START_SECONDS)  # its greeting, an empty object
            except (EOFError, Empty) as error:
                status = self.close()
                raise RuntimeError(
                    f"the decoding process does not start (exit status {status}); {sys.executable}; "
                    "to see why, run: python -m trainables.data.probe_child"
                ) from error
        return self._process

    def close(self) -> int | None:
        """End the child; its exit status, None where there was no child."""
        process, self._process = self._process, None
        if process is None:
            return None
        # a child that is dying of a crash keeps its own status; the kill then reaches nobody
        try:
            status = process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return status


def _listen(process: subprocess.Popen[str], answers: SimpleQueue[Message]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            answers.put(json.loads(line))
    answers.put(None)


def probe_files(
    paths: Sequence[Path], silence_seconds: float = SILENCE_SECONDS
) -> Iterator[tuple[Path, Probe]]:
    """Probe files, several at a time; gives each with its result as it is done, in any order.

    Closing the generator ends all children.
    """
    count = max(1, min(_MAX_WORKERS, os.cpu_count() or 1, len(paths)))
    workers = [ProbeWorker(silence_seconds) for _ in range(count)]
    idle: SimpleQueue[ProbeWorker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def probe(path: Path) -> tuple[Path, Probe]:
        worker = idle.get()
        try:
            return path, worker.probe(path)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(count, thread_name_prefix="probe")
    try:
        for done in as_completed([pool.submit(probe, path) for path in paths]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.close()
