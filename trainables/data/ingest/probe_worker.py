"""Judging files in a child process, so that a decoder's crash or hang costs one file and no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from catalog.storage.atomic import StoreWriteError
from catalog.storage.errors import ActionGridError
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.spool import SpoolTarget
from trainables.data.ingest.probe import Probe, Probed, Rejected, from_json

SILENCE_SECONDS = 120.0
_START_SECONDS = 120.0
_END_SECONDS = 0.5

Message = dict[str, Any] | str | None  # an answer, a sign of life, the end


class DecoderStartError(ActionGridError):
    """The child process that decodes cannot be started; says nothing about the file."""


class AbortedError(ActionGridError):
    """The worker was told to stop while it was at work; says nothing about the file."""


@dataclass(frozen=True)
class ProbeResult:
    """A judged file, and the sizes of the JPEGs that were kept of it, none where it was rejected."""

    probe: Probe
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Broken:
    """How a child ended in the middle of a file, and the decoder that was at work."""

    reason: str
    decoder: str
    killed: bool = False


class ProbeWorker:
    """One child process that judges files; started when first asked, and again after it died."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence = silence_seconds
        self._process: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[Message] = SimpleQueue()
        self._aborted = False

    def probe(self, path: Path, keep: SpoolTarget | None = None) -> ProbeResult:
        """Judge one file and keep its pictures; a crash or a silence of the child is the file's fault.

        Not if decord alone crashes: then PyAV reads the file. A child that was killed from outside, as where
        the system is out of memory, gets a second try.

        Raises:
            AbortedError: `abort` was called.
            StoreWriteError: the pictures cannot be stored.
            RuntimeError: the child cannot even start.
        """
        request = {"path": str(path), "keep": keep.to_json() if keep else None, "use_decord": True}
        found = self._ask(request)
        if isinstance(found, _Broken) and found.killed:
            found = self._ask(request)
        if isinstance(found, _Broken) and found.decoder == "decord":
            found = self._ask(request | {"use_decord": False})
        if isinstance(found, _Broken):
            return ProbeResult(Rejected(found.reason))
        probe = from_json(found["probe"])
        return ProbeResult(probe, tuple(found["sizes"]) if isinstance(probe, Probed) else ())

    def estimate(self, path: Path, frame_format: FrameFormat) -> int | None:
        """Bytes that the file will take in a store, about; None where it cannot be read."""
        found = self._ask({"path": str(path), "estimate": frame_format.model_dump(mode="json")})
        return None if isinstance(found, _Broken) else found.get("bytes")

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | _Broken:
        process = self._started()
        assert process.stdin is not None
        at_work = ["pyav"]
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = self._answer(self._silence, at_work)
        except (EOFError, OSError):
            status = self.close()
            if self._aborted:
                raise _aborted() from None
            reason = f"the decoder crashed (exit status {status})"
            return _Broken(reason, at_work[-1], killed=status == -signal.SIGKILL)
        except Empty:
            self.close()
            return _Broken(f"the decoder hung: no frame in {self._silence:g} s", at_work[-1])
        if "storage" in answer:
            raise StoreWriteError(*answer["storage"])
        return answer

    def _answer(self, seconds: float, at_work: list[str]) -> dict[str, Any]:
        """The next answer; notes the decoders at work until then.

        Raises:
            EOFError: the child has ended.
            Empty: it was silent for `seconds`.
        """
        while True:
            message = self._answers.get(timeout=seconds)
            if message is None:
                raise EOFError
            if isinstance(message, dict):
                return message
            at_work.append(message)

    def _started(self) -> subprocess.Popen[str]:
        if self._aborted:
            raise _aborted()
        if self._process is None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "trainables.data.ingest.probe_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
                # else Ctrl-C in a terminal would reach the child too, and its end would be taken for a crash
                start_new_session=True,
            )
            self._answers = SimpleQueue()
            Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
            try:
                self._answer(_START_SECONDS, [])  # its greeting, an empty object
            except (EOFError, Empty) as error:
                status = self.close()
                if self._aborted:
                    raise _aborted() from None
                raise DecoderStartError(
                    f"the decoding process does not start (exit status {status})",
                    sys.executable,
                    "to see why, run: python -m trainables.data.ingest.probe_child",
                ) from error
        return self._process

    def abort(self) -> None:
        """Stop at once, whatever is being done; may be called from another thread."""
        self._aborted = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> int | None:
        """End the child; its exit status, None where there was no child."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(OSError):  # a dead child's pipe does not take what is still in our buffer
            assert process.stdin is not None
            process.stdin.close()
        # the end of its stdin ends a healthy child; one that is dying of a crash keeps its own status
        try:
            return process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _listen(process: subprocess.Popen[str], answers: SimpleQueue[Message]) -> None:
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            answers.put(json.loads(line))
    answers.put(None)


def _aborted() -> AbortedError:
    return AbortedError("the reading of videos was stopped", "", "give the same command again")
