"""The dashboard as it is served: limits on what one client can take, and what other sites' pages can do."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.paths import ROOT
from tests.support.slowness import slowness

TOKEN = "0123456789abcdef"
JSON = {"Content-Type": "application/json"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@dataclass
class Served:
    """A running dashboard and what it says on stderr."""

    port: int
    process: subprocess.Popen[str]
    log: Path

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer; underscores in the names of headers are dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """What is answered to these bytes; empty where the connection is closed without a word."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := connection.recv(1 << 16):
                answer += chunk
            return answer


@contextmanager
def serving(storage: Path, log: Path, *options: str) -> Iterator[Served]:
    command = [
        sys.executable,
        "-m",
        "orchestrator.cli",
        "dashboard",
        "--port",
        "0",
        "--storage",
        str(storage),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            yield Served(int(address.split(":")[2].split("/")[0]), process, log)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    write_quickly(folder, grid_events(DEMO))
    return folder


@pytest.fixture(scope="module")
def served(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(storage, tmp_path_factory.mktemp("log") / "stderr") as served:
        yield served


def refresh_body(**changes: object) -> bytes:
    body: dict[str, object] = {
        "output": "..revision.data...trouble.children..",
        "outputs": [{"id": "revision", "property": "data"}, {"id": "trouble", "property": "children"}],
        "inputs": [{"id": "clock", "property": "n_intervals", "value": 1}],
        "changedPropIds": ["clock.n_intervals"],
        "state": [
            {"id": "revision", "property": "data", "value": 0},
            {"id": "trouble", "property": "children", "value": None},
        ],
    }
    return json.dumps({**body, **changes}).encode()


def test_a_callback_of_the_pages_is_answered(served: Served) -> None:
    status, body, headers = served.ask("/_dash-update-component", "POST", refresh_body(), **JSON)
    assert status == 200 and json.loads(body)["response"]["revision"]["data"] >= 1
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("address", ["/csv/overview/studies", "/ahead/light/"])
def test_data_are_of_now_although_no_page_is_open(tmp_path: Path, address: str) -> None:
    """A script that fetched tables through the night got those of the evening."""
    write_quickly(tmp_path, grid_events(DEMO))
    live = LiveCatalog(FolderStorage(tmp_path), pause=0)
    live.refresh()
    client = build_app(live, Access("127.0.0.1", None), 1.0).server.test_client()
    client.get(address)
    write_quickly(tmp_path, grid_events(replace(DEMO, study="another")), "later")
    text = client.get(address).text
    studies = live.catalog.query("SELECT DISTINCT study FROM experiments")["study"].to_pylist()
    assert sorted(studies) == ["another", "demo"]
    assert "csv" not in address or "\nanother," in text


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_ctrl_c_ends_it_without_a_traceback_while_an_answer_is_made(
    storage: Path, tmp_path: Path, seconds: float
) -> None:
    with serving(storage, tmp_path / "stderr") as served:
        assert served.ask("/csv/overview/studies")[0] == 200  # it begins to fit a model
        time.sleep(seconds)
    assert served.process.returncode == 0
    assert "Traceback" not in served.log.read_text()


def test_who_asks_for_data_waits_for_news_that_somebody_else_reads(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    live = LiveCatalog(FolderStorage(tmp_path), pause=0)
    with live._reading, ThreadPoolExecutor(1) as other:
        assert live.refresh() == 0, "a page does not wait"
        asked = other.submit(live.refresh, 30.0)
        time.sleep(0.2)
        assert not asked.done()
        live._reading.release()
        try:
            assert asked.result(timeout=30) == 1
        finally:
            live._reading.acquire()


CRAFTED = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "null": b"null",
    "a number": b"1e999",
    "NaN": refresh_body().replace(b'"value": 1', b'"value": NaN'),
    "infinity": refresh_body().replace(b'"value": 1', b'"value": -Infinity'),
    "many digits": refresh_body().replace(b'"value": 1', b'"value": ' + b"9" * 5000),
    "a large number": refresh_body().replace(b'"value": 1', b'"value": ' + b"9" * 400),
    "a fraction": refresh_body().replace(b'"value": 1', b'"value": 1e999'),
    "deep": b"[" * 100_000,
    "deep value": refresh_body().replace(b'"value": 1', b'"value": ' + b"[" * 900 + b"]" * 900),
    "no output": b"{}",
    "unknown output": refresh_body(output="other.data"),
    "output of a kind": refresh_body(output={"a": 1}),
    "clientside output": refresh_body(output="theme.data"),
    "no inputs": refresh_body(inputs=[]),
    "other inputs": refresh_body(inputs=[{"id": "x", "property": "y", "value": 1}]),
    "inputs of a kind": refresh_body(inputs=7),
    "no ids": refresh_body(inputs=[{"property": "n_intervals", "value": 1}]),
    "lists": refresh_body(inputs=[[[]]]),
    "a text for a number": refresh_body(inputs=[{"id": "clock", "property": "n_intervals", "value": "x"}]),
    "no state": refresh_body(state=[]),
    "other triggers": refresh_body(changedPropIds=["a.b"]),
    "triggers of a kind": refresh_body(changedPropIds=[{}]),
    "other outputs": refresh_body(outputs=[]),
    "a surrogate": refresh_body().replace(b'"value": null', b'"value": "\\ud800"'),
    "not UTF-8": refresh_body().replace(b"clock", b"\xff\xfe"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_what_pages_never_send_gets_one_line(served: Served, name: str) -> None:
    status, body, _ = served.ask("/_dash-update-component", "POST", CRAFTED[name], **JSON)
    assert status == 400 and body.count(b"\n") == 1 and b"Traceback" not in body
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here.php", 404),
        ("GET", "/static/x", 404),
        ("GET", "/csv/grid/none", 404),
        ("GET", "/csv/nothing/none", 404),
        ("GET", "/csv/grid", 404),
        ("GET", "/_dash-component-suites/dash/../../etc/passwd", 404),
        ("GET", "/_dash-component-suites/none/x.js", 404),
        ("GET", "/assets/../app.py", 404),
        ("GET", "/assets/%2e%2e/app.py", 404),
        ("GET", "/strip/none/none/0", 404),
        ("GET", "/clip/none/none/..%2f..%2fetc%2fpasswd", 404),
        ("POST", "/clip/none/none/0", 405),
        ("PUT", "/", 405),
        ("POST", "/act", 405),  # nobody asked for a token
        ("DELETE", "/csv/grid/grid", 405),
        ("TRACE", "/", 405),
        ("GET", "/_dash-update-component", 405),
        ("POST", "/", 405),
        ("POST", "/_dash-update-component?cancelJob=1", 400),
        ("GET", "/csv/grid/grid?frames=x", 400),
        ("GET", "/csv/grid/grid?" + "&".join(f"module={n}" for n in range(1000)), 400),
        ("GET", "/csv/grid/grid?" + "&".join(f"n{n}=1" for n in range(100)), 400),
        ("GET", "/csv/grid/grid?q=" + "x" * 40_000, 400),
        ("GET", "/csv/grid/grid?q=" + "x" * 70_000, 431),
        ("GET", "/csv/grid/grid?" + "module=tam&" * 30_000, 431),
        ("GET", "/csv/grid/grid?" + "module=tam&" * 2_900, 200),
        ("GET", "/csv/sql/answer?q=SELECT%201%20AS%20n", 200),
        ("GET", "/csv/sql/answer?q=nonsense", 404),
        ("GET", "/csv/grid/grid?module=%00%ff%0d%0a", 200),
        ("GET", "/%0d%0aSet-Cookie:x", 404),
    ],
)
def test_every_address_has_one_answer_at_once(served: Served, method: str, path: str, status: int) -> None:
    began = time.monotonic()
    body = b"{}" if method == "POST" else None
    answer = served.ask(path, method, body, **(JSON if body else {}))
    assert answer[0] == status
    assert time.monotonic() - began < 5 * slowness()
    assert "Traceback" not in served.log.read_text()


def test_a_large_body_is_refused_before_it_is_read_and_costs_no_memory(served: Served) -> None:
    head = "POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000000\r\n\r\n"
    assert served.raw(head.encode()).startswith(b"HTTP/1.1 413")
    before = psutil.Process(served.process.pid).memory_info().rss
    chunks = b"".join(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n" for _ in range(8))
    head = "POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with suppress(ConnectionError):  # it is closed while we still send
        assert served.raw(head.encode() + chunks)[:12] in (b"HTTP/1.1 413", b"")
    assert psutil.Process(served.process.pid).memory_info().rss - before < 50 << 20
    assert served.ask("/")[0] == 200


def test_slow_clients_are_dropped_and_keep_nobody_from_being_served(served: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(600)]
    began = time.monotonic()
    try:
        for place, one in enumerate(slow):
            with suppress(OSError):  # it has made room already
                one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " if place % 2 else b"P")
        waited = time.monotonic()
        assert served.ask("/")[0] == 200
        assert time.monotonic() - waited < 5 * slowness()
        # A byte now and then does not help: the whole request has its time.
        lasting = slow[-2:]
        while lasting and time.monotonic() - began < 60:
            for one in list(lasting):
                try:
                    one.sendall(b"x")
                    one.settimeout(0.2)
                    ended = one.recv(100) == b""
                except TimeoutError:
                    ended = False
                except OSError:
                    ended = True
                if ended:
                    lasting.remove(one)
            time.sleep(0.2)
        assert lasting == [] and time.monotonic() - began < 45 * slowness()
    finally:
        for one in slow:
            one.close()


FOREIGN = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://[::1"},
    {"Referer": "http://evil.example/page"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_sites_page_can_ask_nothing(served: Served, headers: dict[str, str]) -> None:
    statement = "/csv/sql/answer?q=SELECT%201"
    for path in (statement, "/csv/grid/grid", "/ahead/light/sql?q=SELECT%201", "/_dash-layout"):
        assert served.ask(path, **headers)[0] == 403
    assert served.ask("/_dash-update-component", "POST", refresh_body(), **headers, **JSON)[0] == 403
    assert served.ask(statement, **headers, **NAVIGATION)[0] == 403


def test_own_pages_bookmarks_scripts_and_links_still_work(served: Served) -> None:
    own = {"Sec_Fetch_Site": "same-origin"}
    origin = {"Origin": f"http://127.0.0.1:{served.port}"}
    for headers in (own, {"Sec_Fetch_Site": "none"}, origin, {"Referer": origin["Origin"] + "/sql"}, {}):
        assert served.ask("/csv/sql/answer?q=SELECT%201", **headers)[0] == 200
        assert served.ask("/_dash-update-component", "POST", refresh_body(), **headers, **JSON)[0] == 200
    link = {"Sec_Fetch_Site": "cross-site", **NAVIGATION}
    assert served.ask("/findings?module=tam", **link)[0] == 200
    status, body, _ = served.ask("/sql?q=" + quote("SELECT '<b>'"), **link)
    assert status == 403 and b"<pre>SELECT &#x27;&lt;b&gt;&#x27;</pre>" in body
    assert b'href="/sql?q=SELECT%20%27%3Cb%3E%27"' in body


def test_a_token_travels_in_a_header_and_no_redirect_leads_elsewhere(storage: Path, tmp_path: Path) -> None:
    with serving(storage, tmp_path / "log", "--token", TOKEN) as served:
        assert served.ask("/csv/grid/grid")[0] == 401
        assert served.ask("/csv/grid/grid", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert served.ask("/csv/grid/grid", Authorization="Bearer \xff")[0] == 401
        assert served.ask("/", Cookie=f"actiongrid-token-{served.port}=\xe9")[0] == 401
        for path in ("/%0d%0aX:%20y", "//evil.example", "/%5cevil.example", "/%0a", "/\t"):
            asked = served.raw(f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            places = [line for line in asked.split(b"\r\n") if line.lower().startswith(b"location:")]
            assert asked[:10] in (b"HTTP/1.1 3", b"HTTP/1.1 4") and b"\r\nX: y" not in asked
            assert all(one.split(b" ", 1)[1][:1] == b"/" for one in places)
            assert not any(one.split(b" ", 1)[1].startswith((b"//", b"/\\")) for one in places)
        assert "Traceback" not in served.log.read_text()


def test_statements_without_end_leave_the_other_pages_alone_and_end_with_the_server(
    storage: Path, tmp_path: Path
) -> None:
    with serving(storage, tmp_path / "log") as served:
        endless = "SELECT sum(a.range * b.range + {}) FROM range(100000000) a, range(100000000) b"
        answers: list[int] = []

        def ask(number: int) -> None:
            with suppress(OSError):  # the server ends meanwhile
                answers.append(served.ask("/csv/sql/answer?q=" + quote(endless.format(number)))[0])

        pool = ThreadPoolExecutor(20)
        for number in range(20):
            pool.submit(ask, number)
        server = psutil.Process(served.process.pid)
        deadline = time.monotonic() + 30
        while len(server.children(recursive=True)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        began = time.monotonic()
        assert served.ask("/csv/grid/grid")[0] == 200
        assert time.monotonic() - began < 3 * slowness()
        running = server.children(recursive=True)
        assert 2 <= len(running) <= 4, "one keeps the catalog, three statements run"
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(timeout=30) == 0
        assert psutil.wait_procs(running, timeout=10)[1] == []
        pool.shutdown()
    assert "Traceback" not in served.log.read_text()


def test_ctrl_c_ends_it_with_clients_that_wait(storage: Path, tmp_path: Path) -> None:
    with serving(storage, tmp_path / "log") as served:
        with socket.create_connection(("127.0.0.1", served.port)):
            assert served.ask("/")[0] == 200
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait(timeout=30) == 0
        assert threading.active_count() >= 1 and served.log.read_text() == ""
