"""Fuzzing of every address of the dashboard: one answer, never a fault of the program, never a long wait.

`make fuzz` runs it for minutes; what it has found is kept as `SEEDS` and `HEADERS`.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import flask
import pytest
from hypothesis import strategies as some
from werkzeug.test import Client

from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.app import build_app
from dashboards.app.filter_bar import NAMES
from dashboards.app.live import PAGES, LiveCatalog
from orchestrator.commands.control import annotate, give
from tests.support.fuzzing import fuzz
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.slowness import slowness

EXAMPLES = 60
LONGEST = 5.0
"""Seconds, beside a statement's own limit."""

SEEDS = [
    "/csv/grid/grid?module=%00",
    "/csv/cell/curves?key=%ff%fe",
    "/strip/%00/%ff%fe/0",
    "/clip/a/b/99999999999999999999",
    "/csv/compare/cells?cells=" + "a," * 2000,
    "/csv/findings/x?show=%0a&source=own",
    "/ahead//?a",
    "/ahead/auto/..%2f?frames=9999999999999999999",
    "/csv/grid/grid?seed=-1",
    "/csv/grid/grid?frames=²",
    "/_dash-component-suites/dash/..%2f..%2fetc%2fpasswd",
    "/_dash-component-suites/plotly/package_data/none.js",
    "/assets/%00",
    "//evil.example/",
    "////\x80",
    "/%0d%0a?q=1",
    "/sql?q=" + "(" * 3000,
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    storage = FolderStorage(tmp_path_factory.mktemp("storage"))
    write_quickly(storage.root, grid_events(DEMO))
    live = LiveCatalog(storage)
    live.refresh()
    told, written = partial(give, storage=storage), partial(annotate, storage=storage)
    server: flask.Flask = build_app(live, Access("127.0.0.1"), 1.0, told, written).server
    yield Client(server)
    live.close()


def answered(client: Client, path: str, method: str = "GET", **rest: Any) -> int:
    """The status of the answer, which is none of a fault and comes soon."""
    began = time.monotonic()
    headers = {"Host": "localhost", **rest.pop("headers", {})}
    base, _, query = path.partition("?")
    # As a server hands it on: the client itself would take //name for a host.
    place = {"PATH_INFO": unquote_to_bytes(base or "/").decode("latin-1")}
    answer = client.open(
        "/", method=method, query_string=query, headers=headers, environ_overrides=place, **rest
    )
    assert answer.status_code < 500, (answer.status_code, answer.data[:300])
    assert b"Traceback" not in answer.data
    assert time.monotonic() - began < LONGEST * slowness()
    return answer.status_code


texts = some.one_of(
    some.text(max_size=20),
    some.sampled_from(
        ["", "tam", "8", "yes", "own", "both", "-1", "9" * 30, "%00", "../", "'", '"', "\u202e", "a,b"]
    ),
)
names = some.one_of(
    some.sampled_from(
        [
            "module",
            "frames",
            "seed",
            "temporal_pooling",
            "state",
            "study",
            "dataset",
            "show",
            "source",
            "key",
            "name",
            "cells",
            "x",
            "token",
            "colour",
            "as",
            "checkpoint",
            "metric",
            "axes",
            "by",
            "tag",
        ]
    ),
    texts,
)
queries = some.lists(some.tuples(names, texts), max_size=8).map(
    lambda ps: "&".join(f"{n}={v}" for n, v in ps)
)
blocks = some.sampled_from(
    ["grid", "counts", "choices", "curves", "attempts", "answer", "names", "cost", "confusion", "groups"]
)
paths = some.one_of(
    some.tuples(some.just("csv"), some.sampled_from([*PAGES]), some.one_of(blocks, texts)),
    some.tuples(
        some.just("ahead"), some.sampled_from(["light", "dark", "auto", "x"]), some.sampled_from([*PAGES])
    ),
    some.lists(texts, max_size=4).map(tuple),
    some.tuples(
        some.sampled_from(["assets", "_dash-component-suites", "_favicon.ico", "_reload-hash"]), texts, texts
    ),
).map(lambda parts: "/" + "/".join(parts))


def test_every_address_is_answered(client: Client) -> None:
    def check(path: str, query: str, method: str) -> None:
        if "q=" not in query:  # statements have tests of their own
            answered(client, f"{path.replace('?', '%3F')}?{query}", method)

    methods = some.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"])
    fuzz(check, paths, queries, methods, examples=EXAMPLES)


@pytest.mark.parametrize("path", SEEDS)
def test_what_fuzzing_has_found_stays_answered(client: Client, path: str) -> None:
    answered(client, path)


header_texts = some.text(
    some.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
)
headers_ = some.dictionaries(
    some.sampled_from(
        ["Origin", "Referer", "Sec-Fetch-Site", "Cookie", "Authorization", "Accept", "If-None-Match"]
    )
    | some.sampled_from(["Range", "If-Modified-Since", "X-Forwarded-Host", "Content-Type", "Sec-Fetch-Mode"]),
    header_texts,
    max_size=4,
)


pages = some.sampled_from(["/", "/csv/grid/grid", "/assets/app.js", "/_dash-layout", "/_dash-dependencies"])
HEADERS = [{"Origin": "http://[::1"}, {"Host": "a b"}, {"Host": "[::1"}]


def test_every_header_is_answered(client: Client) -> None:
    def check(path: str, headers: dict[str, str]) -> None:
        answered(client, path, headers=headers)

    fuzz(check, pages, headers_, examples=EXAMPLES)


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_headers_that_fuzzing_has_found_stay_answered(client: Client, headers: dict[str, str]) -> None:
    answered(client, "/", headers=headers)


def callback_bodies() -> list[dict[str, Any]]:
    def one(name: Any, prop: str, value: Any) -> dict[str, Any]:
        return {"id": name, "property": prop, "value": value}

    def both(name: Any, prop: str) -> dict[str, Any]:
        return {"id": name, "property": prop}

    bars = [{"kind": "filter", "name": name} for name in NAMES]
    cells = {"kind": "cells", "name": "cell-choice"}
    address = [one("address", "pathname", "/"), one("address", "search", "?module=tam")]
    bar = '{"kind":"filter","name":["ALL"]}'
    return [
        {
            "output": "..revision.data...trouble.children..",
            "outputs": [both("revision", "data"), both("trouble", "children")],
            "inputs": [one("clock", "n_intervals", 1)],
            "changedPropIds": ["clock.n_intervals"],
            "state": [one("revision", "data", 0), one("trouble", "children", None)],
        },
        {
            "output": "..page.children...navigation.children...digests.data..",
            "outputs": [both("page", "children"), both("navigation", "children"), both("digests", "data")],
            "inputs": [*address, one("theme", "data", "light"), one("again", "data", 0)],
            "changedPropIds": ["address.search"],
        },
        {
            "output": f"..{bar}.options...{bar}.value...filters-count.children..",
            "outputs": [
                [both(name, "options") for name in bars],
                [both(name, "value") for name in bars],
                both("filters-count", "children"),
            ],
            "inputs": [[one(name, "value", []) for name in bars], address[1], one("revision", "data", 1)],
            "changedPropIds": ['{"kind":"filter","name":"module"}.value'],
            "state": [address[0], [one(name, "options", []) for name in bars]],
        },
        {
            "output": '{"kind":"cells","name":["MATCH"]}.options',
            "outputs": both(cells, "options"),
            "inputs": [one(cells, "search_value", "t")],
            "changedPropIds": ['{"kind":"cells","name":"cell-choice"}.search_value'],
            "state": [one(cells, "value", None), *address],
        },
    ]


BODIES = callback_bodies()
scalars = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), texts, some.just(2**70), some.just("\ud800")
)
values = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


def spots(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something in a body can be replaced."""
    for name in body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ():
        yield (*path, name)
        yield from spots(body[name], (*path, name))


@some.composite
def changed_bodies(draw: some.DrawFn) -> bytes:
    """A body of the pages with one to three things replaced or left out."""
    body = copy.deepcopy(draw(some.sampled_from(BODIES)))
    for _ in range(draw(some.integers(1, 3))):
        *way, last = draw(some.sampled_from([*spots(body)]))
        place = body
        for step in way:
            place = place[step]
        if draw(some.booleans()) or not isinstance(place, dict):
            place[last] = draw(values)
        else:
            del place[last]
        if not [*spots(body)]:
            break
    return json.dumps(body).encode(errors="surrogatepass")


@pytest.mark.parametrize("body", BODIES, ids=lambda body: str(body["output"])[:30])
def test_the_bodies_that_are_changed_are_those_of_the_pages(client: Client, body: dict[str, Any]) -> None:
    assert answered(client, "/_dash-update-component", "POST", json=body) == 200


def test_every_callback_body_is_answered(client: Client) -> None:
    def check(body: bytes) -> None:
        answered(client, "/_dash-update-component", "POST", data=body, content_type="application/json")

    anything = some.binary(max_size=200) | values.map(lambda one: json.dumps(one).encode())
    fuzz(check, changed_bodies() | anything, examples=EXAMPLES)


words = some.sampled_from(["pause", "retry", "demo", "*", "note", "tag", "save", "k", "/grid"]) | scalars
posted = some.dictionaries(some.sampled_from(["action", "study", "cells", "what", "about", "text"]), words)
orders = some.tuples(words, words, words).map(
    lambda given: dict(zip(["action", "study", "cells"], given, strict=True))
)
remarks = some.tuples(words, words, words).map(
    lambda given: dict(zip(["what", "about", "text"], given, strict=True))
)


def test_every_command_and_note_is_answered(client: Client) -> None:
    def check(path: str, body: object) -> None:
        data = json.dumps(body).encode(errors="surrogatepass")
        answered(client, path, "POST", data=data, content_type="application/json")

    fuzz(
        check, some.sampled_from(["/act", "/annotate"]), orders | remarks | posted | values, examples=EXAMPLES
    )


def test_a_page_with_another_number_of_filters_is_refused(client: Client) -> None:
    body = copy.deepcopy(BODIES[2])
    assert answered(client, "/_dash-update-component", "POST", json=body) == 200
    body["inputs"][0].pop()
    assert answered(client, "/_dash-update-component", "POST", json=body) == 400
