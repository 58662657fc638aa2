"""Spatial and temporal contributions of a module (the paper's Equation 1 and Table 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.accuracies import contribution_pairs, contributions
from catalog.queries.published import printed_contributions
from dashboards.figures.axes import room_for_numbers
from dashboards.figures.contribution_intervals import PARTS, mean_bounds
from dashboards.figures.experiments import Experiments
from dashboards.figures.figure import EVERYTHING, Answer, Behind, Export, Figure, Finding, Scope, Section
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import (
    LEGEND,
    Row,
    dataset_panels,
    error_bars,
    hover,
    hovering,
    interval_key,
    kept_place,
    name_each_bar_once,
    numbers_beyond,
    published_key,
)
from dashboards.render.markup import Column, details, paragraph, table, three_decimals
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
from dashboards.render.uncertainty import Accuracy, with_intervals, with_within

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = Accuracy("top1", seeds="seeds", std="top1_std")
_TSN = Accuracy("tsn_top1", "tsn_eval_videos", seeds="tsn_seeds", std="tsn_top1_std")
METRICS = {"phi": "Φ̄", "psi_ta": "Ψ̄ᵗᵃ", "psi_ta_tp": "Ψ̄ᵗᵃ⁺ᵗᵖ"}
"""The columns of the view `contributions` and their symbols."""


def pairs_with_intervals(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return `contribution_pairs` with the 95 % intervals of both accuracies (percent)."""
    filters = scope.filters.without("temporal_pooling")
    table = contribution_pairs(catalog, filters, scope.source)
    measurements, rows = Measurements(catalog, filters), table.to_pylist()
    unpooled = {"module": "tsn", "temporal_pooling": False}
    baselines = [{**row, **unpooled, "experiment": row["tsn_experiment"]} for row in rows]
    for accuracy, sides in ((_OWN, rows), (_TSN, baselines)):
        table = with_within(table, accuracy, measurements.within(sides, accuracy, scope.answers))
    return with_intervals(table, _OWN, _TSN)


def contributions_data(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return `contributions` with the 95 % interval of each average, `phi_low`, `phi_high` and so on.

    `most_seeds` is the largest number of seeds that one of its accuracies is the mean of.

    An average's bounds are the means of its pairs' bounds, as if all pairs erred together: they share their
    videos, and what cannot be told to be independent is not taken to be. They are empty where a pair's
    accuracies have no interval, because nobody knows on how many videos they were measured.
    """
    import pyarrow as pa

    table = contributions(catalog, scope.filters, scope.source)
    pairs: dict[tuple[str, ...], list[Row]] = {}
    for pair in pairs_with_intervals(catalog, scope).to_pylist():
        pairs.setdefault(_line(pair), []).append(pair)
    lines = [pairs.get(_line(row), []) for row in table.to_pylist()]
    for metric, (equation, pooled) in PARTS.items():
        bounds = [
            mean_bounds(equation, (p for p in line if p["temporal_pooling"] == pooled)) for line in lines
        ]
        place = table.column_names.index(metric) + 1
        for offset, name in enumerate(("low", "high")):
            values = pa.array([bound and bound[offset] for bound in bounds], pa.float64())
            table = table.add_column(place + offset, f"{metric}_{name}", values)
    seeds = [[pair[name] or 1 for pair in line for name in ("seeds", "tsn_seeds")] for line in lines]
    most = pa.array([max(line, default=1) for line in seeds], pa.int64())
    return table.append_column("most_seeds", most)


def _line(row: Row) -> tuple[str, ...]:
    return row["source"], row["study"], row["dataset"], row["module"]


def footnote(printed: pa.Table) -> str:
    """Return what `printed_contributions` shows, in words, counted and not assumed."""
    rows = printed.to_pylist()
    agreeing = sum(row["agrees"] for row in rows)
    exchanged = sum(row["agrees_exchanged"] for row in rows)
    if agreeing == len(rows):
        return f"All {len(rows)} printed figures of Table 7 follow from the published accuracies."
    text = (
        f"From the published accuracies Equation 1 gives {agreeing} of the {len(rows)} figures that Table 7 "
        f"prints to two decimals; {len(rows) - agreeing} differ."
    )
    if exchanged > agreeing:
        text += (
            f" With the printed columns of I3D and S3D exchanged in the rows of Φ̄ and Ψ̄ᵗᵃ, {exchanged} of "
            f"{len(rows)} agree: the printed columns look swapped. Figures here are computed, not corrected."
        )
    return text


def draw_contributions(rows: pa.Table, theme: Theme = AUTO, number_angle: int | None = None) -> go.Figure:
    """Draw one panel a dataset with three groups of bars, one colour a module.

    Published ones are open stars beside one's own; alone they are hatched bars. Numbers stand beyond the
    bars, turned by `number_angle` degrees; without one upright where there are several panels.
    """
    known = [row for row in rows.to_pylist() if any(row[metric] is not None for metric in METRICS)]
    if not known:
        return empty_figure("No module can be compared with TSN yet: both need finished cells.", theme)
    alone = all(row["source"] == "published" for row in known)
    datasets = sorted({row["dataset"] for row in known})
    figure = dataset_panels(datasets)
    experiments = Experiments(known, ("dataset", "module"), ("study",))
    angle = number_angle if number_angle is not None else -90 if len(datasets) > 1 else 0
    for column, dataset in enumerate(datasets, start=1):
        here, before = [row for row in known if row["dataset"] == dataset], len(figure.traces)
        for row in sorted(
            here, key=lambda row: (*module_order(row["module"]), row["source"], experiments.of(row))
        ):
            if not (row["source"] == "own" or alone):
                stars = _stars(row, experiments)
                figure.add_trace(kept_place(stars), row=1, col=column)
                figure.add_trace(stars, row=1, col=column)
                continue
            bars = _bars(row, experiments)
            figure.add_trace(bars, row=1, col=column)
            numbers = ["" if value is None else f"{round(value, 2) + 0.0:.2f}" for value in bars["y"]]
            text = {"textangle": angle, "textfont": {"size": 10}}
            figure.add_trace(numbers_beyond(bars, numbers, **text), row=1, col=column)
        ends = room_for_numbers(figure.traces[before:], 0.15 if angle else 0.08)
        figure.update_yaxes(range=ends, row=1, col=column)
    name_each_bar_once(figure)
    experiments.keys(figure)
    if not alone and any(row["source"] == "published" for row in known):
        published_key(figure)
    several = any(row["most_seeds"] > 1 for row in known)
    interval_key(figure, "videos, seeds" if several else "videos")
    return _finish(figure, theme)


def _bars(row: Row, experiments: Experiments) -> Trace:
    values = [row[metric] for metric in METRICS]
    pattern = {"shape": experiments.pattern(row)}
    return bar(
        x=list(METRICS.values()),
        y=values,
        name=label(row["module"]),
        marker={"color": module_colour(row["module"]), "pattern": pattern},
        **_common(row, experiments),
    )


def _stars(row: Row, experiments: Experiments) -> Trace:
    return scatter(
        x=list(METRICS.values()),
        y=[row[metric] for metric in METRICS],
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 11, "color": module_colour(row["module"])},
        showlegend=False,
        **_common(row, experiments),
    )


def _common(row: Row, experiments: Experiments) -> dict[str, Any]:
    words = experiments.of(row)
    source = (f"own cells, {words}" if words else "own cells") if row["source"] == "own" else row["study"]
    return {
        "error_y": _error_bars(row),
        **hovering(_hovers(row, source)),
        # A place of its own beside other sources: bars of error would cover each other.
        "offsetgroup": f"{row['module']} {row['source']} {words}".strip(),
        "legendgroup": row["module"],
    }


def _hovers(row: Row, source: str) -> list[str]:
    hovers = []
    for metric, symbol in METRICS.items():
        part = "_ta_tp" if metric == "psi_ta_tp" else ""
        n, undefined = row[f"n{part}"], row[f"undefined{part}"]
        missing = row[f"missing{part}"] - undefined
        counts = f"{source}: n = {n}, {missing} without a result yet"
        counts += f", {undefined} not defined" if undefined else ""
        hovers.append(
            hover(
                f"{label(row['module'])}@{row['dataset']}", counts, beside=f" {symbol} {_value(row, metric)}"
            )
        )
    return hovers


def _value(row: Row, metric: str) -> str:
    if row[metric] is None:
        return "is not defined" if row["undefined"] or row["undefined_ta_tp"] else "has no result yet"
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return f"{row[metric]:.3f}" + ("" if low is None else f" ({low:.3f} to {high:.3f})")


def _error_bars(row: Row) -> dict[str, Any] | None:
    ends = ("", "_low", "_high")
    return error_bars([{f"value{end}": row[f"{metric}{end}"] for end in ends} for metric in METRICS], "value")


def _finish(figure: PlainFigure, theme: Theme) -> go.Figure:
    styled(figure, 380, theme)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_xaxes(tickfont={"size": 15})
    figure.update_layout(barmode="group", scattermode="group", bargap=0.3, legend={**LEGEND, "y": -0.15})
    return figure.drawn()


def _missing(answer: Answer) -> str:
    rows = answer.rows.to_pylist()
    undefined = sum(row["undefined"] + row["undefined_ta_tp"] for row in rows)
    missing = sum(row["missing"] + row["missing_ta_tp"] for row in rows) - undefined
    text = f"Φ or Ψ is empty where the cell's own or TSN's accuracy has no result yet ({missing} of them)"
    if undefined:
        text += f", and where it is not defined, because TSN has 100 % ({undefined} of them)"
    return f"{text}."


def _note(answer: Answer) -> str:
    return "" if answer.printed is None else footnote(answer.printed)


def _after_report(catalog: Catalog) -> str:
    published = contributions_data(catalog, Scope(source="published")).to_pylist()
    return paragraph(footnote(printed_contributions(catalog)), "soft") + details(
        "All published contributions, computed from the published accuracies", table(published, _COLUMNS)
    )


_COLUMNS = (
    Column("dataset", "dataset", label),
    Column("module", "module", label),
    Column("source", "source"),
    Column("study", "study"),
    *(
        Column(f"{name}{end}", title.format(symbol), three_decimals, number=True)
        for name, symbol in METRICS.items()
        for end, title in (("", "{}"), ("_low", "{} from"), ("_high", "to"))
    ),
    Column("n", "n (Φ̄, Ψ̄ᵗᵃ)", number=True),
    Column("missing", "missing", number=True),
    Column("undefined", "of these not defined", number=True),
    Column("n_ta_tp", "n (Ψ̄ᵗᵃ⁺ᵗᵖ)", number=True),
    Column("missing_ta_tp", "missing", number=True),
    Column("undefined_ta_tp", "of these not defined", number=True),
)

_BEHIND = Behind(
    name="contribution-pairs",
    title="The cells behind every average",
    data=pairs_with_intervals,
    columns=(
        Column("source", "source"),
        Column("study", "study"),
        Column("dataset", "dataset"),
        Column("module", "module"),
        Column("backbone", "backbone"),
        Column("temporal_pooling", "pooling"),
        Column("frames", "frames"),
        Column("top1", "top-1"),
        Column("top1_low", "from"),
        Column("top1_high", "to"),
        Column("tsn_top1", "TSN's top-1"),
        Column("tsn_top1_low", "from"),
        Column("tsn_top1_high", "to"),
        Column("phi", "Φ"),
        Column("psi", "Ψ"),
    ),
    empty="No pair yet.",
    caption=_missing,
)

_INTERVALS = (
    "They are from the videos and seeds of one's own accuracies and the validation videos of published ones, "
    "with all errors taken to go one way; what is printed in Table 7 has none."
)

FIGURE = Figure(
    name="contributions",
    title="Spatial and temporal contributions",
    data=contributions_data,
    draw=draw_contributions,
    printed=lambda catalog, _: printed_contributions(catalog),
    finding=Finding(
        question="contributions",
        link="contributions",
        order=40,
        caption=(
            f"{', '.join(METRICS.values())} (Equation 1, Table 7): Φ̄ is how much of a module's accuracy TSN "
            "reaches without looking at motion, Ψ̄ how much of what TSN leaves open the module gains. Bars of "
            f"error are 95 % intervals. {_INTERVALS}"
        ),
        note=_note,
        behind=_BEHIND,
    ),
    section=Section(
        order=30,
        title="Spatial and temporal contributions",
        caption=(
            "Φ̄ is the share of a module's accuracy that TSN, which models no time, reaches with the same "
            "backbone and length. Ψ̄ is what the module adds, as a share of what TSN leaves open: with "
            "temporal aggregation (ta), and with temporal aggregation and pooling (ta+tp). Averages over "
            "backbones and lengths (Equation 1 of Chen et al. 2021), with 95 % intervals. "
            f"{_INTERVALS}"
        ),
        columns=_COLUMNS,
        open_table=True,
        optional=False,
        after=_after_report,
    ),
    # In print there is no room for the numbers side by side.
    exports=(
        Export("contributions", "averages of Table 7", order=80, options=lambda _, __: {"number_angle": -90}),
    ),
)
