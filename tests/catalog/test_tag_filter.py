"""Tags and the filters that people write by hand: the same on all pages, in figures and in `results`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import TagSet
from catalog.queries.accuracies import accuracies_by_frames, accuracies_by_macs
from catalog.queries.cells import cells_to_choose, cells_with_words
from catalog.queries.filters import ALL, FilterError, Filters, written_filters
from catalog.queries.overview import (
    cells_with_results,
    explored_cells,
    filter_values,
    grid_positions,
    pivot_rows,
)
from catalog.queries.training import accuracies_by_hours
from dashboards.app.filter_bar import chosen_filters, shown_values
from dashboards.pages.request import Address, read_address
from tests.orchestrator.commands.test_cli import run
from tests.support.measured_cells import Cell, catalog_of

CELLS = [
    Cell(top1=10.0),
    Cell(module="tsn", top1=20.0),
    Cell("other", module="i3d", top1=30.0, recipe={"lr": 0.02}),
    Cell("third", module="i3d", top1=30.0, recipe={"lr": 0.02}),  # the same cell, in two studies
]
TAGS = [
    TagSet("cell", CELLS[0].id, "odd", True, "me", time=1.0),
    TagSet("study", "third", "spring", True, "me", time=1.0),
]
QUESTIONS: dict[str, Callable[[Catalog, Filters], Any]] = {
    "table": cells_with_results,
    "grid": grid_positions,
    "choice": cells_to_choose,
    "search": lambda catalog, filters: cells_with_words(catalog, filters, (), (), 10),
    "explore": explored_cells,
    "pivot": lambda catalog, filters: pivot_rows(catalog, "top1", filters),
    "frames": lambda catalog, filters: accuracies_by_frames(catalog, filters, "own"),
    "MACs": lambda catalog, filters: accuracies_by_macs(catalog, filters, "own"),
    "hours": accuracies_by_hours,
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return catalog_of(tmp_path_factory.mktemp("storage"), CELLS, *TAGS)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_filtered_by_tags(catalog: Catalog, name: str) -> None:
    def modules(*tags: str) -> set[str]:
        rows = QUESTIONS[name](catalog, Filters(tag=tags)).to_pylist()
        if not rows or "module" in rows[0]:
            return {row["module"] for row in rows}
        return {row["cell"].split("-")[0].lower() for row in rows}

    assert modules() == {"tam", "tsn", "i3d"}
    assert modules("odd") == {"tam"}
    assert modules("spring") == {"i3d"}
    assert modules("odd", "spring") == {"tam", "i3d"}
    assert modules("none") == set()


def test_a_tag_stands_in_the_address_and_in_the_bar(catalog: Catalog) -> None:
    filters = Filters(module=("tam",), tag=("odd", "spring"))
    address = Address("findings", filters, (("show", "pooling"),))
    assert address.search == "?module=tam&tag=odd,spring&show=pooling"
    assert read_address("/findings", address.search) == address
    assert address.tagged("new").href == "/explore?module=tam&tag=new"
    assert sorted(filter_values(catalog).to_pylist()[0]["tag"]) == ["odd", "spring"]
    assert chosen_filters(shown_values(filters)) == filters


def results(capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *words: object) -> Any:
    assert run(patch, "results", *words, "--format", "json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "modules"),
    [
        (("--filter", "study=own"), ["tam", "tsn"]),
        (("--filter", "study=other"), ["i3d"]),
        (("--filter", "study=third"), ["i3d"]),
        (("--filter", "study=third", "--all"), ["i3d"]),
        (("--filter", "module=tsn,i3d&frames=8"), ["i3d", "tsn"]),
        (("--filter", "tag=odd"), ["tam"]),
        (("--tag", "odd"), ["tam"]),
        (("--tag", "odd", "--filter", "tag=spring"), ["i3d", "tam"]),
        (("--filter", "state=failed"), []),
        (("--filter", "study=nobody"), []),
    ],
)
def test_results_are_filtered_as_pages_are(
    catalog: Catalog,
    options: tuple[str, ...],
    modules: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    storage = ("--storage", catalog.storage)
    rows = results(capsys, monkeypatch, *options, *storage)
    assert sorted(row["module"] for row in rows) == modules
    if "--all" not in options:
        table = results(capsys, monkeypatch, *options, "--pivot", "module×frames", *storage)
        assert sorted(str(row["module"]).lower() for row in table) == modules


def test_notes_are_of_the_results_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu, cpu = {"device": "NVIDIA H100", "bf16": True}, {"device": "CPU", "bf16": False}
    mixed = [
        Cell(finished={"hardware": gpu}),
        Cell(module="tsn", finished={"hardware": cpu}),
    ]
    storage = catalog_of(tmp_path, mixed, *TAGS).storage
    assert run(monkeypatch, "results", "--storage", storage) == 0
    assert "these results mix precisions" in capsys.readouterr().out
    for pivot in ((), ("--pivot", "module×frames")):
        assert run(monkeypatch, "results", "--tag", "odd", *pivot, "--storage", storage) == 0
        assert "these results mix precisions" not in capsys.readouterr().out
    assert run(monkeypatch, "results", "--filter", "tag=odd&module=tsn", "--storage", storage) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("no finished cell passes the filter module=tsn&tag=odd; all of them: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modul=tam", r"no such filter; 'modul'; allowed: .*; did you mean module\?"),
        ("module", "no value; filter module; say module=…"),
        ("tags=odd", r"no such filter; 'tags'; .*; did you mean tag\?"),
        ("show=pooling", "no such filter; 'show'"),
        ("frames=x", "'x' is no number; filter frames"),
    ],
)
def test_a_filter_that_is_none_is_refused(catalog: Catalog, text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        written_filters(text)


def test_filters_by_hand_are_those_of_an_address() -> None:
    assert written_filters("") == ALL == written_filters("?")
    assert written_filters("?module=tam&recipe.lr=0.01") == Filters(
        module=("tam",), other_axes=("recipe.lr=0.01",)
    )
