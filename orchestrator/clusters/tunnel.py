"""A way from this machine to the job server of a cluster that `ray up` started: a port forwarded over SSH."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from orchestrator.clusters.jobs import JobError

OPEN_SECONDS = 60.0
_RAY = "from ray.scripts.scripts import main; main()"


@contextmanager
def tunnel(cluster_file: Path) -> Iterator[str]:
    """The URL under which the cluster's job server answers here while the body runs.

    `ray dashboard` knows the head's address and the key of every provider, so it opens the connection.

    Raises:
        JobError: no such file, or the head cannot be reached.
    """
    if not cluster_file.is_file():
        raise JobError(f"no such cluster file; {cluster_file}; give the file that `ray up` was given")
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
            if not _opens(url, process):
                output.seek(0)
                said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
                raise JobError(
                    f"no way to the cluster's head ({said[-1].strip() if said else 'no answer'}); "
                    f"{cluster_file}; start it with: ray up {cluster_file}"
                )
            yield url
        finally:
            _end(process)


def _opens(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + OPEN_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
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
