"""Notes, tags and saved views: from the terminal and the pages into the journal, SQL and the results."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from catalog import Catalog
from catalog.queries.annotations import saved_views
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.actions import ANNOTATION_ROUTE
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.pages.request import read_address
from orchestrator.commands.control import annotate
from tests.orchestrator.commands.test_cli import run
from tests.support.grid_events import DEMO, grid_events, key_of, write_quickly

CELL = "TAM-Tiny-f8@synthetic-motion"
KEY = key_of("demo", "tam", "tiny", False, "synthetic-motion", 0, 8)
SQL = "SELECT about, study, cell, key, {} FROM {} ORDER BY ALL"


class Terminal:
    """The command line on a finished study of 24 cells."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.storage, self._monkeypatch, self._capsys = folder, monkeypatch, capsys

    def says(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        assert run(self._monkeypatch, *arguments, "--storage", self.storage) == code
        said = self._capsys.readouterr()
        return said.out if code == 0 else said.err

    def ask(self, sql: str) -> list[dict[str, Any]]:
        with Catalog.open(self.storage) as catalog:
            rows: list[dict[str, Any]] = catalog.query(sql).to_pylist()
            return rows

    def cells_with(self, *tags: str) -> list[str]:
        options = [word for tag in tags for word in ("--tag", tag)]
        return sorted(row["cell"] for row in json.loads(self.says("results", "--format", "json", *options)))


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    write_quickly(tmp_path, grid_events(DEMO))
    return Terminal(tmp_path, monkeypatch, capsys)


def client(folder: Path, *, writes: bool = True, token: str | None = None) -> FlaskClient:
    storage = FolderStorage(folder)
    live = LiveCatalog(storage, acts=writes)
    written = partial(annotate, storage=storage) if writes else None
    return build_app(live, Access("127.0.0.1", token), 1.0, None, written).server.test_client()


def post(app: FlaskClient, what: str, about: str, text: str, **headers: str) -> tuple[int, str]:
    asked = {"what": what, "about": about, "text": text}
    answer = app.post(ANNOTATION_ROUTE, json=asked, headers={"Host": "localhost", **headers})
    return answer.status_code, answer.text


def page(folder: Path, name: str, search: str, *, acts: bool = True) -> str:
    live = LiveCatalog(FolderStorage(folder), acts=acts)
    live.refresh()
    blocks = page_blocks(live, read_address(name, search), "light")
    return "".join(block.component("").to_plotly_json().__repr__() for block in blocks)


def test_notes_and_tags_are_written_shown_and_removed_and_change_no_key(terminal: Terminal) -> None:
    keys = terminal.ask("SELECT key, state FROM cells ORDER BY key")
    assert terminal.says("note", CELL, "odd loss, look again").strip() == f"noted about {CELL}"
    assert terminal.says("note", "demo", "for the poster").strip() == "noted about study demo"
    terminal.says("tag", KEY[:10], "odd", "poster")
    terminal.says("tag", "demo", "spring")
    shown = terminal.says("note", CELL).splitlines()
    assert shown[0] == f"{CELL}: odd, poster" and shown[1].endswith(": odd loss, look again")
    assert terminal.ask(SQL.format("text", "notes")) == [
        {"about": "cell", "study": "demo", "cell": CELL, "key": KEY, "text": "odd loss, look again"},
        {"about": "study", "study": "demo", "cell": None, "key": None, "text": "for the poster"},
    ]
    assert [(row["about"], row["key"], row["tag"]) for row in terminal.ask(SQL.format("tag", "tags"))] == [
        ("cell", KEY, "odd"),
        ("cell", KEY, "poster"),
        ("study", None, "spring"),
    ]
    with Catalog.open(terminal.storage) as catalog:
        assert sorted(catalog.tags(key=KEY).column("tag").to_pylist()) == ["odd", "poster"]
        assert catalog.notes(about="study").column("text").to_pylist() == ["for the poster"]
    said = terminal.says("explain", CELL)
    assert "  tags: odd, poster" in said and ": odd loss, look again" in said
    terminal.says("tag", CELL, "odd", "--remove")
    terminal.says("note", CELL, "--remove", shown[1].split()[0])
    assert terminal.says("tag", CELL).splitlines() == [f"{CELL}: poster"]
    terminal.says("tag", CELL, "odd")
    assert terminal.says("tag", CELL).splitlines() == [f"{CELL}: odd, poster"], "the later word holds"
    assert terminal.ask("SELECT key, state FROM cells ORDER BY key") == keys


def test_results_show_the_cells_with_a_tag_their_own_or_their_studys(terminal: Terminal) -> None:
    other = "TSN-Tiny-tp-f16@synthetic-motion"
    storage = FolderStorage(terminal.storage)
    annotate("tag", CELL, "odd", storage)
    annotate("tag", other, "poster", storage)
    assert terminal.cells_with("odd") == [CELL]
    assert terminal.cells_with("odd", "poster") == sorted([CELL, other])
    assert terminal.cells_with("nobody") == []
    pivot = terminal.says("results", "--pivot", "module×frames", "--tag", "odd")
    assert "tam" in pivot.lower() and "tsn" not in pivot.lower()
    assert "cell_tags" in terminal.says("results", "--sql", "FROM results", "--tag", "odd", code=2)
    annotate("tag", "demo", "spring", storage)
    assert len(terminal.cells_with("spring")) == 32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("note", "nothing", "x"), "no such study or cell; nothing"),
        (("note", CELL, "  "), "1 to 2000 printable characters"),
        (("note", CELL, "a\x1b[2Jb"), "1 to 2000 printable characters"),
        (("note", CELL, "--remove", "ab"), "no such note; ab"),
        (("note", "", "x"), "cells; "),
        (("tag", CELL, "two words"), "1 to 40 letters"),
        (("tag", CELL, "a,b"), "1 to 40 letters"),
        (("tag", CELL, "odd", "--remove"), "no such tag; odd"),
        (("tag", CELL, "--remove"), "needs the tags"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is(
    terminal: Terminal, arguments: tuple[str, ...], says: str
) -> None:
    assert says in terminal.says(*arguments, code=2)
    assert terminal.ask("SELECT about FROM notes UNION ALL SELECT about FROM tags") == []


def test_a_clock_that_is_set_back_undoes_no_later_word(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    terminal.says("tag", CELL, "odd")
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.0)
    terminal.says("tag", CELL, "odd", "--remove")
    assert terminal.says("tag", CELL).strip() == f"{CELL}: no tags"


def test_pages_write_with_the_rights_of_commands(terminal: Terminal) -> None:
    app = client(terminal.storage)
    assert post(app, "tag", KEY, "odd new") == (200, f"tagged {CELL}: odd, new\n")
    assert post(app, "note", KEY, "<b>look</b>")[0] == 200
    assert post(app, "untag", KEY, "new")[0] == 200
    shown = page(terminal.storage, "cell", f"key={KEY}")
    assert "take the tag odd away" in shown and "<b>look</b>" in shown and "add this note" in shown
    read_only = page(terminal.storage, "cell", f"key={KEY}", acts=False)
    assert "<b>look</b>" in read_only and "data-annotate" not in read_only
    (row,) = terminal.ask("SELECT note, who FROM notes")
    assert "@" in row["who"]
    assert post(app, "forget", KEY, row["note"])[0] == 200
    assert terminal.ask("FROM notes") == []
    assert post(app, "untag", KEY, "new")[0] == 409
    assert post(app, "burn", KEY, "x")[0] == 400
    assert post(app, "tag", "", "x")[0] == 400
    assert app.post(ANNOTATION_ROUTE, json={"what": "tag"}, headers={"Host": "localhost"}).status_code == 400
    for odd in (["tag"], {"tag": 1}, None, 3):
        for field in ("what", "about", "text"):
            body = {"what": "tag", "about": KEY, "text": "x", field: odd}
            assert app.post(ANNOTATION_ROUTE, json=body, headers={"Host": "localhost"}).status_code == 400
    evil = {"Origin": "http://evil.example"}
    assert post(app, "tag", KEY, "x", **evil)[0] == 403
    assert post(client(terminal.storage, token="0123456789abcdef"), "tag", KEY, "x")[0] == 401
    assert post(client(terminal.storage, writes=False), "tag", KEY, "x")[0] == 405


def test_a_view_has_a_name_until_it_is_taken_away(terminal: Terminal) -> None:
    app = client(terminal.storage)
    assert post(app, "save", "the poster's", "?by=module&module=tam")[0] == 200
    assert post(app, "save", "the poster's", "?by=module,frames")[0] == 200
    with Catalog.open(terminal.storage) as catalog:
        (row,) = saved_views(catalog).to_pylist()
    assert (row["view"], row["search"]) == ("the poster's", "?by=module,frames")
    assert "'/explore?by=module,frames'" in page(terminal.storage, "explore", "")
    assert post(app, "save", " ", "")[0] == 409
    assert post(app, "unsave", "another", "")[0] == 409
    assert post(app, "unsave", "the poster's", "")[0] == 200
    assert terminal.ask("FROM saved_views") == []
