"""What temporal pooling changes in top-1 accuracy (the paper's Figure 6), and whether that can be told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.accuracies import temporal_pooling_gains, trainings_behind
from catalog.queries.filters import ALL, Filters, Source
from catalog.queries.predictions import outcomes_by_video
from dashboards.figures.experiments import Experiments
from dashboards.figures.figure import Export, Figure, Finding, Section
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    dataset_panels,
    error_bars,
    hover,
    hovering,
    interval_key,
    interval_source,
    kept_place,
    name_each_bar_once,
    published_as,
    published_key,
)
from dashboards.render.comparison import NOTHING, Result, differences, outcomes_of, result_of, within_of
from dashboards.render.markup import Column, signed
from dashboards.render.plain_figure import PlainFigure, Trace, bar, scatter
from dashboards.render.theme import (
    AUTO,
    PUBLISHED_SYMBOL,
    Theme,
    empty_figure,
    module_colour,
    module_order,
    styled,
)
from dashboards.render.uncertainty import Accuracy, in_words, with_differences, with_intervals, with_within

if TYPE_CHECKING:
    import pyarrow as pa

WITH_POOLING = Accuracy("top1_with", "videos_with", "seeds_with", "std_with")
WITHOUT = Accuracy("top1_without", "videos_without", "seeds_without", "std_without")
HELPS, COSTS, UNKNOWN = "pooling helps", "pooling costs accuracy", "cannot be told"

CROWDED = 24
"""With more bars than this in a panel of the report, its panels are made wider."""


def temporal_pooling_gain_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a model with both: accuracies (percent), the gain (points), and how sure each is.

    `gain_low` and `gain_high` are the 95 % interval of a gain, `paired` says that it was counted by video,
    `holm` is its p-value corrected for all gains of its source in the table; `verdict` says what can be told.
    """
    table = temporal_pooling_gains(catalog, filters, source)
    pairs = _trained_pairs(catalog, filters, table.to_pylist())
    keys = [key for pair in pairs for one in pair for key in one.keys]
    outcomes = outcomes_of(outcomes_by_video(catalog, keys).to_pylist())
    found = differences(pairs, outcomes, table.column("source").to_pylist())
    for accuracy, results in zip((WITH_POOLING, WITHOUT), zip(*pairs, strict=True), strict=False):
        table = with_within(table, accuracy, [within_of(result, outcomes) for result in results])
    table = with_intervals(table, WITHOUT, WITH_POOLING)
    return with_differences(table, "gain", found, (HELPS, COSTS, UNKNOWN))


def _trained_pairs(catalog: Catalog, filters: Filters, rows: list[Row]) -> list[tuple[Result, Result]]:
    """The trainings behind every row, with and without pooling; one each of what is published."""
    if all(row["source"] == "published" for row in rows):
        return [*map(_published_pair, rows)]
    trained = {
        (*_model(row), row["temporal_pooling"], row["experiment"]): result_of(row)
        for row in trainings_behind(catalog, filters.without("temporal_pooling")).to_pylist()
    }
    return [
        _published_pair(row)
        if row["source"] == "published"
        else (
            trained.get((*_model(row), True, row["experiment_with"]), NOTHING),
            trained.get((*_model(row), False, row["experiment_without"]), NOTHING),
        )
        for row in rows
    ]


def _published_pair(row: Row) -> tuple[Result, Result]:
    with_, without = (Result((row[one.name],), row[one.videos]) for one in (WITH_POOLING, WITHOUT))
    return with_, without


def _model(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("study", "dataset", "module", "backbone", "frames"))


def draw_temporal_pooling_gain(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset, bars from the zero line with their intervals, one colour a module.

    Published gains are open stars beside one's own; alone they are hatched bars.
    """
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No model has an accuracy both with and without temporal pooling yet.", theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    alone = all(row["source"] == "published" for row in rows)
    experiments = Experiments(rows, ("dataset", "module", "backbone", "frames"), ("study", "variant"))
    for column, dataset in enumerate(datasets, start=1):
        here = [row for row in rows if row["dataset"] == dataset]
        for (module, source, *_), group in _groups(here, experiments).items():
            if source == "own" or alone:
                figure.add_trace(_bars(module, group, experiments), row=1, col=column)
                continue
            stars = _stars(module, group, experiments)
            figure.add_trace(kept_place(stars), row=1, col=column)
            figure.add_trace(stars, row=1, col=column)
    name_each_bar_once(figure)
    experiments.keys(figure)
    if not alone and any(row["source"] == "published" for row in rows):
        published_key(figure)
    interval_key(figure, interval_source(rows, WITHOUT, WITH_POOLING))
    return _finish(figure, theme)


def _groups(rows: list[Row], experiments: Experiments) -> dict[tuple[str, str, str, str], list[Row]]:
    """The rows of a trace each: of one module, source, study and experiment."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    order = sorted(rows, key=lambda row: (*module_order(row["module"]), row["source"], experiments.of(row)))
    for row in order:
        groups.setdefault((row["module"], row["source"], row["study"], experiments.of(row)), []).append(row)
    return groups


def _bars(module: str, rows: list[Row], experiments: Experiments) -> Trace:
    pattern = {"shape": experiments.pattern(rows[0])}
    return bar(
        name=label(module),
        marker={"color": module_colour(module), "pattern": pattern},
        **_common(module, rows, experiments),
    )


def _stars(module: str, rows: list[Row], experiments: Experiments) -> Trace:
    return scatter(
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 8, "color": module_colour(module)},
        **_common(module, rows, experiments),
    )


def _common(module: str, rows: list[Row], experiments: Experiments) -> dict[str, Any]:
    return {
        "x": [[label(row["backbone"]) for row in rows], [f"f{row['frames']}" for row in rows]],
        "y": [row["gain"] for row in rows],
        "error_y": error_bars(rows, "gain"),
        **hovering([_about(row) for row in rows]),
        "legendgroup": module,
        # A place of its own beside other sources: bars of error would cover each other.
        "offsetgroup": f"{module} {rows[0]['source']} {experiments.of(rows[0])}".strip(),
        "showlegend": False,
    }


def _about(row: Row) -> str:
    name = f"{label(row['module'])}-{label(row['backbone'])}-f{row['frames']}@{row['dataset']}"
    lines = [
        f"without: {in_words(row, WITHOUT)}",
        f"with temporal pooling: {in_words(row, WITH_POOLING)}",
        f"gain {row['gain']:+.2f} points{_how_sure(row)}",
    ]
    if row["source"] == "own" and row["published_gain"] is not None:
        lines.append(f"published gain {row['published_gain']:+.2f} points")
    told = row["study"] if row["source"] == "published" else row["variant"]
    beside = f" ({told})" if told else ""
    return hover(name, *lines, beside=beside)


def _how_sure(row: Row) -> str:
    if row["gain_low"] is None:
        return ""
    way = "by video" if row["gain_paired"] else "unpaired"
    return f" ({row['gain_low']:+.2f} to {row['gain_high']:+.2f}, {way}): {row['gain_verdict']}"


def verdicts(rows: pa.Table) -> str:
    """Return of how many models which verdict can be given; empty where there are none of one's own."""
    given = rows.select(["source", "gain_verdict"]).to_pylist()
    found = Counter(row["gain_verdict"] for row in given if row["source"] == "own" and row["gain_verdict"])
    counts = [f"{found[one]} × {one}" for one in (HELPS, COSTS, UNKNOWN) if found[one]]
    noun = "gain" if found.total() == 1 else "gains"
    return f"Of {found.total()} own {noun}: {', '.join(counts)}. " if counts else ""


def _remark(rows: pa.Table) -> str:
    return verdicts(rows) + published_as(rows, "The hatched bars")


def _finish(figure: PlainFigure, theme: Theme) -> go.Figure:
    styled(figure, 400, theme)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="gain (points of top-1)", col=1)
    figure.update_xaxes(tickfont={"size": 11}, dividercolor=theme.grid)
    figure.update_layout(barmode="group", scattermode="group", bargap=0.25, legend={**LEGEND, "y": -0.24})
    return figure.drawn()


def _crowded(rows: pa.Table) -> bool:
    return len(rows) > CROWDED * len(set(rows.column("dataset").to_pylist()))


_CAPTION = (
    "Top-1 with temporal pooling minus top-1 without it, in points{figure}, with 95 % intervals: by video "
    "where the predictions of both are known, else by the intervals of both, which is wider. That pooling "
    "helps or costs accuracy is said where the difference is significant at 5 % after Holm's correction for "
    "all own gains shown here (for all published ones, of these); of the others it cannot be told. Published "
    "models were trained once: their intervals count the official validation videos alone."
)

FIGURE = Figure(
    name="temporal-pooling-gain",
    title="Gain of temporal pooling",
    data=lambda catalog, scope: temporal_pooling_gain_data(catalog, scope.filters, scope.source),
    draw=draw_temporal_pooling_gain,
    finding=Finding(
        question="pooling",
        link="temporal pooling",
        order=30,
        title="What temporal pooling changes",
        caption=_CAPTION.format(figure=" (Figure 6)"),
        note=lambda answer: _remark(answer.rows),
    ),
    section=Section(
        order=20,
        title="Gain of temporal pooling",
        caption=_CAPTION.format(figure=""),
        columns=(
            *MODEL_COLUMNS,
            Column("frames", "frames", number=True),
            Column("top1_without", "without", number=True),
            Column("top1_without_low", "from", number=True),
            Column("top1_without_high", "to", number=True),
            Column("top1_with", "with", number=True),
            Column("top1_with_low", "from", number=True),
            Column("top1_with_high", "to", number=True),
            Column("gain", "gain", signed, number=True),
            Column("gain_low", "from", signed, number=True),
            Column("gain_high", "to", signed, number=True),
            Column("gain_verdict", "verdict"),
            Column("published_gain", "published gain", signed, number=True),
            Column("variant", "experiment", wrap=True),
        ),
        optional=False,
        remark=_remark,
        wide=_crowded,
    ),
    exports=(Export("fig6", "gain of temporal pooling", order=50),),
)
