"""Plain tables as figures: for pages and papers that want a picture of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from catalog.export import display
from dashboards.render.sketch import Sketch, text_table
from dashboards.render.theme import AUTO, Theme, styled


def draw_table(
    rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str], theme: Theme = AUTO
) -> go.Figure:
    """Draw rows as a table; `titles` names the columns that are shown, and their headings."""
    cells = [[display(row[name]) for row in rows] for name in titles]
    plain = theme.paper
    widths = [_width([title, *column]) for title, column in zip(titles.values(), cells, strict=True)]
    figure = Sketch(
        text_table(
            columnwidth=widths,
            header={
                "values": [f"<b>{title}</b>" for title in titles.values()],
                "align": "left",
                "fill": {"color": plain},
                "line": {"color": theme.line},
                "font": {"color": theme.text},
            },
            cells={
                "values": cells,
                "align": "left",
                "fill": {"color": plain},
                "line": {"color": theme.grid},
                "font": {"color": theme.text},
                "height": 24,
            },
        )
    )
    styled(figure, min(640, 80 + 26 * max(len(rows), 1)), theme)
    figure.update_layout(margin={"l": 4, "r": 4, "t": 8, "b": 8})
    return figure.drawn()


def _width(texts: Sequence[str]) -> int:
    """Give a column room for its longest text, within bounds; longer ones are wrapped."""
    return min(40, max(8, *(max(map(len, text.split("<br>")), default=0) for text in texts)))
