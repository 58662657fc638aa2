"""What every catalog is made of: its tables, the views over them, and the results from the literature."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pyarrow as pa

VIEWS = (
    "open_cells",
    "cells",
    "attempts",
    "epochs",
    "results",
    "accuracies",
    "contributions",
    "temporal_pooling_gain",
    "datasets",
    "failures",
    "quarantined",
    "classes",
    "evaluations",
    "predictions",
    "per_class_accuracy",
    "confusion",
    "grid_cells",
    "running_cells",
    "lineage",
    "against_published",
    "measured_accuracies",
    "cell_costs",
    "controls",
)
"""The files of catalog/views, in the order in which they build on each other."""

PUBLISHED = {
    "published": ("mini_results.csv",),
    "published_contributions": ("table7.csv",),
    "published_datasets": ("datasets.csv",),
    "published_numbers": (
        "table2.csv",
        "table3.csv",
        "table4.csv",
        "table5.csv",
        "table6.csv",
        "figures.csv",
    ),
}
"""Tables of literature results and their files in catalog/published."""


def schema_text() -> str:
    """Return the statements that create the tables."""
    return (_root() / "schema.sql").read_text()


def view_texts() -> Sequence[str]:
    """Return the statements that create the views, in the order in which they build on each other."""
    return [(_root() / "views" / f"{view}.sql").read_text() for view in VIEWS]


def published_tables() -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows from the literature, each with the name of the table that they belong to."""
    from pyarrow import csv

    empty = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    for table, files in PUBLISHED.items():
        for file in files:
            data = (_root() / "published" / file).read_bytes()
            yield table, csv.read_csv(io.BytesIO(data), convert_options=empty)


def _root() -> Traversable:
    return resources.files("catalog")
