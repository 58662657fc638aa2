"""Jobs on a cluster: submit, list, follow, stop, also through a port forwarded over SSH.

The only module that talks to Ray's job server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from catalog.storage.answers import answer_seconds, require_http
from catalog.storage.errors import BAD_INPUT, ActionGridError

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
STUDY = "actiongrid_study"  # marks our jobs among all jobs of a cluster
# A stopped driver lets running checkpoints finish; Ray's own three seconds would kill it before.
STOP_SECONDS = 60
_RECONNECTS = 5
_POLL_SECONDS = 1.0
_TUNNEL_SECONDS = 60.0
_RAY = "from ray.scripts.scripts import main; main()"


class JobError(ActionGridError):
    """The cluster's job server cannot be reached, or refuses."""


class UnknownJobError(ActionGridError):
    """No such job on this cluster."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Job:
    """One job of ours. Times are seconds since 1970; `exit_code` is the driver's own, if it ended."""

    name: str
    study: str
    state: str
    started: float | None
    ended: float | None
    exit_code: int | None
    message: str

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.state in ENDED


class JobServer:
    """The job server of one cluster.

    `address` is its URL (`http://head:8265`), a Ray address or None for the Ray on this machine. Ray reads
    the token from `RAY_AUTH_TOKEN`, `RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token` where `RAY_AUTH_MODE` is
    `token`.
    """

    def __init__(self, address: str | None) -> None:
        """Connect.

        Raises:
            JobError: the server refuses, or the token is missing or wrong.
            NoAnswerError: nothing answers at the address.
        """
        self._address = address
        if address is not None:
            # Ray lets these two win over an address that was asked for.
            for variable in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
                os.environ.pop(variable, None)
            require_http(address, "check that the head runs, and --address http://HEAD:8265, or --cluster")
        self._client = self._guarded(lambda: _client(address))

    def submit(self, study: str, entrypoint: str, folder: Path) -> str:
        """Start `entrypoint` in a copy of `folder` on the head; returns the job's name."""
        name = f"{study}-{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(2).hex()}"
        environment = {
            "working_dir": str(folder),
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
        }
        return str(
            self._guarded(
                lambda: self._client.submit_job(
                    entrypoint=entrypoint,
                    submission_id=name,
                    runtime_env=environment,
                    metadata={STUDY: study},
                )
            )
        )

    def jobs(self) -> tuple[Job, ...]:
        """All jobs that `submit` has started on this cluster, the newest first."""
        found = [_job(one) for one in self._guarded(self._client.list_jobs) if STUDY in (one.metadata or {})]
        return tuple(sorted(found, key=lambda job: -(job.started or 0)))

    def job(self, name: str | None) -> Job:
        """The job of this name (or of the only one that begins so); None means the newest.

        Raises:
            UnknownJobError: there is none, or there are several.
        """
        jobs = self.jobs()
        if name is None:
            matches = jobs[:1]
        else:
            matches = tuple(job for job in jobs if job.name == name) or tuple(
                job for job in jobs if job.name.startswith(name)
            )
        if len(matches) != 1:
            known = ", ".join(job.name for job in (matches or jobs)) or "none"
            what = f"several jobs begin with {name}" if matches else f"no job {name or 'yet'}"
            raise UnknownJobError(
                what,
                self._address or "this cluster",
                f"jobs there: {known}",
            )
        return matches[0]

    def log(self, name: str) -> str:
        """All that the job has printed."""
        return str(self._guarded(lambda: self._client.get_job_logs(name)))

    def follow(self, name: str, skip: int = 0) -> Iterator[str]:
        """What the job prints, until it has ended; leaves out the first `skip` characters.

        A connection that breaks is made anew, and nothing is repeated.
        """
        shown, failures = skip, 0
        while True:
            position = 0
            try:
                for text in _tail(self._client, name):
                    position += len(text)
                    if position > shown:
                        yield text[shown - position :]
                        shown, failures = position, 0
            except (OSError, RuntimeError) as error:
                failures += 1
                if failures > _RECONNECTS:
                    raise self._error(error) from error
            if self.job(name).has_ended and failures == 0:
                return
            time.sleep(_POLL_SECONDS)

    def stop(self, name: str) -> Job:
        """Ask the job to stop and wait until it has; its driver finishes checkpoints first."""
        self._guarded(lambda: self._client.stop_job(name))
        deadline = time.monotonic() + STOP_SECONDS + 30
        while not (job := self.job(name)).has_ended and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return job

    def _guarded(self, action: Any) -> Any:  # noqa: ANN401 - Ray ships no types
        try:
            return action()
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> JobError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        what = f"{type(error).__name__}: {lines[0] if lines else ''}"
        where = self._address or "the Ray on this machine"
        if type(error).__name__ == "AuthenticationError":
            return JobError(
                f"the cluster wants its token ({what})",
                where,
                "copy the head's ~/.ray/auth_token to this machine and export RAY_AUTH_MODE=token",
            )
        return JobError(
            f"the cluster's job server does not do it ({what})",
            where,
            "check that the head runs, and the address: --address http://HEAD:8265 or --cluster FILE",
        )


def _client(address: str | None) -> Any:  # noqa: ANN401
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)


def _job(details: Any) -> Job:  # noqa: ANN401
    milliseconds = 1000
    return Job(
        name=details.submission_id,
        study=details.metadata[STUDY],
        state=str(getattr(details.status, "value", details.status)),
        started=details.start_time / milliseconds if details.start_time else None,
        ended=details.end_time / milliseconds if details.end_time else None,
        exit_code=details.driver_exit_code,
        message=details.message or "",
    )


def _tail(client: Any, name: str) -> Iterator[str]:  # noqa: ANN401
    """Ray's asynchronous stream of a job's log, for callers that wait."""
    loop = asyncio.new_event_loop()
    stream = client.tail_job_logs(name)
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(stream))
            except StopAsyncIteration:
                return
    finally:
        # Ctrl-C leaves the wait for the next text behind, and a stream that is waited for cannot be closed.
        waiting = asyncio.all_tasks(loop)
        for task in waiting:
            task.cancel()
        if waiting:
            loop.run_until_complete(asyncio.wait(waiting))
        loop.run_until_complete(stream.aclose())
        loop.close()


@contextmanager
def tunnel(cluster_file: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """The URL under which the cluster's job server answers here while the body runs.

    Where that takes longer than people wait without a word, `say` is told so.

    `ray dashboard` knows the head's address and the key of every provider, so it opens the connection.

    Raises:
        JobError: no such file, or the head cannot be reached.
    """
    if not cluster_file.is_file():
        raise JobError("no such cluster file", cluster_file, "give the file that `ray up` was given")
    port = _free_port()
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _RAY, "dashboard", str(cluster_file), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with its ssh it can be ended as one, and Ctrl-C here is not theirs
        )
        try:
            url = f"http://127.0.0.1:{port}"
            late = f"still looking for a way to the head of {cluster_file}, for up to {_TUNNEL_SECONDS:.0f} s"
            if not _opens(url, process, lambda: say(late)):
                output.seek(0)
                said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
                raise JobError(
                    f"no way to the cluster's head ({said[-1].strip() if said else 'no answer'})",
                    cluster_file,
                    f"start it with: ray up {cluster_file}",
                )
            yield url
        finally:
            _end(process)


def _opens(url: str, process: subprocess.Popen[bytes], is_late: Callable[[], None]) -> bool:
    began, told = time.monotonic(), False
    while time.monotonic() - began < _TUNNEL_SECONDS and process.poll() is None:
        if time.monotonic() - began > answer_seconds() and not told:
            told = True
            is_late()
        try:
            with urllib.request.urlopen(f"{url}/api/version", timeout=5):
                return True
        except urllib.error.HTTPError:
            return True  # it answers, if only to ask for a token
        except OSError:
            time.sleep(0.3)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=5)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
