"""What a figure is: its data, its drawing, and where it stands: on a page, in the report, in a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters, Source
from dashboards.render.markup import Column
from dashboards.render.theme import AUTO, Theme

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Scope:
    """What a figure is asked about: the cells that pass filters, and whose results; or cells by their keys.

    Without an `evaluation` predictions are those of the epoch that a cell's children start from.
    """

    filters: Filters = ALL
    source: Source = "both"
    keys: tuple[str, ...] = ()
    evaluation: str | None = None


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


def no_options(_: Source) -> Mapping[str, Any]:
    """Return that nothing but rows and colours decides how a figure is drawn."""
    return {}


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
    below it, in pixels; `options` are handed to `draw`, by whose results are shown.
    """

    name: str
    title: str
    order: int
    published: bool = True
    gap: int = 78
    options: Callable[[Source], Mapping[str, Any]] = no_options


@dataclass(frozen=True)
class Figure:
    """A figure, registered as `FIGURE` in a module of its own; the name is unique, and its CSV file's too.

    `printed` is what the paper prints about it; with `draws_printed` the drawing says it as well.
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

    def drawn(self, answer: Answer, theme: Theme = AUTO, **options: Any) -> go.Figure:  # noqa: ANN401
        """Return the drawing of an answer; `options` are the figure's own."""
        said = {"printed": answer.printed} if self.draws_printed else {}
        return self.draw(answer.rows, theme, **said, **options)
