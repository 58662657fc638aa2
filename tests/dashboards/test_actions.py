"""Commands from a page reach a living driver; what no page sends is refused; a read-only app takes none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from plotly.io.json import to_json_plotly

from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.actions import ACTION_ROUTE
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.pages.blocks import ACTIONS
from dashboards.pages.request import read_address
from orchestrator.commands.control import give
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_run import CellState
from tests.orchestrator.commands.test_control_commands import journal_plan
from tests.support.driver_bench import Bench

TOKEN = "0123456789abcdef"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    journal_plan(bench)
    with bench.presence:
        yield bench


def client(bench: Bench, *, acts: bool = True, token: str | None = None) -> FlaskClient:
    storage = FolderStorage(bench.layout.root)
    live = LiveCatalog(storage, acts=acts)
    commands = partial(give, storage=storage) if acts else None
    return build_app(live, Access("127.0.0.1", token), 1.0, commands).server.test_client()


def post(app: FlaskClient, headers: dict[str, str] | None = None, **body: Any) -> tuple[int, str]:
    asked = {"action": "pause", "study": "toy", "cells": "*", **body}
    answer = app.post(ACTION_ROUTE, json=asked, headers={"Host": "localhost", **(headers or {})})
    return answer.status_code, answer.text


def test_a_command_from_a_page_is_obeyed(bench: Bench) -> None:
    app = client(bench)
    status, said = post(app, cells="TSN-*")
    assert status == 200 and said.startswith("pause: 2 of 4 cells of toy; told ")
    bench.clock += 3
    bench.driver.poll()
    assert bench.names(CellState.PAUSED) == {"TSN-Tiny-f8@synthetic-motion", "TSN-Tiny-f16@synthetic-motion"}
    assert post(app, action="resume")[0] == 200
    bench.clock += 3
    bench.driver.poll()
    assert not bench.names(CellState.PAUSED)


def test_a_failed_cell_is_tried_again_from_its_page(bench: Bench) -> None:
    app = client(bench)
    status, said = post(app, action="retry")
    assert status == 409 and "no cell of study toy that matches has failed" in said
    request = fail(bench)
    page = blocks_of("cell", bench, name=request.cell)
    assert page.count("data-act") == 1 and "retry" in page
    first = blocks_of("", bench)
    assert f"retry {request.cell}" in first and "retry all failed cells of toy" in first
    assert "data-act" not in blocks_of("cell", bench, acts=False, name=request.cell)
    status, said = post(app, action="retry", cells=request.cell)
    assert status == 200 and said.startswith("retry: 1 of 4 cells of toy; told ")
    bench.clock += 3
    bench.driver.poll()
    assert not bench.names(CellState.FAILED)
    again = next(one for one in (bench.next(), bench.next()) if one.cell == request.cell)
    assert again.attempt == request.attempt + 1


def fail(bench: Bench) -> TrialRequest:
    request = bench.next()
    bench.driver.trial_ended(request, "[failure: mismatch] ParentMismatchError: parent measures 10 %")
    return request


def blocks_of(page: str, bench: Bench, *, acts: bool = True, **parameters: str) -> str:
    """What a page's blocks are made of, as JSON."""
    live = LiveCatalog(FolderStorage(bench.layout.root), acts=acts)
    live.refresh()
    address = read_address(page, urlencode(parameters))
    return "".join(to_json_plotly(block.component("")) for block in page_blocks(live, address, "light"))


def test_what_cannot_be_done_is_said(bench: Bench) -> None:
    app = client(bench)
    assert post(app, study="other") == (409, "no such study; other; this storage has toy\n")
    status, said = post(app, cells="X*")
    assert status == 409 and "no cell matches" in said
    bench.presence.__exit__(None, None, None)
    status, said = post(app)
    assert status == 409 and "no driver works on study toy" in said and "actiongrid run" in said


@pytest.mark.parametrize(
    "body",
    [
        {"action": "delete"},
        {"action": ["pause"]},
        {"study": ""},
        {"study": "a\nb"},
        {"cells": "x" * 2000},
        {"more": 1},
    ],
)
def test_what_no_page_sends_is_refused(bench: Bench, body: dict[str, Any]) -> None:
    before = sorted(path.name for path in bench.layout.root.rglob("*"))
    assert post(client(bench), **body)[0] == 400
    assert sorted(path.name for path in bench.layout.root.rglob("*")) == before


def test_other_sites_forms_and_strangers_command_nothing(bench: Bench) -> None:
    app = client(bench)
    assert post(app, {"Origin": "http://evil.example"})[0] == 403
    assert post(app, {"Sec-Fetch-Site": "cross-site"})[0] == 403
    form = app.post(ACTION_ROUTE, data=json.dumps({"action": "pause"}), headers={"Host": "localhost"})
    assert form.status_code == 400
    assert app.get(ACTION_ROUTE, headers={"Host": "localhost"}).status_code in (404, 405)
    guarded = client(bench, token=TOKEN)
    assert post(guarded)[0] == 401
    assert post(guarded, {"Authorization": f"Bearer {TOKEN}"})[0] == 200


def test_a_dashboard_that_only_reads_has_no_such_address(bench: Bench) -> None:
    app = client(bench, acts=False)
    assert post(app)[0] == 405
    assert ACTIONS == ("pause", "resume", "cancel", "retry")
