from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from catalog import Catalog
from catalog.export import FORMATS, export, in_seconds
from catalog.queries.overview import short_results
from tests.support.grid_events import DEMO, grid_events, write_quickly

COLUMNS = (
    "cell",
    "key",
    "study",
    "module",
    "backbone",
    "temporal_pooling",
    "frames",
    "dataset",
    "seed",
    "top1",
    "top5",
    "loss",
    "best_top1",
    "best_epoch",
    "epochs",
    "params",
    "macs",
    "eval_videos",
    "train_seconds",
    "train_clips_per_second",
    "eval_clips_per_second",
    "parent_key",
    "published_top1",
    "difference",
)

TRICKY = pa.table(
    {
        "na_me": ["a|b & 50%", "two\nlines", None],
        "value": [1.5, float("nan"), 0.0012],
        "count": [1, None, 3],
        "flag": [True, False, None],
    }
)


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    write_quickly(tmp_path, grid_events(DEMO))
    return Catalog.open(tmp_path).query(f"SELECT {', '.join(COLUMNS)} FROM results ORDER BY cell")


def test_json_has_the_promised_fields(table: pa.Table) -> None:
    rows = json.loads(export(table, "json"))
    assert len(rows) == 32 and list(rows[0]) == list(COLUMNS)
    assert rows == table.to_pylist()
    assert isinstance(rows[0]["temporal_pooling"], bool) and isinstance(rows[0]["macs"], int)


def test_csv_and_parquet_hold_all_digits(table: pa.Table) -> None:
    rows = list(csv.DictReader(io.StringIO(export(table, "csv").decode())))
    assert [float(row["top1"]) for row in rows] == table.column("top1").to_pylist()
    assert parquet.read_table(io.BytesIO(export(table, "parquet"))).equals(table)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_bears_odd_and_missing_values(form: str) -> None:
    assert export(TRICKY, form)
    assert export(TRICKY.slice(0, 0), form)


def test_json_never_writes_nan() -> None:
    assert [row["value"] for row in json.loads(export(TRICKY, "json"))] == [1.5, None, 0.0012]


def test_text_columns_line_up() -> None:
    assert export(TRICKY, "table").decode().splitlines() == [
        "na_me       value  count  flag",
        "---------  ------  -----  ----",
        "a|b & 50%    1.50      1  yes",
        "two lines     nan         no",
        "           0.0012      3",
    ]


def test_markdown_and_latex_escape() -> None:
    assert r"| a\|b & 50% | 1.50 | 1 | yes |" in export(TRICKY, "markdown").decode()
    latex = export(TRICKY, "latex").decode()
    assert r"a|b \& 50\% & 1.50 & 1 & yes \\" in latex and r"na\_me & value" in latex
    assert latex.index(r"\toprule") < latex.index(r"\midrule") < latex.index(r"\bottomrule")


def test_an_unknown_format_is_named(table: pa.Table) -> None:
    with pytest.raises(ValueError, match="unknown format; 'xml'"):
        export(table, "xml")


def test_the_short_table_has_fewer_columns_and_no_more_rows_than_asked_for(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    catalog = Catalog.open(tmp_path)
    short = short_results(catalog, None, 1_000, with_dataset=False)
    assert short.num_rows == 32 and short.column_names[:2] == ["cell", "top1"]
    assert short_results(catalog, None, 5, with_dataset=True).column_names[0] == "dataset"
    assert short_results(catalog, None, 5, with_dataset=True).num_rows == 5


SPANS = """
    SELECT max(finished) - min(finished) AS span, [max(finished) - min(finished), NULL] AS spans,
        {'month': INTERVAL 1 MONTH} AS named, MAP {'days': INTERVAL 3 DAYS} AS by_name,
        INTERVAL 1 MONTH + INTERVAL 2 DAYS + INTERVAL 0.25 SECONDS AS mixed, NULL::INTERVAL AS none
    FROM results
"""
MONTH, DAY = 30 * 86_400.0, 86_400.0


def test_intervals_of_time_are_seconds_in_every_form(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    with Catalog.open(tmp_path) as catalog:
        table = catalog.query(SPANS)
        ends = catalog.query("SELECT max(finished) AS last, min(finished) AS first FROM results").to_pylist()[
            0
        ]
    seconds = (ends["last"] - ends["first"]).total_seconds()
    assert table.to_pylist() == [
        {
            "span": seconds,
            "spans": [seconds, None],
            "named": {"month": MONTH},
            "by_name": [("days", 3 * DAY)],
            "mixed": MONTH + 2 * DAY + 0.25,
            "none": None,
        }
    ]
    assert parquet.read_table(io.BytesIO(export(table, "parquet"))).to_pylist() == table.to_pylist()
    assert json.loads(export(table, "json"))[0]["span"] == seconds
    for form in FORMATS:
        content = export(table, form)
        assert b"MonthDayNano" not in content
        assert form == "parquet" or f"{seconds:.1f}".encode() in content


def test_intervals_of_other_sources_are_seconds_too() -> None:
    several = pa.chunked_array(
        [
            pa.array([pa.MonthDayNano((1, 0, 0)), None], pa.month_day_nano_interval()).slice(1),
            pa.array([pa.MonthDayNano((0, 1, 500_000_000))], pa.month_day_nano_interval()),
        ]
    )
    lasting = pa.array([1500, None], pa.duration("ms"))
    raw = pa.table({"interval": several, "duration": lasting, "name": ["a", "b"]})
    assert b"86400.5,,b" in export(raw, "csv") and b"MonthDayNano" not in export(raw, "csv")
    table = in_seconds(raw)
    assert table.to_pydict() == {"interval": [None, DAY + 0.5], "duration": [1.5, None], "name": ["a", "b"]}


def test_whole_sums_are_numbers_in_json(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    with Catalog.open(tmp_path) as catalog:
        table = catalog.query("SELECT sum(epochs) AS epochs, 1.25::DECIMAL(5, 2) AS part FROM results")
    assert json.loads(export(table, "json")) == [{"epochs": 96, "part": 1.25}]


FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "-",
    "'=1",
    "''@x",
    "-1 ± =2",
    "-1e5x",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_field_of_a_csv_file_is_a_formula_and_every_text_can_be_read_back(text: str) -> None:
    rows = list(csv.reader(io.StringIO(export(pa.table({text: [text]}), "csv").decode(), newline="")))
    assert rows == [["'" + text]] * 2
    assert export(pa.table({"a": [text]}), "json").decode().count("'") == text.count("'"), (
        "CSV alone has them"
    )


@pytest.mark.parametrize(
    "value", [-1.5, -3, "-1.5", "+2", "-1e-5", "-1.25 ± 0.50 (n=3×100)", "a=b", "'t Hooft", "", "'"]
)
def test_numbers_stay_numbers_and_other_texts_as_they_are(value: object) -> None:
    rows = list(csv.reader(io.StringIO(export(pa.table({"a": [value]}), "csv").decode())))
    assert rows[1:] == [[str(value)]]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        "DATE '-290000-01-01'",
        "TIMESTAMP 'infinity'",
        "[DATE '99999-01-01']",
        "{'x': TIMESTAMP '99999-01-01'}",
    ],
)
def test_times_beyond_pythons_own_are_exported_as_text(value: str, form: str) -> None:
    table = duckdb.sql(f"SELECT {value} AS at UNION ALL SELECT NULL").to_arrow_table()
    assert export(table, form)
    texts = in_seconds(table).column("at").to_pylist()
    assert sorted(text is None for text in texts) == [False, True]
    ours = duckdb.sql(
        "SELECT TIMESTAMP '2024-01-01 01:02:03' AS at, [DATE '2024-01-01'] AS days"
    ).to_arrow_table()
    assert in_seconds(ours).schema == ours.schema


def test_a_csv_file_of_many_rows_is_one_file() -> None:
    """Rows are written in pieces: neither is a row lost between two, nor a formula passed over."""
    rows = [{"text": "=1" if place % 2 else None, "number": place} for place in range(5_001)]
    safe = "'=1"
    lines = export(pa.Table.from_pylist(rows), "csv").decode().split("\n")
    assert lines == ["text,number", *(f"{(safe if place % 2 else '')},{place}" for place in range(5_001)), ""]
