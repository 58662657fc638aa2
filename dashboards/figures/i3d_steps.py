"""I3D step by step: a stronger backbone, no temporal pooling, squeeze-excitation (the paper's Figure 7)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.accuracies import i3d_accuracies
from catalog.queries.filters import ALL, Filters, Source
from catalog.queries.overview import planned_datasets
from catalog.queries.published import printed_i3d_numbers
from dashboards.figures.axes import interval_ends
from dashboards.figures.experiments import Experiments
from dashboards.figures.figure import Export, Figure, Finding, Section
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import (
    LEGEND,
    Row,
    bar_source_keys,
    dataset_panels,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    key,
    numbers_beyond,
    protocol_text,
)
from dashboards.render.comparison import (
    NOTHING,
    Difference,
    Outcomes,
    Result,
    differences,
    within_of,
)
from dashboards.render.markup import Column, signed, three_decimals
from dashboards.render.plain_figure import Trace, bar
from dashboards.render.theme import AUTO, Theme, empty_figure, module_colour, styled
from dashboards.render.uncertainty import (
    MEAN,
    difference_in_words,
    in_words,
    with_differences,
    with_intervals,
    with_within,
)

if TYPE_CHECKING:
    import pyarrow as pa

STEPS = (
    ("i3d", "inception_v1", True, "I3D-InceptionV1-tp"),
    ("i3d", "resnet50", True, "I3D-ResNet50-tp"),
    ("i3d", "resnet50", False, "I3D-ResNet50"),
    ("i3d_se", "resnet50", False, "I3D-SE-ResNet50"),
)
"""Module, backbone and temporal pooling of each step, and its name."""

_FIRST = "InceptionV1"
FRAMES = 32

_MEASURE = {
    **{"sampling": str, "clips": int, "crops": int, "crop_size": int, "checkpoint": str},
    **{"top1_std": float, "seeds": int, "eval_videos": int},
}
"""Columns that say how a step was measured, empty where it follows from printed numbers, and their types."""


_MODEL = ("module", "backbone", "temporal_pooling", "experiment", "measured_by")
"""What tells one model of a study and dataset from others, and its measurement; empty where it is printed."""


def i3d_steps_data(
    catalog: Catalog, filters: Filters = ALL, source: Source = "both", frames: int = FRAMES
) -> pa.Table:
    """Return one row a dataset and step: top-1 (percent) and its change from the step before, in points.

    `printed` tells accuracies that are measured or printed from those that follow from printed changes: these
    were measured on the same videos, so that their intervals are known too, but for the rounding in print.
    One's own steps of a dataset are of one protocol and of the checkpoint that their study reports.
    `change_low`, `change_high` and so on are as in `with_differences`, corrected for all changes of a source.
    """
    import pyarrow as pa

    axes = filters.without("module", "backbone", "temporal_pooling", "frames")
    measured = i3d_accuracies(catalog, axes, source, frames).to_pylist()
    rows = [row for group in _by_dataset(measured).values() for row in _measured_steps(group)]
    if source != "own":
        numbers = printed_i3d_numbers(catalog, filters).to_pylist()
        own = planned_datasets(catalog, filters)
        shown = [row for row in numbers if source == "published" or not own or row["dataset"] in own]
        rows += _printed_steps(shown)
    measurements = Measurements(catalog, axes)
    results = [_result(row, measurements) for row in rows]
    outcomes = measurements.outcomes(results)
    table = pa.Table.from_pylist(rows, schema=_schema())
    table = with_within(table, MEAN, [within_of(result, outcomes) for result in results])
    return with_differences(table, "change", _changes(rows, results, outcomes), ("more", "less", "untold"))


def _changes(rows: list[Row], found: list[Result], outcomes: Outcomes) -> list[Difference]:
    """How sure the change of each row is: by video where the predictions of both steps are known."""
    groups = _by_dataset(rows).values()
    results = {id(row): result for row, result in zip(rows, found, strict=True)}
    before = {id(row): results[id(last)] for group in groups for last, row in pairwise(group)}
    pairs = [(results[id(row)], before.get(id(row), NOTHING)) for row in rows]
    return differences(pairs, outcomes, [row["source"] for row in rows])


def _result(row: Row, measurements: Measurements) -> Result:
    """The measurements behind a row; what is printed is of one training."""
    if row["source"] == "published":
        return Result((row["top1"],), row["eval_videos"])
    return measurements.result(row, row["experiment"], row["measured_by"])


def draw_i3d_steps(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset: a bar a step, above it the change and the accuracy; published is hatched."""
    rows = table.to_pylist()
    if not rows:
        text = f"No I3D model with {FRAMES} frames has finished yet."
        return empty_figure(text, theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    both = len({row["source"] for row in rows}) > 1
    experiments = Experiments(rows, ("dataset", "step"), ("study", "line"))
    for column, dataset in enumerate(datasets, start=1):
        here, before = [row for row in rows if row["dataset"] == dataset], len(figure.traces)
        for source in ("own", "published"):
            for group in _by_dataset([row for row in here if row["source"] == source]).values():
                bars = _bars(group, experiments)
                figure.add_trace(bars, row=1, col=column)
                # Beside one's own bars there is no room for the numbers of the published ones.
                if not (both and source == "published"):
                    numbers = numbers_beyond(bars, [_text(row) for row in group], textangle=0)
                    figure.add_trace(numbers, row=1, col=column)
        values = interval_ends(figure.traces[before:])
        span = max(max(values) - min(values), 4.0)
        low = max(0.0, min(values) - 0.5 * span)
        figure.update_yaxes(range=[low, max(values) + 0.35 * span], row=1, col=column)
    if both:
        bar_source_keys(figure, ("own", "published"))
    experiments.keys(figure)
    if not all(row["printed"] for row in rows):
        key(figure, "* follows from printed changes", "derived", mode="markers", marker={"size": 1})
    interval_key(figure, interval_source(rows))
    styled(figure, 430, theme)
    figure.update_yaxes(title="top-1 (%), cut off below", col=1)
    figure.update_xaxes(tickangle=-30, tickfont={"size": 11})
    names = sorted({row["step"] for row in rows}, key=lambda name: (_place(name), name))
    figure.update_xaxes(categoryorder="array", categoryarray=names)
    figure.update_layout(barmode="group", bargap=0.25, legend={**LEGEND, "y": -0.4})
    return figure.drawn()


def _by_dataset(rows: list[Row]) -> dict[tuple[str, ...], list[Row]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["study"], row["dataset"], row["line"]), []).append(row)
    return groups


def _place(step: str) -> int:
    """Which of `STEPS` a step is, whatever its backbone."""
    if _FIRST in step:
        return 0
    return 3 if "-SE-" in step else 1 if step.endswith("-tp") else 2


def _steps_of(rows: list[Row]) -> list[tuple[frozenset[str], str, bool, str]]:
    """Modules, backbone, pooling and name of each step.

    In ResNet50's place stands another backbone beside InceptionV1, if there is only one.
    """
    others = {row["backbone"] for row in rows} - {"inception_v1"}
    strong = next(iter(others)) if len(others) == 1 else "resnet50"
    first = frozenset({"i3d", "i3d_2017"})
    steps = [(frozenset({module}), strong, pooled, name) for module, _, pooled, name in STEPS[1:]]
    return [
        (first, "inception_v1", True, STEPS[0][3]),
        *(
            (modules, one, pooled, name.replace("ResNet50", label(one)))
            for modules, one, pooled, name in steps
        ),
    ]


def _measured_steps(rows: list[Row]) -> list[Row]:
    steps: list[Row] = []
    for modules, backbone, pooled, name in _steps_of(rows):
        found = [
            row
            for row in sorted(rows, key=lambda row: str(row["module"]))
            if row["module"] in modules and (row["backbone"], row["temporal_pooling"]) == (backbone, pooled)
        ]
        if found:
            change = found[0]["top1"] - steps[-1]["top1"] if steps else None
            place = f"{found[0]['source_table'] or found[0]['cell']}"
            steps.append(_step(found[0], name, found[0]["top1"], change, True, place))
    return steps


def _printed_steps(numbers: list[Row]) -> list[Row]:
    """Walk from the printed accuracy of I3D-ResNet50 along the printed changes, in both directions."""
    steps: list[Row] = []
    for dataset in sorted({row["dataset"] for row in numbers}):
        here = [row for row in numbers if row["dataset"] == dataset]
        base = next((row for row in here if (row["metric"], row["module"]) == ("top1", "i3d")), None)
        rival = next((row for row in here if (row["metric"], row["module"]) == ("top1", "slowfast")), None)
        gains = {
            (row["module"], row["temporal_pooling"]): row for row in here if row["source_table"] == "Figure 7"
        }
        if base is None or not gains:
            continue
        pooled, backbone, squeeze = (gains.get(k) for k in (("i3d", False), ("i3d", True), ("i3d_se", False)))
        values = {STEPS[2][3]: (base["value"], pooled["value"] if pooled else None, True, base)}
        if pooled:
            before = base["value"] - pooled["value"]
            values[STEPS[1][3]] = (before, backbone["value"] if backbone else None, False, pooled)
            if backbone:
                values[STEPS[0][3]] = (before - backbone["value"], None, False, backbone)
        if squeeze and rival:
            top1 = rival["value"] + squeeze["value"]
            values[STEPS[3][3]] = (top1, top1 - base["value"], False, squeeze)
        for *_, name in STEPS:
            if name in values:
                top1, change, printed, row = values[name]
                place = f"{row['source_table']}, {row['source_row']}"
                about = {
                    **dict.fromkeys(_MEASURE),
                    **{"source": "published", "study": row["paper"], "dataset": dataset, "frames": 32},
                    **{"seeds": 1, "eval_videos": row["eval_videos"], "line": ""},
                    **dict.fromkeys(_MODEL),
                }
                steps.append(_step(about, name, top1, change, printed, place))
    return steps


def _step(row: Row, name: str, top1: float, change: float | None, printed: bool, place: str) -> Row:
    columns = ("source", "study", "dataset", "frames", "line", *_MEASURE, *_MODEL)
    shared = {column: row[column] for column in columns}
    return {**shared, "step": name, "top1": top1, "change": change, "printed": printed, "place": place}


def _schema() -> Any:  # noqa: ANN401  (pyarrow is untyped here)
    import pyarrow as pa

    kinds = {
        "source": pa.string(),
        "study": pa.string(),
        "dataset": pa.string(),
        "frames": pa.int64(),
        "step": pa.string(),
        "top1": pa.float64(),
        "change": pa.float64(),
        "printed": pa.bool_(),
        "place": pa.string(),
        "line": pa.string(),
    }
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    kinds |= {name: types[kind] for name, kind in _MEASURE.items()}
    return pa.schema(kinds.items())


def _bars(rows: list[Row], experiments: Experiments) -> Trace:
    pattern = {"shape": experiments.pattern(rows[0])}
    return bar(
        x=[row["step"] for row in rows],
        y=[row["top1"] for row in rows],
        error_y=interval_bars(rows),
        marker={"color": module_colour("i3d"), "pattern": pattern},
        offsetgroup=f"{rows[0]['source']} {rows[0]['study']} {rows[0]['line']}",
        **hovering([_about(row) for row in rows]),
        showlegend=False,
    )


def _text(row: Row) -> str:
    top1 = f"{row['top1']:.1f}{'' if row['printed'] else '*'}"
    if row["change"] is None:
        return top1
    change = f"{row['change']:+.1f}"
    return (
        f"<b>{change}</b><br>{top1}" if row["change_verdict"] in ("more", "less") else f"{change}<br>{top1}"
    )


def _about(row: Row) -> str:
    lines = [in_words(row, MEAN)]
    if row["change"] is not None:
        lines.append(difference_in_words(row, "change", "points from the step before"))
    lines.append(row["place"] if row["printed"] else f"follows from {row['place']}")
    if row["sampling"]:
        lines.append(protocol_text(row))
    if row["line"]:
        lines.append(row["line"])
    if row["source"] == "published":
        lines.append(row["study"])
    return hover(f"{row['step']}-f{row['frames']}@{row['dataset']}", *lines)


_SURE = (
    "Bars of error are 95 % intervals of the accuracies. A change in bold is told from none (5 %, Holm's "
    "correction over the changes shown): by video where predictions are known, else by the intervals of both "
    "accuracies. Bars marked * follow from changes that the paper prints in words; their intervals count the "
    "official validation videos, as those of printed accuracies do, and not the rounding of what is printed."
)

FIGURE = Figure(
    name="i3d-steps",
    title="I3D step by step",
    data=lambda catalog, scope: with_intervals(i3d_steps_data(catalog, scope.filters, scope.source), MEAN),
    draw=draw_i3d_steps,
    finding=Finding(
        question="i3d",
        link="I3D step by step",
        order=70,
        caption=(
            "From I3D as it was published to the better ones, a step at a time (Figure 7). One's own steps "
            "of a dataset are measured alike: under one protocol, of the checkpoint that their study reports."
            f" {_SURE}"
        ),
    ),
    section=Section(
        order=60,
        title="I3D step by step",
        caption=(
            "I3D with a stronger backbone, then without temporal pooling, then with squeeze-excitation: "
            f"top-1 and its change in points. {_SURE}"
        ),
        columns=(
            Column("source", "source"),
            Column("dataset", "dataset", label),
            Column("step", "model"),
            Column("frames", "frames", number=True),
            Column("top1", "top-1", number=True),
            Column("top1_low", "from", number=True),
            Column("top1_high", "to", number=True),
            Column("change", "change", signed, number=True),
            Column("change_low", "from", signed, number=True),
            Column("change_high", "to", signed, number=True),
            Column("change_holm", "p (Holm)", three_decimals, number=True),
            Column("place", "from", wrap=True),
            Column("checkpoint", "checkpoint"),
            Column("line", "experiment", wrap=True),
        ),
    ),
    exports=(Export("fig7", "I3D step by step", order=60, gap=125),),
)
