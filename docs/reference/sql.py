"""Make docs/reference/sql.md: every table that a statement can use, what a row is, and its columns.

    python -m docs.reference.sql

Columns come from a catalog of an empty storage, the words from the comments above the views.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from catalog import Catalog

PAGE = Path(__file__).with_name("sql.md")
ROOT = Path(__file__).parents[2]
_HEAD = """# Every table of the catalog

Made of the views themselves: `python -m docs.reference.sql`. `actiongrid results --sql`, the page SQL and
`Catalog.query` take one read-only statement over them, in DuckDB's SQL. Related tables stand together. What
is current, which checkpoint a number is of, and examples: `docs/results.md`. Accuracies are in percent, sizes
in bytes, times in seconds.
"""
_STATEMENT = re.compile(
    r"((?:^--[^\n]*\n)*)^CREATE (?:VIEW|MACRO|TABLE) (?:\w+\.)?(\w+)(.*?);\n", re.MULTILINE | re.DOTALL
)
_NAME = re.compile(r"[a-z_]+")
_PRINTED = {
    "published": "One row a mini result of the paper (288 models, Table 5 and Figure 4): top-1 in percent.",
    "published_contributions": "One row a module, dataset and metric of Table 7, as printed.",
    "published_datasets": "One row a dataset of the literature: its videos by split, its classes.",
    "published_numbers": "One row a number that a paper prints, with table, row and column.",
    "dataset_identities": "Which names are one dataset, such as kinetics and kinetics400.",
    "comparison_tolerances": "How far a setting may be from the published one and still be compared.",
}
_COLUMNS = """
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'main' ORDER BY table_name, ordinal_position
"""


def comments() -> dict[str, str]:
    """What stands above each view or macro; above what it is made of, where nothing does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "catalog" / "views").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        for said, name, body in _STATEMENT.findall(text):
            words = " ".join(line.removeprefix("--").strip() for line in said.splitlines())
            made_of = next((one for one in _NAME.findall(body) if found.get(one)), "")
            if words or name not in found:
                found[name] = words or found.get(made_of, "")
    return found


def columns() -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of every table."""
    found: dict[str, list[tuple[str, str]]] = {}
    with TemporaryDirectory() as folder, Catalog.open(folder) as catalog:
        for row in catalog.query(_COLUMNS).to_pylist():
            found.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
    return found


def page() -> str:
    """The whole page as Markdown."""
    said, tables = comments() | _PRINTED, columns()
    parts = [_HEAD]
    for name in (one for one in said if one in tables):
        listed = tables[name]
        names = ", ".join(f"`{column}` {kind.lower()}" for column, kind in listed)
        parts.append(f"\n## {name}\n\n{said[name]}\n\n{names}\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
