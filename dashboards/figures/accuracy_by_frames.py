"""Top-1 accuracy by number of frames (the paper's Figure 4), with and without temporal pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from catalog import Catalog
from dashboards.theme import (
    NEUTRAL,
    PUBLISHED_SYMBOL,
    backbone_symbol,
    empty_figure,
    label,
    module_colour,
    module_order,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

CROWDED = 8
"""With more lines than this in a panel, those with temporal pooling are hidden until they are asked for."""

_SQL = """
    SELECT
        own.study, own.dataset, own.module, own.backbone, own.temporal_pooling, own.frames,
        own.top1, own.top1_std, own.seeds, own.planned_seeds,
        published.top1 AS published_top1, published.paper, datasets.num_classes, datasets.chance,
        (
            SELECT arg_min(cell, (seed, cell)) FROM cells
            WHERE cells.dataset = own.dataset AND cells.module = own.module AND cells.backbone = own.backbone
                AND cells.temporal_pooling = own.temporal_pooling AND cells.frames = own.frames
        ) AS cell
    FROM accuracies AS own
    LEFT JOIN published USING (dataset, module, backbone, temporal_pooling, frames)
    LEFT JOIN datasets USING (dataset)
    WHERE own.source = 'own' AND ($study IS NULL OR own.study = $study)
    ORDER BY own.study, dataset, module, backbone, temporal_pooling, frames
"""


def accuracy_by_frames_data(catalog: Catalog, study: str | None = None) -> pa.Table:
    """Return a row an architecture and length: top-1 (percent, mean over seeds), own and published."""
    return catalog.query(_SQL, {"study": study})


def draw_accuracy_by_frames(table: pa.Table) -> go.Figure:
    """Draw one panel a dataset: colour is the module, symbol the backbone, dashes are temporal pooling.

    Open stars are published results; a dotted line is chance where the number of classes is known.
    """
    rows = [row for row in table.to_pylist() if row["top1"] is not None]
    if not rows:
        return empty_figure("No cell has finished yet.")
    datasets = sorted({row["dataset"] for row in rows})
    figure = make_subplots(
        cols=len(datasets), subplot_titles=[label(name) for name in datasets], horizontal_spacing=0.08
    )
    crowded = max(len(_lines(rows, dataset)) for dataset in datasets) > CROWDED
    for column, dataset in enumerate(datasets, start=1):
        _draw_panel(figure, column, [row for row in rows if row["dataset"] == dataset])
    _add_legend(figure, rows)
    if crowded:
        _add_pooling_menu(figure)
    return _finish(figure, rows, crowded)


def _lines(rows: list[Row], dataset: str) -> dict[tuple[str, ...], list[Row]]:
    lines: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["dataset"] == dataset:
            name = (row["study"], row["module"], row["backbone"], str(row["temporal_pooling"]))
            lines.setdefault(name, []).append(row)
    return lines


def _draw_panel(figure: go.Figure, column: int, rows: list[Row]) -> None:
    for line in _lines(rows, rows[0]["dataset"]).values():
        figure.add_trace(_own_trace(line), row=1, col=column)
        if any(row["published_top1"] is not None for row in line):
            figure.add_trace(_published_trace(line), row=1, col=column)
    _draw_chance(figure, column, rows)


def _draw_chance(figure: go.Figure, column: int, rows: list[Row]) -> None:
    values = [row[name] for row in rows for name in ("top1", "published_top1") if row[name] is not None]
    low, high, chance = min(values), max(values), rows[0]["chance"]
    height = max(high - low, 5.0)
    # A far-away chance level would flatten all curves, so that it is only written down.
    near = chance is not None and chance > low - 0.75 * height
    if near:
        line = {"dash": "dot", "color": NEUTRAL, "width": 1.5}
        figure.add_hline(y=chance, line=line, row=1, col=column)
        low, high = min(low, chance), max(high, chance)
    if chance is not None:
        figure.add_annotation(
            text=f"chance {chance:.1f} %" if near else f"chance {chance:.1f} % ↓",
            showarrow=False,
            font={"size": 11},
            xref="x domain",
            x=1,
            xanchor="right",
            **({"y": chance} if near else {"yref": "y domain", "y": 0}),
            yanchor="bottom",
            row=1,
            col=column,
        )
    margin = 0.08 * max(high - low, 5.0)
    figure.update_yaxes(range=[low - margin, high + margin], row=1, col=column)


def _own_trace(line: list[Row]) -> go.Scatter:
    first = line[0]
    colour = module_colour(first["module"])
    spread = [row["top1_std"] for row in line]
    return go.Scatter(
        x=[row["frames"] for row in line],
        y=[row["top1"] for row in line],
        error_y={"array": spread, "thickness": 1, "width": 3} if any(spread) else None,
        customdata=[_hover(row) for row in line],
        hovertemplate="%{customdata}<extra></extra>",
        mode="lines+markers",
        line={"color": colour, "dash": "dash" if first["temporal_pooling"] else "solid", "width": 2},
        marker={"symbol": backbone_symbol(first["backbone"]), "size": 9, "color": colour},
        legendgroup=first["module"],
        showlegend=False,
        meta={"pooling": first["temporal_pooling"]},
    )


def _hover(row: Row) -> str:
    lines = [f"<b>{row['cell']}</b>", f"top-1 {row['top1']:.2f} %"]
    if row["planned_seeds"] > 1:
        spread = "" if row["top1_std"] is None else f" ± {row['top1_std']:.2f}"
        lines[1] += f"{spread}, mean of {row['seeds']} of {row['planned_seeds']} seeds"
    if row["published_top1"] is not None:
        difference = row["top1"] - row["published_top1"]
        lines.append(f"published {row['published_top1']:.2f} % ({difference:+.2f})")
    return "<br>".join(lines)


def _published_trace(line: list[Row]) -> go.Scatter:
    known = [row for row in line if row["published_top1"] is not None]
    return go.Scatter(
        x=[row["frames"] for row in known],
        y=[row["published_top1"] for row in known],
        customdata=[
            f"<b>{row['cell']}</b><br>published top-1 {row['published_top1']:.2f} %<br>{row['paper']}"
            for row in known
        ],
        hovertemplate="%{customdata}<extra></extra>",
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 10, "color": module_colour(known[0]["module"])},
        legendgroup="published",
        showlegend=False,
        meta={"pooling": known[0]["temporal_pooling"]},
    )


def _add_legend(figure: go.Figure, rows: list[Row]) -> None:
    for module in sorted({row["module"] for row in rows}, key=module_order):
        _key(figure, label(module), module, mode="lines", line={"color": module_colour(module), "width": 4})
    backbones = sorted({row["backbone"] for row in rows})
    if len(backbones) > 1:
        for name in backbones:
            marker = {"symbol": backbone_symbol(name), "size": 9, "color": NEUTRAL}
            _key(figure, label(name), f"backbone {name}", mode="markers", marker=marker)
    if len({row["temporal_pooling"] for row in rows}) > 1:
        for name, dash in (("no pooling", "solid"), ("temporal pooling", "dash")):
            _key(figure, name, name, mode="lines", line={"color": NEUTRAL, "dash": dash, "width": 2})
    if any(row["published_top1"] is not None for row in rows):
        marker = {"symbol": PUBLISHED_SYMBOL, "size": 10, "color": NEUTRAL}
        _key(figure, "published", "published", mode="markers", marker=marker)


def _key(figure: go.Figure, name: str, group: str, **style: Any) -> None:  # noqa: ANN401
    figure.add_trace(go.Scatter(x=[None], y=[None], name=name, legendgroup=group, showlegend=True, **style))


def _add_pooling_menu(figure: go.Figure) -> None:
    poolings = [None if trace.meta is None else trace.meta["pooling"] for trace in figure.data]
    choices = {"without temporal pooling": (False,), "with temporal pooling": (True,), "both": (False, True)}
    if len({pooling for pooling in poolings if pooling is not None}) < 2:
        return
    shown = {
        name: [pooling is None or pooling in wanted for pooling in poolings]
        for name, wanted in choices.items()
    }
    first = next(iter(shown.values()))
    for trace, visible in zip(figure.data, first, strict=True):
        trace.visible = visible
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": visible}]}
        for name, visible in shown.items()
    ]
    place = {"x": 0, "xanchor": "left", "y": 1.12, "yanchor": "bottom"}
    figure.update_layout(
        updatemenus=[{"buttons": buttons, "showactive": False, "font": {"size": 12}, **place}]
    )


def _finish(figure: go.Figure, rows: list[Row], crowded: bool) -> go.Figure:
    styled(figure, height=480 if crowded else 420)
    frames = sorted({row["frames"] for row in rows})
    figure.update_xaxes(
        type="log",
        title={"text": "frames (log₂)", "standoff": 4},
        tickmode="array",
        tickvals=frames,
        ticktext=[str(value) for value in frames],
        minor={"ticks": ""},
    )
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(
        legend={"orientation": "h", "y": -0.26, "yanchor": "top", "x": 0, "groupclick": "togglegroup"},
        margin={"t": 96 if crowded else 44},
    )
    return figure
