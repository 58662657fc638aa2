"""What each axis of a grid changes, over all its cells at once: effects of a mixed-effects model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import dataset_label, label, study_with_axes
from catalog.queries.claims import right_predictions
from catalog.queries.filters import ALL, Filters, Source, rows_of
from dashboards.figures.figure import Answer, Export, Figure, Finding, Scope, Section
from dashboards.figures.panels import (
    WITH_NAMES,
    Row,
    dataset_panels,
    differences_on_lines,
    hover,
    name_lines,
    note,
)
from dashboards.render.markup import Column, signed
from dashboards.render.theme import AUTO, Theme, empty_figure, module_order, styled
from dashboards.statistics import holm
from dashboards.statistics.grid_model import AXES, Effect, GridModel, GridResult, what_is_missing

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

EVERY_DATASET = "all datasets"
NAMES = {"temporal_pooling": "temporal pooling"}
_TEXTS = ("source", "study", "dataset", "axis", "effect", "scope", "text", "videos")
_NUMBERS = ("difference", "low", "high", "p", "holm")


def grid_effects_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row an effect of the model of each study, in points of top-1, with its 95 % interval.

    `p` is two-sided, `holm` corrected for the effects of the study; `text` says it in words. `videos` says
    whether videos are a random effect, or the interval speaks of the evaluated videos alone. Places of a
    grid with several experiments are left out, and studies whose cells are too few.
    """
    import pyarrow as pa

    rows: list[Row] = []
    for cells in _by_study(catalog, filters, source):
        rows += _of_study(catalog, cells)
    kinds = [*((name, pa.string()) for name in _TEXTS), *((name, pa.float64()) for name in _NUMBERS)]
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


def why_no_model(catalog: Catalog, filters: Filters = ALL) -> str:
    """Return in words what one's own study with the most cells lacks for a model of its grid."""
    most = max(_by_study(catalog, filters, "own"), key=len, default=[])
    return what_is_missing([_result(row) for row in most])


def _by_study(catalog: Catalog, filters: Filters, source: Source) -> list[list[Row]]:
    """The finished cells of each study that can be modelled."""
    cells = [
        {**row, "study": study_with_axes(row["study"], row["other_axes"])}
        for row in rows_of(catalog, "cell_accuracies", filters).to_pylist()
        if row["top1"] is not None
    ]
    wanted = _one_experiment([row for row in cells if source in ("both", row["source"])])
    studies = sorted({(row["source"], row["study"]) for row in wanted})
    return [[row for row in wanted if (row["source"], row["study"]) == one] for one in studies]


def _one_experiment(rows: list[Row]) -> list[Row]:
    """The rows of places where all cells are seeds of one experiment: others are never averaged."""
    found: dict[tuple[Any, ...], set[Any]] = {}
    for row in rows:
        found.setdefault(_place(row), set()).add(row["experiment"])
    return [row for row in rows if len(found[_place(row)]) == 1]


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("source", "study", *AXES))


def _of_study(catalog: Catalog, cells: list[Row]) -> list[Row]:
    try:
        model = GridModel([_result(row) for row in cells], _right(catalog, cells))
        found = list(_asked(model))
    except ValueError:
        return []
    corrected = holm([effect.p for effect, _ in found])
    names = {"source": cells[0]["source"], "study": cells[0]["study"]}
    return [
        {**names, **_row(model, effect, without), "holm": p}
        for (effect, without), p in zip(found, corrected, strict=True)
    ]


def _result(row: Row) -> GridResult:
    axes = {axis: row[axis] for axis in ("dataset", "module", "backbone", "temporal_pooling", "frames")}
    return GridResult(**axes, seed=row["seed"] or 0, accuracy=row["top1"])


def _right(catalog: Catalog, cells: list[Row]) -> list[NDArray[np.bool_] | None]:
    """Which videos each cell got right, of the checkpoint that its accuracy is of, on the same videos."""
    import numpy as np

    keys = [row["key"] for row in cells if row["key"] is not None]
    if not keys:
        return [None] * len(cells)
    tables: dict[str, list[Row]] = {}
    for found in right_predictions(catalog, keys).to_pylist():
        tables.setdefault(found["key"], []).append(found)
    chosen = [_of_accuracy(tables.get(row["key"] or "", []), row["top1"]) for row in cells]
    first: dict[str, str] = {}
    right: list[NDArray[np.bool_] | None] = []
    for row, found_one in zip(cells, chosen, strict=True):
        same = found_one and first.setdefault(row["dataset"], found_one["videos"]) == found_one["videos"]
        right.append(np.array(found_one["correct"], bool) if found_one and same else None)
    return right


def _of_accuracy(tables: list[Row], top1: float) -> Row | None:
    shares = [(abs(100 * sum(one["correct"]) / len(one["correct"]) - top1), one) for one in tables]
    return next((one for distance, one in shares if distance < 1e-3), None)


def _asked(model: GridModel) -> Iterator[tuple[Effect, tuple[str, ...]]]:
    """The effects that are shown, each with the modules that were left out of it."""
    modules = sorted(model.levels("module"), key=module_order)
    for dataset in model.levels("dataset"):
        yield from _pooling(model, dataset if model.has("dataset", "temporal_pooling") else None, modules)
        if not model.has("dataset", "temporal_pooling"):
            break
    for axis in ("module", "backbone", "frames"):
        levels = modules if axis == "module" else model.levels(axis)
        steps = [
            (level, levels[place] if axis == "frames" else levels[0])
            for place, level in enumerate(levels[1:])
        ]
        by_dataset = model.has("dataset", axis)
        for dataset in model.levels("dataset") if by_dataset else [None]:
            for level, against in steps if model.has(axis) else []:
                if effect := model.effect(axis, level, against, dataset, modules):
                    yield effect, ()


def _pooling(
    model: GridModel, dataset: str | None, modules: Sequence[str]
) -> Iterator[tuple[Effect, tuple[str, ...]]]:
    if not model.has("temporal_pooling") or model.levels("temporal_pooling") != [False, True]:
        return
    single = model.has("module", "temporal_pooling", *(["dataset"] if dataset else []))
    without = model.pooling_exceptions(dataset) if single and dataset else ()
    scopes = [[one for one in modules if one not in without], *([[one] for one in modules] if single else [])]
    for scope in scopes if len(modules) > 1 else scopes[:1]:
        if effect := model.effect("temporal_pooling", True, False, dataset, scope):
            yield effect, without if scope is scopes[0] else ()


def _row(model: GridModel, effect: Effect, without: tuple[str, ...]) -> Row:
    dataset = effect.dataset
    name, scope = _name(effect), _scope(model, effect, without)
    span = effect.interval
    where = dataset_label(dataset) if dataset else EVERY_DATASET
    half = (span.high - span.low) / 2
    sets = set(model.levels("dataset")) if dataset is None else {dataset}
    return {
        "dataset": dataset or EVERY_DATASET,
        "axis": effect.axis,
        "effect": name,
        "scope": scope,
        "difference": span.estimate,
        "low": span.low,
        "high": span.high,
        "p": effect.p,
        "text": f"{name} on {where}{scope and ', ' + scope}: {span.estimate:+.1f} ± {half:.1f} points",
        "videos": "random" if sets <= set(model.video_sets) else "as evaluated",
    }


def _name(effect: Effect) -> str:
    if effect.axis == "temporal_pooling":
        return NAMES[effect.axis]
    if effect.axis == "frames":
        return f"{effect.against} → {effect.level} frames"
    return f"{label(effect.level)} − {label(effect.against)}"


def _scope(model: GridModel, effect: Effect, without: tuple[str, ...]) -> str:
    if without:
        return "all modules except " + ", ".join(label(one) for one in without)
    if effect.axis == "temporal_pooling" and len(effect.modules) == 1 < len(model.levels("module")):
        return label(effect.modules[0])
    return ""


def summary(table: pa.Table) -> str:
    """Return what temporal pooling does, study by study, in words."""
    rows = [row for row in table.to_pylist() if row["axis"] == "temporal_pooling"]
    mean = [row for row in rows if not row["scope"] or row["scope"].startswith("all modules except")]
    texts = [f"{row['text']}{_exceptions(row, rows)} ({row['study']})." for row in mean]
    lines = [text[0].upper() + text[1:] for text in texts]
    return " ".join(lines) or "No study has enough cells for a model of its grid yet."


def _exceptions(mean: Row, rows: list[Row]) -> str:
    names = mean["scope"].removeprefix("all modules except ").split(", ") if mean["scope"] else []
    same = [row for row in rows if (row["study"], row["dataset"]) == (mean["study"], mean["dataset"])]
    found = [f"{row['scope']} {row['difference']:+.1f}" for row in same if row["scope"] in names]
    return f" ({', '.join(found)})" if found else ""


def left_out(catalog: Catalog, scope: Scope, rows: pa.Table) -> str:
    """Return which of one's own studies with results have too few cells for a model of their grid."""
    if scope.source == "published":
        return ""
    own = {
        study_with_axes(row["study"], row["other_axes"])
        for row in rows_of(catalog, "cell_accuracies", scope.filters).to_pylist()
        if row["source"] == "own" and row["top1"] is not None
    }
    few = own - {row["study"] for row in rows.to_pylist() if row["source"] == "own"}
    names = ", ".join(sorted(few))
    return f"Not drawn, because its cells are too few to tell effects from chance: {names}." if few else ""


def draw_grid_effects(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset, a line an effect: filled where it is significant, corrected."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure(summary(table), theme)
    datasets = sorted({row["dataset"] for row in rows})
    studies = list(dict.fromkeys(_study(row) for row in rows))
    several = len(studies) > 1
    lines = list(dict.fromkeys(_line(row, several=several) for row in rows))
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        here = [row for row in rows if row["dataset"] == dataset]
        about = [_about(row) for row in here]
        places = [lines.index(_line(row, several=several)) for row in here]
        figure.add_trace(differences_on_lines(here, places, about, theme), row=1, col=column)
    styled(figure, 170 + (34 if several else 24) * len(lines), theme)
    # What is the same of all panels stands above them: below each it would reach into the next one.
    figure.update_xaxes(title={"text": "points of top-1", "standoff": 4}, zeroline=True)
    name_lines(figure, lines)
    whose = "" if several else f"{studies[0]}; "
    note(figure, f"{whose}95 % intervals; filled: p < 0.05 (Holm's correction)")
    figure.update_layout(margin={"t": 64})
    return figure.drawn()


def _study(row: Row) -> str:
    return str(row["study"]) if row["source"] == "own" else f"{row['study']}, published"


def _line(row: Row, *, several: bool) -> str:
    scope = "except some modules" if row["scope"].startswith("all modules except") else row["scope"]
    return f"{row['effect']}{scope and f', {scope}'}" + (f"<br>({_study(row)})" if several else "")


def _about(row: Row) -> str:
    span = f"{row['low']:+.2f} to {row['high']:+.2f}, p = {row['p']:.2g}, Holm {row['holm']:.2g}"
    return hover(row["text"], span, f"videos: {row['videos']}")


def _note(answer: Answer) -> str:
    return summary(answer.rows)


_CAPTION = (
    "Effects of a mixed-effects model over all cells of a study, in points of top-1, averaged over the cells "
    "that exist at both values. Chains of cells, their trainings and, where the predictions of every cell "
    "are known, videos are random. Filled: p < 0.05 after Holm's correction over the study's effects."
)
_COLUMNS = (
    Column("study", "study"),
    Column("dataset", "dataset", label),
    Column("effect", "effect"),
    Column("scope", "of"),
    Column("difference", "points", signed, number=True),
    Column("low", "from", signed, number=True),
    Column("high", "to", signed, number=True),
    Column("holm", "p (Holm)", number=True),
    Column("videos", "videos"),
)
FIGURE = Figure(
    name="grid-effects",
    title="What each axis changes",
    data=lambda catalog, scope: grid_effects_data(catalog, scope.filters, scope.source),
    draw=draw_grid_effects,
    finding=Finding(
        question="effects",
        link="effects over all cells",
        order=45,
        caption=_CAPTION,
        columns=_COLUMNS,
        note=_note,
        narrowest=WITH_NAMES,
    ),
    section=Section(
        order=35,
        title="What each axis changes",
        caption=_CAPTION,
        columns=_COLUMNS,
        remark=summary,
    ),
    exports=(Export("effects", "effects over all cells", order=85),),
    left_out=left_out,
)
