"""Who may look, and what addresses mean: without a browser."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as some
from werkzeug.test import Client

from catalog.queries.filters import STATES, Filters
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access, AccessError, is_loopback, require_safe
from dashboards.app.app import build_app
from dashboards.app.live import STATEMENTS_CACHED, LiveCatalog, _Statement, page_blocks
from dashboards.pages.request import Address, read_address
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.windows import running

TOKEN = "0123456789abcdef-é"


def client(storage: Path, access: Access) -> Client:
    live = LiveCatalog(FolderStorage(storage))
    live.refresh()
    server: flask.Flask = build_app(live, access, 1.0).server
    return Client(server)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client(tmp_path_factory.mktemp("empty"), Access("127.0.0.1"))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", "dashboard", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.0.2", "LOCALHOST"])
def test_this_machines_names_are_answered(local: Client, host: str) -> None:
    answer = local.get("/", headers={"Host": f"{host}:8050"})
    assert answer.status_code == 200 and "ActionGrid" in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8050",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8050",
        "10.0.0.1",
    ],
)
@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/csv/grid/grid", "/assets/app.js"])
def test_a_site_that_was_bound_to_this_machine_is_refused(local: Client, host: str, path: str) -> None:
    answer = local.get(path, headers={"Host": host})
    assert answer.status_code == 403 and "ActionGrid" not in answer.text


def test_a_token_is_asked_for_everywhere_and_taken_once(tmp_path: Path) -> None:
    browser = client(tmp_path, Access("0.0.0.0", TOKEN))
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/assets/app.js", "/csv/grid/grid"):
        assert browser.get(path).status_code == 401
    assert browser.post("/_dash-update-component", json={}).status_code == 401
    for wrong in ("x" * 16, TOKEN + "x", TOKEN[:-1], ""):
        assert browser.get("/", query_string={"token": wrong}).status_code == 401
    answer = browser.get(
        "/",
        query_string={"token": TOKEN, "show": "state"},
        environ_overrides={"PATH_INFO": "//evil.example/cell"},
    )
    assert answer.status_code == 302 and answer.headers["Location"] == "/evil.example/cell?show=state"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert browser.get("/").status_code == 200 and browser.get("/_dash-layout").status_code == 200


def test_answers_tell_the_browser_to_load_nothing_from_elsewhere(local: Client) -> None:
    answer = local.get("/")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_an_open_door_needs_a_token(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(AccessError, match="refusing to listen beyond this machine without a token"):
        require_safe(Access(host))
    require_safe(Access(host, TOKEN))


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    done = run("--host", "0.0.0.0", "--storage", str(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"error: refusing to listen .*; --host 0\.0\.0\.0; give --token.*\n", done.stderr)
    done = run("--token", "short", "--storage", str(tmp_path))
    assert done.returncode == 2 and "token is too short" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--port", str(taken.getsockname()[1]), "--storage", str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"error: cannot listen .*; --host 127\.0\.0\.1 --port .*\n", done.stderr)


def test_ctrl_c_ends_it_and_the_storage_stays_as_it_was(tmp_path: Path) -> None:
    with running(tmp_path / "storage", "--wait") as dashboard:
        assert dashboard.stop() == 0
    assert not (tmp_path / "storage").exists()


def test_data_can_be_had_as_csv_with_the_filters_of_the_address(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    browser = client(tmp_path, Access("127.0.0.1"))
    answer = browser.get("/csv/grid/grid?module=tam&frames=8", headers={"Host": "localhost"})
    lines = answer.text.splitlines()
    assert answer.mimetype == "text/csv" and len(lines) == 1 + 4
    assert all(line.startswith("tam,tiny") for line in lines[1:])
    assert browser.get("/csv/grid/choices", headers={"Host": "localhost"}).status_code == 404
    assert browser.get("/csv/grid/grid?frames=x", headers={"Host": "localhost"}).status_code == 400


names = some.text("abc-_é &=,+#/%?", min_size=1, max_size=8)


@given(
    some.builds(
        Filters,
        module=some.lists(names, max_size=2, unique=True).map(tuple),
        temporal_pooling=some.sampled_from([(), (True,), (False, True)]),
        frames=some.lists(some.integers(0, 128), max_size=2, unique=True).map(tuple),
        study=some.lists(names, max_size=2, unique=True).map(tuple),
        state=some.lists(some.sampled_from(STATES), max_size=2, unique=True).map(tuple),
    ),
    some.dictionaries(some.sampled_from(["show", "q", "cells", "key"]), names, max_size=3),
)
def test_an_address_reopens_the_same_view(filters: Filters, choices: dict[str, str]) -> None:
    address = Address("cell", filters, tuple(sorted(choices.items())))
    path, _, search = address.href.partition("?")
    assert read_address(path, f"?{search}") == address


def test_the_journals_are_read_once_a_second_and_answers_made_once(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    live = LiveCatalog(FolderStorage(tmp_path), pause=0.5)
    first = live.refresh()
    assert first == 1
    write_quickly(tmp_path, grid_events(DEMO), "driver-2")
    assert {live.refresh() for _ in range(20)} == {first}
    time.sleep(0.6)
    made: list[int] = []
    barrier = threading.Barrier(8)

    def make() -> int:
        made.append(1)
        time.sleep(0.2)
        return len(made)

    def ask(_: int) -> int:
        barrier.wait()
        return live.cached("question", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {1}
    assert live.refresh() == first + 1
    assert live.cached("question", make) == 2


def test_few_answers_to_statements_are_kept(tmp_path: Path) -> None:
    live = LiveCatalog(FolderStorage(tmp_path))
    try:
        for number in range(12):
            page_blocks(live, read_address("/sql", f"?q=SELECT {number} AS n"), "light")
        assert sum(isinstance(name, _Statement) for _, name in live._answers) == STATEMENTS_CACHED
    finally:
        live.close()


def test_a_failed_answer_is_not_cached(tmp_path: Path) -> None:
    live = LiveCatalog(FolderStorage(tmp_path))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            live.cached("question", lambda: 1 // 0)
    assert live.cached("question", lambda: 1) == 1


def test_a_journal_that_cannot_be_read_is_said_and_the_last_state_stays(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    live = LiveCatalog(FolderStorage(tmp_path), pause=0)
    live.refresh()
    journal = tmp_path / "journal" / "driver-1.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) // 2])
    live.refresh()
    assert live.trouble is not None and "journal became shorter" in live.trouble
    assert live.catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py() == 32
    journal.write_bytes(whole)
    live.refresh()
    assert live.trouble is None
