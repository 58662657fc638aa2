"""Every figure of the registry as data and drawing, and the catalogs that must not break them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import Catalog
from catalog.events import CellFinished, CellPlanned, EpochFinished, Event
from catalog.queries.filters import Source
from dashboards.figures.figure import Figure, Scope
from dashboards.figures.registry import figures
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly

Data = Callable[[Catalog], pa.Table]
Draw = Callable[..., Any]


def keys_of(catalog: Catalog) -> list[str]:
    """The first two cells by name; names that no cell has, where there are none."""
    found = catalog.query("SELECT DISTINCT key, cell FROM recorded.cells ORDER BY cell LIMIT 2")
    return found.column("key").to_pylist() or ["nothing", "nowhere"]


def drawings(figure: Figure) -> Iterator[dict[str, Any]]:
    """The options that a figure can be drawn with, wherever it stands; the usual way first."""
    found: list[dict[str, Any]] = [{}]
    if figure.choice:
        found += [{figure.choice.option: value} for value in figure.choice.values]
    none = pa.table({"top1": pa.array([None], pa.float64())})
    found += [dict(one.options(source, none)) for one in figure.exports for source in get_args(Source)]
    yield from (one for place, one in enumerate(found) if one not in found[:place])


@cache
def data_of(name: str, source: Source) -> Data:
    """The query of a figure; the same one each time, so that its answer can be kept."""

    def data(catalog: Catalog) -> pa.Table:
        return figures()[name].data(catalog, Scope(source=source, keys=tuple(keys_of(catalog))))

    return data


def _entry(name: str, figure: Figure, source: Source, options: dict[str, Any]) -> tuple[Data, Draw]:
    return data_of(name, source), partial(figure.draw, **options)


FIGURES: dict[str, tuple[Data, Draw]] = {
    " ".join([name, source, *map(str, options.values())]): _entry(name, figure, source, options)
    for name, figure in figures().items()
    for source in (("own", "both") if figure.finding or figure.choice else ("own",))
    for options in drawings(figure)
}
"""Every registered figure, in all ways that it is drawn: data (one for all ways) and drawing."""

ONE = dataclasses.replace(
    DEMO, modules=("tam",), poolings=(False,), frames=(8,), datasets=("synthetic-motion",)
)
HALF = Grid(
    datasets=("mini-ssv2",),
    seeds=(0, 1),
    failing=frozenset({"TSN-ResNet18-f8@mini-ssv2", "I3D-InceptionV1-f16@mini-ssv2"}),
    unfinished=frozenset({"I3D-ResNet50-f8@mini-ssv2", "TAM-ResNet50-f64@mini-ssv2"}),
)


def with_nan(events: Iterator[Event]) -> Iterator[Event]:
    """The same grid after every run diverged in its second epoch."""
    for event in events:
        if isinstance(event, EpochFinished) and event.epoch > 1:
            yield dataclasses.replace(event, train_loss=math.nan, val_loss=math.inf, top1=math.nan)
        elif isinstance(event, CellFinished):
            yield dataclasses.replace(
                event, loss=math.nan, top1=math.nan, top5=math.nan, best_top1=math.nan, best_loss=math.inf
            )
        else:
            yield event


def nothing_but_plans(events: Iterator[Event]) -> Iterator[Event]:
    """The grid before anything ran."""
    return (event for event in events if isinstance(event, CellPlanned))


CATALOGS: dict[str, Callable[[], Iterator[Event]]] = {
    "empty": lambda: iter(()),
    "planned": lambda: nothing_but_plans(grid_events(DEMO)),
    "one cell": lambda: grid_events(ONE),
    "half a grid": lambda: grid_events(HALF),
    "not a number": lambda: with_nan(grid_events(DEMO)),
}


def build(storage: Path, events: Iterator[Event]) -> Catalog:
    """A catalog of these events."""
    write_quickly(storage, events)
    return Catalog.open(storage)


def write_predictions(
    storage: Path, key: str, labels: list[int], predicted: list[int], videos: list[str] | None = None
) -> None:
    """The predictions of a cell's last epoch, where its result says that they are."""
    path = storage / f"runs/{key}/predictions.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    top = [[one, (one + 1) % 3] for one in predicted]
    columns = {"index": range(len(labels)), "label": labels, "top": top, "loss": [0.5] * len(labels)}
    named = {} if videos is None else {"video": videos}
    pq.write_table(pa.table({name: pa.array(values) for name, values in (columns | named).items()}), path)
