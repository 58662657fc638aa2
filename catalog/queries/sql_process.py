"""SQL of strangers, in processes of their own: at its limits a statement ends, whatever it does just then.

DuckDB looks at its limits between two chunks of rows, so that one call of a function can exceed them all. So
a process keeps a catalog up to date, runs nothing itself, and forks for every statement: the copy costs no
time, may not have more memory or write to files, and is killed by a timer. It has one thread, so that a copy
of it is whole.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from catalog.catalog import Catalog, QueryError

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST = 160 << 10
"""Bytes of a request to the process."""
_DEEPEST = 32
"""Levels of lists and structs in an answer's columns."""
_LOADING_SECONDS = 300.0
"""Beyond a statement's own limit: predictions may have to be read first."""
_BEGUN, _ROWS, _REFUSED, _UNFILLED = b"B", b"R", b"E", b"U"


@dataclass(frozen=True)
class Limits:
    """What a statement may take: time, rows, and bytes of memory and of its answer."""

    seconds: float = 10.0
    rows: int = 10_001
    memory_bytes: int = 2 << 30
    answer_bytes: int = 16 << 20


class BusyError(QueryError):
    """A statement that was not run, and would be at another moment."""


class SqlProcess:
    """Runs statements on a storage's catalog, some at a time. Threads may share it.

    `prepare` is called with the tables of predictions that a statement reads, before they are loaded.
    """

    def __init__(
        self,
        storage: Path,
        limits: Limits | None = None,
        at_once: int = 3,
        prepare: Callable[[frozenset[str]], None] = lambda _: None,
    ) -> None:
        self.limits = limits or Limits()
        self._storage = storage
        self._prepare = prepare
        self._slots = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start(self) -> None:
        """Start the process, unless it runs: that takes about a second."""
        with self._lock:
            if self._closed or (self._process is not None and self._process.poll() is None):
                return
            if self._control is not None:
                self._control.close()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [
                    sys.executable,
                    "-m",
                    "catalog.queries.sql_process",
                    str(theirs.fileno()),
                    str(self._storage),
                ]
                self._process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    # Ctrl-C in the terminal is for the dashboard alone, which then ends this one.
                    start_new_session=True,
                )

    def query(self, sql: str) -> pa.Table:
        """Run one read and return its rows.

        Raises:
            QueryError: as `Catalog.query`, or it exceeds a limit.
            BusyError: others run for longer than this one can wait.
        """
        if not self._slots.acquire(timeout=self.limits.seconds):
            raise BusyError("too many statements run at the moment", sql[:80], "try again")
        try:
            tables: frozenset[str] = frozenset()
            for _ in range(4):
                kind, content = self._ask(sql, tables)
                if kind == _ROWS:
                    return _table(content)
                if kind == _REFUSED:
                    raise QueryError(*json.loads(content))
                tables = frozenset(json.loads(content))
                self._prepare(frozenset(one for one in tables if one.startswith("loaded.")))
            raise BusyError("the catalog changes too fast", sql[:80], "try again")
        finally:
            self._slots.release()

    def close(self) -> None:
        """End the process and every statement that runs."""
        with self._lock:
            self._closed = True
            control, process, self._control, self._process = self._control, self._process, None, None
        if control is not None:
            control.close()
        if process is not None:
            _end(process)

    def _ask(self, sql: str, tables: Iterable[str]) -> tuple[bytes, bytes]:
        request = {"sql": sql, "fill": sorted(tables), **asdict(self.limits)}
        message = json.dumps(request, ensure_ascii=False).encode(errors="replace")
        if len(message) > _LONGEST:
            raise QueryError("statement is too long", sql[:80], f"use at most {_LONGEST:,} bytes")
        answer, seconds = self._sent(message)
        if answer[:1] != _BEGUN:
            raise QueryError(
                "statements cannot be run now", sql[:80], "try again, or start the dashboard again"
            )
        if len(answer) > 1:
            return answer[1:2], answer[2:]
        if seconds >= self.limits.seconds:
            what = f"query took longer than {self.limits.seconds:g} s and was stopped"
        else:
            what = _too_large(self.limits.memory_bytes)
        raise QueryError(what, sql[:80], "narrow it down with WHERE or LIMIT")

    def _sent(self, message: bytes) -> tuple[bytes, float]:
        """What the copy wrote until it ended, and how long that took it; nothing where none could be made."""
        for _ in range(2):
            self.start()
            ours, theirs = socket.socketpair()
            with ours:
                with theirs, suppress(OSError, AttributeError):
                    socket.send_fds(self._control, [message], [theirs.fileno()])  # type: ignore[arg-type]
                found = self._read(ours)
            if found[0]:
                return found
        return b"", 0.0

    def _read(self, ours: socket.socket) -> tuple[bytes, float]:
        most, chunks, began = 2 * self.limits.answer_bytes, [], 0.0
        ours.settimeout(_LOADING_SECONDS)
        with suppress(OSError):
            while most > 0 and (chunk := ours.recv(1 << 20)):
                began = began or time.monotonic()
                chunks.append(chunk)
                most -= len(chunk)
        return b"".join(chunks), time.monotonic() - began


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process ends that has been left alone; kill one that does not."""
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _table(content: bytes) -> pa.Table:
    import pyarrow as pa

    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()


def _too_large(memory: int) -> str:
    return f"query needs more than {memory / 2**30:g} GB of memory and was stopped"


def _main(control: socket.socket, storage: Path) -> None:
    """Keep a catalog, and make a copy of this process for every request, until the other side is gone."""
    # The kernel takes note of the copies' ends.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    import pyarrow as pa

    pa.set_cpu_count(1)
    catalog, filled = Catalog(storage, threads=1, forks=True), set[str]()
    with suppress(Exception):
        catalog.refresh()
    while True:
        message, handed, _, _ = socket.recv_fds(control, _LONGEST, 1)
        if not message:
            return
        request = json.loads(message)
        with socket.socket(fileno=handed[0]) as answer:
            # A journal that cannot be read leaves the catalog as it was.
            with suppress(Exception):
                if catalog.refresh():
                    filled.clear()
            with suppress(Exception):
                catalog.fill(frozenset(request["fill"]))
            filled.update(request["fill"])
            parent = os.getpid()
            if os.fork() == 0:
                control.close()
                _confine(libc, parent, request)
                _run(catalog, filled, request, answer)


def _confine(libc: Any, parent: int, request: dict[str, Any]) -> None:  # noqa: ANN401
    """Let this copy end with its parent, at its time, and have no more memory, and no file to write."""
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"] + 0.5)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.nice(5)
    with suppress(OSError):
        # Should memory run out for all, these go first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    most = _address_space() + request["memory_bytes"]
    for kind, limit in ((resource.RLIMIT_AS, most), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, least))


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _run(catalog: Catalog, filled: set[str], request: dict[str, Any], answer: socket.socket) -> NoReturn:
    """Run the statement, send what came of it, and end."""
    with suppress(BaseException):
        answer.sendall(_BEGUN)
        try:
            kind, content = _answer(catalog, filled, request)
        except (QueryError, MemoryError, RecursionError) as error:
            kind, content = _REFUSED, json.dumps(_reason(error, request)).encode()
        answer.sendall(kind + content)
    os._exit(0)


def _reason(error: Exception, request: dict[str, Any]) -> list[str]:
    if isinstance(error, QueryError) and "Out of Memory" not in error.what:
        return [error.what, error.where, error.what_to_do]
    return [_too_large(request["memory_bytes"]), request["sql"][:80], "narrow it down with WHERE or LIMIT"]


def _answer(catalog: Catalog, filled: set[str], request: dict[str, Any]) -> tuple[bytes, bytes]:
    import pyarrow as pa

    sql, seconds = request["sql"], request["seconds"]
    needed = catalog.needed(sql, seconds, request["rows"])
    if not needed <= filled:
        return _UNFILLED, json.dumps(sorted(needed)).encode()
    rows = catalog.query(sql, timeout_seconds=seconds, max_rows=request["rows"])
    if rows.nbytes > request["answer_bytes"]:
        most = f"{request['answer_bytes'] >> 20} MB"
        raise QueryError(f"the answer is larger than {most}", sql[:80], "choose fewer columns or rows")
    if any(_depth(field.type) > _DEEPEST for field in rows.schema):
        raise QueryError(f"the answer nests deeper than {_DEEPEST}", sql[:80], "flatten it with unnest()")
    out = io.BytesIO()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_table(rows)
    return _ROWS, out.getvalue()


def _depth(kind: Any) -> int:  # noqa: ANN401  (an Arrow type)
    return 1 + max((_depth(kind.field(place).type) for place in range(kind.num_fields)), default=0)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
