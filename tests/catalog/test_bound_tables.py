"""Whatever way a statement names a view, it is answered as if everything had been loaded before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from catalog import Catalog, QueryError
from catalog.catalog import _EVERYTHING
from catalog.definitions import MATERIALISED
from catalog.predictions import PredictionTables
from tests.support.grid_events import write_quickly
from tests.support.prediction_storage import change_study, evaluated, key, make_storage, new_key

LOADED = (
    "predictions",
    "view_predictions",
    "prediction_files",
    "current_prediction_files",
    "class_intervals",
)
OWN_VIEWS = """
    CREATE SCHEMA lab;
    CREATE VIEW lab.predictions AS SELECT key, correct FROM main.predictions;
    CREATE VIEW mine AS SELECT p.* FROM predictions AS p SEMI JOIN "results" USING (key);
    CREATE VIEW upon_mine AS SELECT key, count(*) AS videos FROM mine GROUP BY key;
    CREATE MACRO of_cell(wanted) AS TABLE FROM confusion WHERE key = wanted;
"""


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalog, Catalog]]:
    """One that loads what is asked for, and one that has everything."""
    storage = make_storage(tmp_path_factory.mktemp("bound"))
    write_quickly(storage, iter([evaluated(storage, key("tam", 8))]), "evaluate-1")
    change_study(storage, ["TSN-Tiny-f16"])
    with Catalog.open(storage) as lazy, Catalog.open(storage) as full:
        for catalog in (lazy, full):
            catalog._connection.execute(OWN_VIEWS)
        with full._filled(_EVERYTHING):
            pass
        yield lazy, full


def emptied(catalog: Catalog) -> Catalog:
    """The catalog as it was when nobody had asked it anything."""
    for table in (*(f"materialised.{name}" for name in MATERIALISED), *(f"loaded.{name}" for name in LOADED)):
        catalog._connection.execute(f"DELETE FROM {table}")
    catalog._fresh = frozenset()
    catalog._predictions = PredictionTables(catalog.storage)
    return catalog


def rows(table: pa.Table) -> list[str]:
    return sorted(map(repr, table.to_pylist()))


def expected(full: Catalog, sql: str, params: Any = None) -> list[str]:
    return rows(full._connection.cursor().execute(sql, params).to_arrow_table())


def answer(lazy: Catalog, sql: str, params: Any = None) -> list[str]:
    return rows(emptied(lazy).query(sql, params))


def is_same(catalogs: tuple[Catalog, Catalog], sql: str, params: Any = None) -> int:
    """Both answer alike; the number of rows."""
    lazy, full = catalogs
    wanted = expected(full, sql, params)
    assert answer(lazy, sql, params) == wanted, sql
    return len(wanted)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT p.correct FROM predictions p JOIN results r ON p.key = r.key",
        'SELECT count(*) FROM "Predictions"',
        "SELECT COUNT(*) FROM MEMORY.MAIN.PREDICTIONS",
        'FROM "memory"."main"."CONFUSION"',
        "WITH predictions AS (SELECT 1 AS one) FROM predictions",
        "WITH cells AS (SELECT key FROM predictions) SELECT count(*) FROM cells",
        "WITH a AS (FROM predictions), b AS MATERIALIZED (FROM a) SELECT count(*), sum(correct::INT) FROM b",
        "WITH RECURSIVE t(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t, (SELECT count(*) c FROM confusion)"
        " WHERE n < c) SELECT count(*) FROM t",
        "SELECT (SELECT count(*) FROM predictions WHERE predictions.key = r.key) FROM results AS r",
        "SELECT cell FROM results WHERE key IN (SELECT key FROM predictions WHERE NOT correct)",
        "SELECT r.cell, p.n FROM results r, LATERAL (SELECT count(*) n FROM predictions WHERE key = r.key) p",
        "SELECT 1 AS n UNION ALL SELECT count(*) FROM per_class_accuracy",
        "FROM (SELECT key FROM results INTERSECT SELECT key FROM predictions)",
        "SELECT r.cell, avg(correct::INT) FROM predictions JOIN results r USING (key, evaluation) GROUP BY 1",
        "SELECT list(p) FROM (FROM predictions ORDER BY ALL) p",
        "SELECT count(*) FROM query_table('predictions')",
        "SELECT count(*) FROM query_table(['predictions', 'predictions'])",
        "SELECT count(*) FROM query('FROM pre' || 'dictions')",
        "FROM json_execute_serialized_sql(json_serialize_sql('SELECT count(*) FROM predictions'))",
        "SELECT (SELECT max(n) FROM json_execute_serialized_sql(json_serialize_sql("
        "'SELECT count(*) AS n FROM confusion'))) AS n",
        "SELECT sum(count) > 0 FROM pragma_storage_info('loaded.prediction_files')",
        "SELECT column_name, count FROM (SUMMARIZE predictions)",
        "SELECT column_name FROM (DESCRIBE predictions)",
        "PIVOT confusion ON predicted USING sum(videos) GROUP BY key, evaluation",
        "PIVOT predictions ON predicted_class USING count(*) GROUP BY cell",
        "UNPIVOT (SELECT key, top1, top5 FROM per_class_accuracy) ON top1, top5 INTO NAME n VALUE v",
        "SELECT count(*) FROM results WHERE EXISTS (SELECT 1 FROM view_predictions)",
        "SELECT count(*) FROM view_predictions_all",
        "SELECT evaluation, count(*) FROM predictions_all GROUP BY ALL",
        "SELECT count(*) FROM predictions, predictions_all",
        "SELECT count(*) FROM loaded.predictions",
        "SELECT count(*) FROM lab.predictions",
        "SELECT count(*) FROM mine",
        "FROM upon_mine",
        "FROM of_cell((SELECT min(key) FROM results))",
        "VALUES ((SELECT count(*) FROM predictions))",
        "SELECT count(*) FROM predictions TABLESAMPLE 100%",
        "SELECT CASE WHEN true THEN (SELECT count(*) FROM confusion) END",
        "SELECT key, count(*) OVER () FROM predictions QUALIFY row_number() OVER (ORDER BY key, index) < 3",
    ],
)
def test_a_statement_is_answered_as_if_everything_were_loaded(
    catalogs: tuple[Catalog, Catalog], sql: str
) -> None:
    assert is_same(catalogs, sql) > 0


def test_values_of_parameters_can_name_what_is_read(catalogs: tuple[Catalog, Catalog]) -> None:
    by_key = "SELECT count(*) FROM predictions WHERE key = $key"
    assert is_same(catalogs, by_key, {"key": key("tam", 8)}) == 1
    assert is_same(catalogs, "FROM of_cell(?)", [key("tam", 8)]) > 0
    for name in ("results", "confusion", "results", "predictions"):
        is_same(catalogs, "SELECT count(*) FROM query_table($name)", {"name": name})


def test_explain_analyze_sees_the_rows(catalogs: tuple[Catalog, Catalog]) -> None:
    lazy = emptied(catalogs[0])
    lazy.query("EXPLAIN ANALYZE SELECT count(*) FROM loaded.predictions")
    assert lazy._connection.execute("SELECT count(*) > 0 FROM loaded.predictions").fetchall() == [(True,)]


def test_current_questions_read_the_current_files_alone(catalogs: tuple[Catalog, Catalog]) -> None:
    lazy = emptied(catalogs[0])
    lazy.query("FROM predictions")
    files = lazy._connection.execute("SELECT DISTINCT key, evaluation FROM loaded.prediction_files")
    found = {tuple(row) for row in files.fetchall()}
    assert (key("tsn", 16), "training:last") not in found
    assert (new_key(key("tsn", 16)), "training:last") in found
    assert len(found) == 5, "four trainings and one evaluation"


# Generated statements


def spelled(draw: random.Random, name: str) -> str:
    return draw.choice(
        [
            name,
            name.upper(),
            f'"{name}"',
            f'"{name.title()}"',
            f"main.{name}",
            f"memory.main.{name}",
            f'MEMORY."main".{name.upper()}',
            f"query_table('{name}')",
            f"query('FROM {name}')",
        ]
    )


FORMS = (
    "SELECT count(*) AS n, min(key) AS least FROM {one} AS a",
    "{pair}",
    "WITH x AS (FROM {one}) SELECT count(*), max(key) FROM x",
    "WITH x AS MATERIALIZED (SELECT count(*) FROM {one} a) SELECT * FROM x, (SELECT count(*) FROM {two} b)",
    "WITH {name} AS (SELECT 'k' AS key FROM {two}) SELECT count(*), min(key) FROM {name}",
    "WITH {name} AS (FROM {one}) SELECT count(*) FROM {name} AS a SEMI JOIN {two} AS b ON a.key = b.key",
    "SELECT key FROM {one} a UNION ALL SELECT key FROM {two} b UNION SELECT key FROM {three} c",
    "SELECT key FROM {one} EXCEPT SELECT key FROM {two}",
    "SELECT (SELECT count(*) FROM {one} AS b WHERE b.key = a.key) AS n, key FROM {two} AS a",
    "SELECT count(*) FROM {one} AS a WHERE EXISTS (FROM {two} AS b WHERE a.key = b.key)",
    "SELECT count(*) FROM {one} AS a WHERE key NOT IN (SELECT key FROM {two} AS b WHERE key > '8')",
    "SELECT a.key, l.n FROM {one} a, LATERAL (SELECT count(*) AS n FROM {two} b WHERE b.key = a.key) l",
    "SELECT column_name, min, max, count FROM (SUMMARIZE SELECT key FROM {one})",
    "SELECT column_name, column_type FROM (DESCRIBE FROM {one})",
    "PIVOT (SELECT key, left(key, 1) AS head FROM {one}) ON head USING count(*)",
    "SELECT count(*) FROM (SELECT a.key FROM {one} AS a JOIN ({pair}) ON n >= 0)",
    "FROM {one} SELECT DISTINCT key ORDER BY key LIMIT 5",
    "SELECT DISTINCT n FROM (SELECT key, count(*) OVER () AS n FROM {one} AS a)",
    "SELECT CASE WHEN (SELECT count(*) FROM {one} AS a) > 3 THEN (SELECT max(key) FROM {two} AS b) END",
)
PAIRS = (
    "SELECT count(b.key) AS n FROM {one} AS a JOIN {two} AS b ON a.key = b.key",
    "SELECT count(b.key) AS n FROM {one} AS a LEFT JOIN {two} AS b USING (key)",
    "SELECT count(a.key) AS n FROM {one} AS a FULL JOIN {two} AS b ON a.key = b.key",
    "SELECT count(*) AS n FROM {one} AS a SEMI JOIN {two} AS b ON a.key = b.key",
    "SELECT count(*) AS n FROM {one} AS a ANTI JOIN {two} AS b ON a.key = b.key",
)


def statement(draw: random.Random, views: list[str]) -> str:
    name, *others = (draw.choice(views) for _ in range(3))
    one, two, three = (spelled(draw, view) for view in (name, *others))
    pair = draw.choice(PAIRS).format(one=one, two=two)
    return draw.choice(FORMS).format(name=name, one=one, two=two, three=three, pair=pair)


def check_generated(catalogs: tuple[Catalog, Catalog], seed: int, count: int) -> None:
    draw = random.Random(seed)
    having_key = (
        "SELECT DISTINCT table_name FROM duckdb_columns() WHERE schema_name = 'main' AND column_name = 'key'"
    )
    views = sorted(name for (name,) in catalogs[1]._connection.execute(having_key).fetchall())
    asked = set()
    for _ in range(count):
        sql = statement(draw, views)
        asked.add(sql)
        is_same(catalogs, sql)
    assert len(asked) > count * 0.9


def test_generated_statements_are_answered_as_if_everything_were_loaded(
    catalogs: tuple[Catalog, Catalog],
) -> None:
    check_generated(catalogs, seed=12, count=40)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_generated_statements(catalogs: tuple[Catalog, Catalog], seed: int) -> None:
    check_generated(catalogs, seed, count=220)


def test_every_view_is_answered_as_if_everything_were_loaded(catalogs: tuple[Catalog, Catalog]) -> None:
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('main', 'computed')"
    qualified = names.replace("table_name FROM", "table_schema || '.' || table_name AS name FROM")
    views = [name for (name,) in catalogs[1]._connection.execute(qualified).fetchall()]
    assert len(views) > 50
    for view in views:
        is_same(catalogs, f"SELECT count(*), to_json(min(a)) FROM {view} AS a")


def test_a_mistake_is_told_and_loads_nothing(catalogs: tuple[Catalog, Catalog]) -> None:
    lazy = emptied(catalogs[0])
    with pytest.raises(QueryError, match="nothing"):
        lazy.query("SELECT nothing FROM predictions")
    assert lazy._connection.execute("SELECT count(*) FROM loaded.predictions").fetchall() == [(0,)]
