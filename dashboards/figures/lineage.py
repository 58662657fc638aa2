"""Where a cell's weights come from: a chain from ImageNet's weights over its ancestors to the cell itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.training import lineage_of
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row, hover
from dashboards.render.plain_figure import PlainFigure, scatter
from dashboards.render.theme import AUTO, NEUTRAL, STATE_COLOURS, Theme, empty_figure, styled
from dashboards.render.uncertainty import Accuracy, in_words, with_intervals

if TYPE_CHECKING:
    import pyarrow as pa

_ORIGINS = {
    "imagenet": "ImageNet<br>weights",
    "kinetics": "Kinetics<br>weights",
    "random": "random<br>weights",
}


_TOP1, _BEST = Accuracy(), Accuracy("best_top1")


def lineage_data(catalog: Catalog, key: str) -> pa.Table:
    """Return `lineage_of` with the 95 % intervals of its accuracies (percent)."""
    return with_intervals(lineage_of(catalog, key), _TOP1, _BEST)


def draw_lineage(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw the chain from left to right; every link has its state as colour and word, and its top-1."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("This cell has not been planned yet.", theme)
    places = range(1, len(rows) + 1)
    figure = PlainFigure(
        scatter(
            x=[0, *places],
            y=[0] * (len(rows) + 1),
            mode="markers+text",
            marker={
                "size": 22,
                "symbol": ["square", *("circle" for _ in rows)],
                "color": [NEUTRAL, *(STATE_COLOURS[row["state"]] for row in rows)],
            },
            text=[_ORIGINS.get(rows[0]["init"] or "", "first<br>weights"), *(_below(row) for row in rows)],
            textposition="bottom center",
            cliponaxis=False,
            customdata=[["", ""], *([_about(row), row["key"]] for row in rows)],
            hovertemplate="%{customdata[0]}<extra></extra>",
            showlegend=False,
        )
    )
    for place in places:
        _arrow(figure, place, rows[place - 1], theme)
    styled(figure, 190, theme)
    figure.update_xaxes(visible=False, range=[-0.5, len(rows) + 0.5])
    figure.update_yaxes(visible=False, range=[-2.2, 1])
    figure.update_layout(margin={"l": 24, "r": 24, "t": 12, "b": 12})
    return figure.drawn()


def _arrow(figure: PlainFigure, place: int, row: Row, theme: Theme) -> None:
    figure.add_annotation(
        x=place,
        y=0,
        ax=place - 1,
        ay=0,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        standoff=15,
        startstandoff=15,
        showarrow=True,
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor=theme.line,
    )
    if row["rechecked_top1"] is not None:
        text = _rechecked(row)
        figure.add_annotation(
            x=place - 0.5, y=0, yshift=14, text=text, showarrow=False, font={"size": 11}, hovertext=text
        )


def _rechecked(row: Row) -> str:
    """How many of the videos that were measured again were right: beside a top-1 of all, a share misleads."""
    top1, videos = row["rechecked_top1"], row["rechecked_videos"]
    if videos is None:
        return f"rechecked {top1:.2f} %,<br>on a part"
    return f"rechecked: {round(top1 * videos / 100):,} of<br>{videos:,} video{'' if videos == 1 else 's'}"


def _below(row: Row) -> str:
    top1 = "" if row["top1"] is None else f"<br>{row['top1']:.2f} %"
    return f"<b>f{row['frames']}</b><br>{row['state']}{top1}"


def _about(row: Row) -> str:
    lines = [str(row["cell"]), row["state"]]
    if row["top1"] is not None:
        lines.append(f"{in_words(row, _TOP1)} after epoch {row['epochs']}")
        lines.append(f"{in_words(row, _BEST, 'best top-1')} after epoch {row['best_epoch']}")
        lines.append(f"children start from the {row['inherit']} checkpoint")
    if row["reason"]:
        lines.append(str(row["reason"])[:120].replace("<", "&lt;"))
    return hover(*lines)


FIGURE = Figure(
    name="lineage",
    title="Where its weights come from",
    data=lambda catalog, scope: lineage_data(catalog, scope.keys[0]),
    draw=draw_lineage,
)
