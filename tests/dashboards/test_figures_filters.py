from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import Catalog
from catalog.queries.accuracies import accuracies_by_frames, contributions, temporal_pooling_gains
from catalog.queries.filters import (
    ALL,
    STATES,
    FilterError,
    Filters,
    from_query_string,
    rows_of,
    to_query_string,
)
from catalog.queries.overview import grid_positions
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly

NAMES = st.lists(st.text(min_size=1, max_size=12), max_size=3, unique=True).map(tuple)
NUMBERS = st.lists(st.integers(0, 10**12), max_size=3, unique=True).map(tuple)


@given(
    st.builds(
        Filters,
        module=NAMES,
        backbone=NAMES,
        temporal_pooling=st.sampled_from([(), (True,), (False,), (False, True)]),
        frames=NUMBERS,
        dataset=NAMES,
        study=NAMES,
        seed=NUMBERS,
        state=st.lists(st.sampled_from(STATES), unique=True).map(tuple),
    )
)
def test_an_address_reopens_the_same_view(filters: Filters) -> None:
    text = to_query_string(filters)
    assert from_query_string(text) == filters == from_query_string(f"?page=grid&{text}")
    assert not set(text) & set(" #?/<>\"'")


def test_an_address_can_be_read() -> None:
    filters = Filters(module=("tam", "i3d"), temporal_pooling=(False,), frames=(8,), state=("done",))
    assert to_query_string(filters) == "module=tam,i3d&temporal_pooling=no&frames=8&state=done"
    assert from_query_string("") == ALL == from_query_string("cell=abc&zoom=3")
    assert from_query_string("seed=1,1,2") == Filters(seed=(1, 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frames=eight", "filter frames; use digits"),
        ("seed=-1", "filter seed"),
        ("seed=" + "9" * 30, "filter seed"),
        ("temporal_pooling=maybe", "use yes or no"),
        ("state=lost", "use one of planned, running"),
    ],
)
def test_nonsense_is_named(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        from_query_string(text)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    storage = tmp_path_factory.mktemp("storage")
    write_quickly(storage, grid_events(Grid(datasets=("mini-ssv2",), seeds=(0, 1))), "driver-1")
    write_quickly(storage, grid_events(DEMO), "driver-2")
    return Catalog.open(storage)


def test_a_condition_names_only_what_is_filtered(catalog: Catalog) -> None:
    where = Filters(module=("tam",), frames=(8, 16)).where(("module", "frames", "seed"))
    rows = catalog.query(f"SELECT module, frames FROM cells WHERE {where.sql}", where.params).to_pylist()
    everything = catalog.query("SELECT module, frames FROM cells").to_pylist()
    assert rows and len(rows) == sum(row["module"] == "tam" and row["frames"] <= 16 for row in everything)
    assert ALL.where(("module",)).sql == "TRUE"


def test_values_cannot_become_sql(catalog: Catalog) -> None:
    evil = "tam') OR TRUE --"
    assert accuracies_by_frames(catalog, Filters(module=(evil,))).num_rows == 0


def test_one_seed_alone_is_no_mean(catalog: Catalog) -> None:
    one = accuracies_by_frames(catalog, Filters(study=("deep-analysis",), seed=(1,)), "own").to_pylist()
    assert {row["seeds"] for row in one} == {1} and len(one) == 96
    singles = catalog.query("SELECT cell, top1 FROM results WHERE seed = 1 AND study = 'deep-analysis'")
    assert {row["cell"]: row["top1"] for row in one} == {
        row["cell"]: row["top1"] for row in singles.to_pylist()
    }


def test_sources_are_kept_apart(catalog: Catalog) -> None:
    def sources(source: str, **filters: tuple[str, ...]) -> dict[str, int]:
        rows = accuracies_by_frames(catalog, Filters(**filters), source).to_pylist()  # type: ignore[arg-type]
        return {name: sum(row["source"] == name for row in rows) for name in ("own", "published")}

    assert sources("own") == {"own": 128, "published": 0}
    assert sources("published") == {"own": 0, "published": 288}
    # Published results stand beside one's own of the same data set and module only.
    assert sources("both") == {"own": 128, "published": 96}
    assert sources("both", study=("demo",)) == {"own": 32, "published": 0}
    assert sources("both", module=("tam",), dataset=("mini-ssv2",)) == {"own": 24, "published": 24}


def test_a_filter_on_modules_keeps_what_they_are_compared_with(catalog: Catalog) -> None:
    only = contributions(catalog, Filters(module=("tam",)), "own").to_pylist()
    every = contributions(catalog, ALL, "own").to_pylist()
    expected = [row for row in every if row["module"] == "tam"]
    for row, other in zip(only, expected, strict=True):
        # Sums of several threads differ in the last bit.
        assert row == {name: pytest.approx(value) for name, value in other.items()} and row["n"] > 0
    pooled = temporal_pooling_gains(catalog, Filters(temporal_pooling=(True,)), "own")
    assert pooled.num_rows == temporal_pooling_gains(catalog, ALL, "own").num_rows > 0


def test_the_grid_filters_by_state_and_seed(catalog: Catalog) -> None:
    assert grid_positions(catalog, Filters(state=("failed",))).num_rows == 0
    rows = grid_positions(catalog, Filters(seed=(1,))).to_pylist()
    assert {row["cells"] for row in rows} == {1} and len(rows) == 96


def test_any_view_can_be_filtered_by_the_columns_it_has(catalog: Catalog) -> None:
    every = catalog.query("SELECT cell, seed, frames FROM results").to_pylist()
    filters = Filters(seed=(1,), frames=(8, 16), state=("done",))
    rows = rows_of(catalog, "results", filters, order_by=("cell",)).to_pylist()
    expected = [row["cell"] for row in every if row["seed"] == 1 and row["frames"] <= 16]
    assert [row["cell"] for row in rows] == sorted(expected) and rows
    assert rows_of(catalog, "quarantined", filters).num_rows == 0
    with pytest.raises(ValueError, match="not the name of a view or column; results; DROP"):
        rows_of(catalog, "results; DROP")
