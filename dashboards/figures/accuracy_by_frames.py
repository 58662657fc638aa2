"""Top-1 accuracy by number of frames (the paper's Figure 4), with and without temporal pooling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import plotly.graph_objects as go

from catalog.queries.accuracies import accuracies_by_frames
from dashboards.figures.axes import accuracy_range, kept_apart, side_by_side
from dashboards.figures.experiments import Experiments
from dashboards.figures.figure import Export, Figure, Finding, Section
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    backbone_keys,
    dataset_panels,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    key,
    model_name,
    module_keys,
    published_as,
    published_key,
)
from dashboards.render.markup import Column
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import (
    AUTO,
    NEUTRAL,
    PUBLISHED_SYMBOL,
    Theme,
    backbone_symbol,
    empty_figure,
    frames_axis,
    module_colour,
    styled,
)
from dashboards.render.uncertainty import MEAN, PUBLISHED, in_words

if TYPE_CHECKING:
    import pyarrow as pa

CROWDED = 8
"""With more lines than this in a panel, those with temporal pooling are hidden until they are asked for."""

_LETTER = 0.018
"""About how much of a panel's width in print a letter of the words beside a line takes."""
_CHANCE = {"dash": "dot", "color": NEUTRAL, "width": 1.5}


_LOOK = ("dataset", "module", "backbone", "temporal_pooling")
"""What panel, colour, symbol and dashes say of a line."""

_ALONE = "The lines"
"""What published results are drawn as where there are none of one's own."""


def draw_accuracy_by_frames(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset: colour is the module, symbol the backbone, dashes are temporal pooling.

    Published results are open stars beside one's own; alone they are lines with open symbols. A dotted
    line is chance where the number of classes is known: what guessing one of them would give.
    """
    rows = [row for row in table.to_pylist() if row["top1"] is not None]
    if not rows:
        return empty_figure("No cell has finished yet.", theme)
    datasets = sorted({row["dataset"] for row in rows})
    panels = [[row for row in rows if row["dataset"] == dataset] for dataset in datasets]
    alone = all(row["source"] == "published" for row in rows)
    crowded = max(len(_lines(here)) for here in panels) > CROWDED
    experiments = Experiments(rows, (*_LOOK, "frames"), ("study", "variant"))
    lengths = [row["frames"] for row in rows]
    octaves = math.log2(max(lengths) / min(lengths))
    traces = [_traces(here, octaves, alone=alone) for here in panels]
    chances = [_Chance.of(here, drawn) for here, drawn in zip(panels, traces, strict=True)]
    figure = dataset_panels(datasets, [chance.text for chance in chances])
    for column, (drawn, chance) in enumerate(zip(traces, chances, strict=True), start=1):
        for trace in drawn:
            figure.add_trace(trace, row=1, col=column)
        if chance.drawn:
            figure.add_hline(y=chance.drawn[0], line=_CHANCE, row=1, col=column)
        ends = accuracy_range(drawn, *chance.drawn)
        figure.update_yaxes(range=ends, row=1, col=column)
        for words in _words(panels[column - 1], experiments, ends):
            figure.add_trace(words, row=1, col=column)
    _add_legend(figure, rows, alone)
    if crowded:
        _add_pooling_menu(figure)
    longest = max(map(len, experiments.names), default=0)
    frames_axis(figure, lengths, min(0.45, longest * _LETTER * max(1.0, len(panels) / 2)))
    return _finish(figure, crowded, theme)


def _traces(rows: list[Row], octaves: float, *, alone: bool) -> list[Trace]:
    """The lines of a panel; where several have the same length, their points stand side by side."""
    lines = [*_lines(rows).values()]
    flat = [row for line in lines for row in line]
    places = side_by_side([row["frames"] for row in flat], log=True, span=octaves)
    for row, place in zip(flat, places, strict=True):
        row["place"] = place
    traces = []
    for alike in _alike(lines):
        published = alike[0][0]["source"] == "published"
        stars = published and not alone
        traces.append(_stars(alike) if stars else _joined(alike, opened=published))
    return traces


def _lines(rows: list[Row]) -> dict[tuple[str, ...], list[Row]]:
    lines: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        # Lengths of one chain differ in their recipes, so that a line is what is alone or named alike.
        name = (
            *(row["study"], row["module"], row["backbone"]),
            *(str(row["temporal_pooling"]), row["variant"], row["other_axes"], str(row["checkpoint"])),
        )
        lines.setdefault(name, []).append(row)
    return lines


def _alike(lines: list[list[Row]]) -> list[list[list[Row]]]:
    """Lines that differ in nothing but symbols: a browser needs 5 ms for every trace, whatever is in it."""
    groups: dict[tuple[str, ...], list[list[Row]]] = {}
    for line in lines:
        first = line[0]
        look = (first["source"], first["module"], str(first["temporal_pooling"]))
        groups.setdefault(look, []).append(line)
    return [*groups.values()]


class _Chance(NamedTuple):
    """The chance level of a panel: what stands below its title, where no bar of error can cross it."""

    text: str
    drawn: tuple[float, ...]

    @classmethod
    def of(cls, rows: list[Row], traces: list[Trace]) -> _Chance:
        """The level of a panel's dataset; one far away is not drawn, for it would flatten all curves."""
        chance = next((row["chance"] for row in rows if row["chance"] is not None), None)
        if chance is None:
            return cls("", ())
        low, high = accuracy_range(traces)
        near = chance > low - 0.75 * (high - low)
        return cls(f"chance {chance:.1f} %" + (", dotted" if near else " ↓"), (chance,) if near else ())


def _words(rows: list[Row], experiments: Experiments, ends: list[float]) -> Iterator[Trace]:
    """What tells lines of one look apart, beyond the last length: among the points bars of error cross it.

    A thin line leads there from a last point that stands elsewhere.
    """
    lasts = [line[-1] for line in _lines(rows).values() if experiments.of(line[-1])]
    heights = kept_apart([row["top1"] for row in lasts], 0.055 * (ends[1] - ends[0]))
    place = max((row["place"] for row in rows), default=1.0)
    for pooling in (False, True):
        shown = [pair for pair in zip(lasts, heights, strict=True) if pair[0]["temporal_pooling"] == pooling]
        away = [
            pair for pair in shown if pair[0]["place"] < place or not math.isclose(pair[0]["top1"], pair[1])
        ]
        if away:
            yield scatter(
                x=[end for row, _ in away for end in (row["place"], place * 1.02, None)],
                y=[end for row, height in away for end in (row["top1"], height, None)],
                mode="lines",
                line={"color": NEUTRAL, "width": 0.75, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
                meta={"pooling": pooling},
            )
        if shown:
            yield scatter(
                x=[place * 1.02] * len(shown),
                y=[height for _, height in shown],
                mode="text",
                text=[experiments.of(row) for row, _ in shown],
                textposition="middle right",
                textfont={"size": 10, "color": [module_colour(row["module"]) for row, _ in shown]},
                cliponaxis=False,
                hoverinfo="skip",
                showlegend=False,
                meta={"pooling": pooling},
            )


def _joined(lines: list[list[Row]], *, opened: bool) -> Trace:
    first = lines[0][0]
    colour = module_colour(first["module"])
    points = _with_gaps(lines)
    ending = "-open" if opened else ""
    symbols = [f"{backbone_symbol(row['backbone'])}{ending}" if row else "circle" for row in points]
    return scatter(
        error_y=interval_bars(points),
        mode="lines+markers",
        line={"color": colour, "dash": "dash" if first["temporal_pooling"] else "solid", "width": 2},
        marker={"symbol": symbols, "size": 9, "color": colour},
        legendgroup=first["module"],
        **_common(points),
    )


def _stars(lines: list[list[Row]]) -> Trace:
    colour = module_colour(lines[0][0]["module"])
    points = _with_gaps(lines)
    return scatter(
        error_y=interval_bars(points),
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 10, "color": colour},
        legendgroup="published",
        **_common(points),
    )


def _with_gaps(lines: list[list[Row]]) -> list[Row | None]:
    """The points of all lines, with nothing between one line's last and the next one's first."""
    return [point for line in lines for point in (*line, None)][:-1]


def _common(points: list[Row | None]) -> dict[str, Any]:
    return {
        "x": [row["place"] if row else None for row in points],
        "y": [row["top1"] if row else None for row in points],
        **hovering([_about(row) if row else None for row in points]),
        "showlegend": False,
        "meta": {"pooling": next(row["temporal_pooling"] for row in points if row)},
    }


def _about(row: Row) -> str:
    name = model_name(row)
    if row["source"] == "published":
        return hover(name, in_words(row, MEAN, "published top-1"), row["study"])
    lines = [in_words(row, MEAN)]
    if row["planned_seeds"] > 1:
        spread = "" if row["top1_std"] is None else f" ± {row['top1_std']:.2f}"
        lines.append(f"mean of {row['seeds']} of {row['planned_seeds']} seeds{spread}")
    if row["checkpoint"]:
        lines.append(f"{row['checkpoint']} checkpoint")
    if row["published_top1"] is not None:
        difference = row["top1"] - row["published_top1"]
        beside = f"({difference:+.2f})" if row["comparable"] else f"– not comparable: {row['differs']}"
        lines.append(f"{in_words(row, PUBLISHED, 'published')} {beside}")
    return hover(name, *lines)


def _add_legend(figure: PlainFigure, rows: list[Row], alone: bool) -> None:
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows))
    if len({row["temporal_pooling"] for row in rows}) > 1:
        for name, dash in (("no pooling", "solid"), ("temporal pooling", "dash")):
            key(figure, name, name, mode="lines", line={"color": NEUTRAL, "dash": dash, "width": 2})
    if not alone and any(row["source"] == "published" for row in rows):
        published_key(figure)
    interval_key(figure, interval_source(rows))


def _add_pooling_menu(figure: PlainFigure) -> None:
    poolings = [trace["meta"]["pooling"] if "meta" in trace else None for trace in figure.traces]
    choices = {"without temporal pooling": (False,), "with temporal pooling": (True,), "both": (False, True)}
    if len({pooling for pooling in poolings if pooling is not None}) < 2:
        return
    shown = {
        name: [pooling is None or pooling in wanted for pooling in poolings]
        for name, wanted in choices.items()
    }
    first = next(iter(shown.values()))
    for trace, visible in zip(figure.traces, first, strict=True):
        trace["visible"] = visible
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": visible}]}
        for name, visible in shown.items()
    ]
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 44}}
    figure.update_layout(
        updatemenus=[{"buttons": buttons, "showactive": False, "font": {"size": 12}, **place}]
    )


def _finish(figure: PlainFigure, crowded: bool, theme: Theme) -> go.Figure:
    styled(figure, 480 if crowded else 420, theme)
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.26}, margin={"t": 96 if crowded else 44})
    return figure.drawn()


def _finished(rows: pa.Table) -> pa.Table:
    return rows.filter(rows.column("top1").is_valid())


FIGURE = Figure(
    name="accuracy-by-frames",
    title="Accuracy by frames",
    data=lambda catalog, scope: means_with_intervals(
        catalog, scope, accuracies_by_frames(catalog, scope.filters, scope.source), PUBLISHED
    ),
    draw=draw_accuracy_by_frames,
    finding=Finding(
        question="frames",
        link="frames",
        order=10,
        caption=(
            "Top-1 on the validation videos, of the checkpoint that each study reports, by clip length, as "
            "in the paper's Figure 4. Colour is the module, the symbol the backbone, dashes are temporal "
            "pooling; chance is what guessing one of the classes gives."
        ),
        note=lambda answer: published_as(answer.rows, _ALONE),
    ),
    section=Section(
        order=10,
        title="Accuracy by frames",
        caption=(
            "Top-1 accuracy on the validation videos, of the checkpoint that each study reports and under "
            "its own protocol, by clip length. Colour is the temporal module, symbol the backbone, dashes "
            "are temporal pooling; chance is what guessing one of the classes would give. Seeds of one "
            "experiment are averaged."
        ),
        remark=lambda rows: published_as(rows, _ALONE),
        columns=(
            *MODEL_COLUMNS,
            Column("temporal_pooling", "pooling"),
            Column("frames", "frames", number=True),
            Column("top1", "top-1", number=True),
            Column("top1_low", "from", number=True),
            Column("top1_high", "to", number=True),
            Column("top1_std", "± std", number=True),
            Column("seeds", "seeds", number=True),
            Column("published_top1", "published", number=True),
            Column("published_top1_low", "from", number=True),
            Column("published_top1_high", "to", number=True),
            Column("differs", "differs from the published in", wrap=True),
            Column("checkpoint", "checkpoint"),
            Column("variant", "experiment", wrap=True),
            Column("cell", "cell"),
        ),
        optional=False,
        rows=_finished,
    ),
    exports=(Export("fig4", "accuracy by frames", order=30),),
)
