"""What a figure is: its data, its drawing, and where it stands: on a page, in the report, in a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters, Source, rows_of
from dashboards.render.markup import Column
from dashboards.render.theme import AUTO, Theme

if TYPE_CHECKING:
    import pyarrow as pa


MOST_ANSWERS = 1_000_000
"""So many answers to videos are read for the intervals of a page's means; more would keep it waiting."""


@dataclass(frozen=True)
class Scope:
    """What a figure is asked about: the cells that pass filters, and whose results; or cells by their keys.

    Without an `evaluation` predictions are those of the epoch that a cell's children start from. For the
    intervals of means over seeds at most so many `answers` to videos are read; None: all that are known.
    """

    filters: Filters = ALL
    source: Source = "both"
    keys: tuple[str, ...] = ()
    evaluation: str | None = None
    answers: int | None = MOST_ANSWERS


EVERYTHING = Scope()


@dataclass(frozen=True)
class Answer:
    """A figure's rows; what the paper prints about it, and the rows behind averages, where it has them."""

    rows: pa.Table
    printed: pa.Table | None = None
    behind: pa.Table | None = None


Data = Callable[[Catalog, Scope], "pa.Table"]
Draw = Callable[..., go.Figure]
"""`draw(rows, theme, **options)`: pure, the same rows give the same figure; no rows give one of words."""


def every_row(rows: pa.Table) -> pa.Table:
    """Return the rows as they are."""
    return rows


def never_wide(_: pa.Table) -> bool:
    """Return that panels have the usual width."""
    return False


def both_sources(_: Catalog, __: Filters) -> Source:
    """Return that one's own and published results are shown."""
    return "both"


def no_options(_: Source, __: pa.Table) -> Mapping[str, Any]:
    """Return that nothing but rows and colours decides how a figure is drawn."""
    return {}


def has_own(catalog: Catalog, filters: Filters) -> bool:
    """Return whether one's own cells among these have an accuracy."""
    rows = rows_of(catalog, "cell_accuracies", filters).select(["source", "top1"]).to_pylist()
    return any(row["source"] == "own" and row["top1"] is not None for row in rows)


@dataclass(frozen=True)
class Choice:
    """A choice that a reader has: an option of `draw`, and the words for its values, the usual one first."""

    option: str
    title: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Behind:
    """A table on the page with the rows behind a figure's averages."""

    name: str
    title: str
    data: Data
    columns: tuple[Column, ...]
    empty: str
    caption: Callable[[Answer], str]


@dataclass(frozen=True)
class Finding:
    """A figure's place on the page Findings, where it answers one question of the paper.

    `question` is the name in the address, `link` the words to click on, `order` the place among the others.
    A `caption` with `{choice}` says there which value of the figure's choice was taken. `columns` are those
    of the table that can be unfolded: all, where none are named.
    """

    question: str
    link: str
    order: int
    caption: str
    title: str = ""
    columns: tuple[Column, ...] = ()
    note: Callable[[Answer], str] | None = None
    behind: Behind | None = None
    narrowest: int = 0


@dataclass(frozen=True)
class Section:
    """A figure's place in the report: one panel a dataset, a caption, and `columns` of the table below.

    `optional` leaves it out where there is nothing to see. `rows` chooses those that are shown, `remark` is
    added to the caption, `wide` asks for wider panels, `after` gives HTML that follows the figure. `across`:
    it compares models of several studies, so that it is shown once, for all of them.
    """

    order: int
    title: str
    caption: str
    columns: tuple[Column, ...]
    open_table: bool = False
    optional: bool = True
    rows: Callable[[pa.Table], pa.Table] = every_row
    remark: Callable[[pa.Table], str] | None = None
    wide: Callable[[pa.Table], bool] = never_wide
    after: Callable[[Catalog], str] | None = None
    across: bool = False


@dataclass(frozen=True)
class Export:
    """A figure as a file for a paper: `actiongrid report --figure NAME`.

    `published` tells whether it can show results from the literature; `gap` is what one row of panels needs
    below it, in pixels; `options` are handed to `draw`, by whose results are shown and what they are.
    `usual` says whose results are shown where nobody says it.
    """

    name: str
    title: str
    order: int
    published: bool = True
    gap: int = 78
    options: Callable[[Source, pa.Table], Mapping[str, Any]] = no_options
    usual: Callable[[Catalog, Filters], Source] = both_sources


@dataclass(frozen=True)
class Figure:
    """A figure, registered as `FIGURE` in a module of its own; the name is unique, and its CSV file's too.

    `printed` is what the paper prints about it; with `draws_printed` the drawing says it as well. `left_out`
    says which of one's own results are not among the rows of a scope, and why, where that can be in part.
    """

    name: str
    title: str
    data: Data
    draw: Draw
    printed: Data | None = None
    draws_printed: bool = False
    choice: Choice | None = None
    finding: Finding | None = None
    section: Section | None = None
    exports: tuple[Export, ...] = ()
    left_out: Callable[[Catalog, Scope, pa.Table], str] | None = None

    def not_drawn(self, catalog: Catalog, scope: Scope, rows: pa.Table) -> str:
        """Return in words which of one's own results a figure of both sources leaves out; empty for none."""
        if self.left_out is not None:
            return self.left_out(catalog, scope, rows)
        if scope.source != "both" or "source" not in rows.column_names:
            return ""
        if set(rows.column("source").to_pylist()) != {"published"} or not has_own(catalog, scope.filters):
            return ""
        alone = self.draw(self.data(catalog, replace(scope, source="own"))).layout
        said = [note.text for note in alone.annotations if alone.xaxis.visible is False]
        return f"Of your own results none is drawn: {said[0]}" if said else ""

    def drawn(self, answer: Answer, theme: Theme = AUTO, **options: Any) -> go.Figure:  # noqa: ANN401
        """Return the drawing of an answer; `options` are the figure's own."""
        said = {"printed": answer.printed} if self.draws_printed else {}
        return self.draw(answer.rows, theme, **said, **options)
