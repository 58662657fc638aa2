"""Every figure as one call, data and drawing, and the catalogs that must not break them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import Catalog
from catalog.events import CellFinished, CellPlanned, EpochFinished, Event
from dashboards.figures import (
    accuracy_by_clips,
    accuracy_by_frames,
    accuracy_by_macs,
    against_published,
    attempts,
    cells_table,
    class_accuracy,
    config_differences,
    confusion,
    contributions,
    cost_by_axis,
    cost_front,
    curves,
    failures,
    grid,
    i3d_steps,
    lineage,
    paired,
    printed_tables,
    sampling,
    seeds,
    temporal_pooling_gain,
    utilisation,
)
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly

Data = Callable[[Catalog], pa.Table]
Draw = Callable[..., Any]


def keys_of(catalog: Catalog) -> list[str]:
    """The first two cells by name; names that no cell has, where there are none."""
    found = catalog.query("SELECT DISTINCT key, cell FROM recorded.cells ORDER BY cell LIMIT 2")
    return found.column("key").to_pylist() or ["nothing", "nowhere"]


FIGURES: dict[str, tuple[Data, Draw]] = {
    "figure 1": (accuracy_by_macs.accuracy_by_macs_data, accuracy_by_macs.draw_accuracy_by_macs),
    "figure 4": (accuracy_by_frames.accuracy_by_frames_data, accuracy_by_frames.draw_accuracy_by_frames),
    "figure 5": (sampling.sampling_data, sampling.draw_sampling),
    "figure 6": (
        temporal_pooling_gain.temporal_pooling_gain_data,
        temporal_pooling_gain.draw_temporal_pooling_gain,
    ),
    "figure 7": (i3d_steps.i3d_steps_data, i3d_steps.draw_i3d_steps),
    "figure 8": (accuracy_by_clips.accuracy_by_clips_data, accuracy_by_clips.draw_accuracy_by_clips),
    "table 2": (lambda c: printed_tables.printed_table_data(c, "Table 2"), printed_tables.draw_printed_table),
    "table 5": (lambda c: printed_tables.printed_table_data(c, "Table 5"), printed_tables.draw_printed_table),
    "contributions": (contributions.contributions_data, contributions.draw_contributions),
    "grid": (grid.grid_data, grid.draw_grid),
    "grid accuracy": (grid.grid_data, lambda t, *a: grid.draw_grid(t, *a, value="accuracy")),
    "grid difference": (
        lambda c: grid.grid_data(c, source="both"),
        lambda t, *a: grid.draw_grid(t, *a, value="difference"),
    ),
    "cells": (cells_table.cells_table_data, cells_table.draw_cells_table),
    "curves": (lambda c: curves.curves_data(c, keys_of(c)), curves.draw_curves),
    "attempts": (lambda c: attempts.attempts_data(c, keys_of(c)[0]), attempts.draw_attempts),
    "lineage": (lambda c: lineage.lineage_data(c, keys_of(c)[0]), lineage.draw_lineage),
    "confusion": (lambda c: confusion.confusion_data(c, keys_of(c)[0]), confusion.draw_confusion),
    "classes": (
        lambda c: class_accuracy.class_accuracy_data(c, keys_of(c)[0]),
        class_accuracy.draw_class_accuracy,
    ),
    "configs": (
        lambda c: config_differences.config_differences_data(c, keys_of(c)),
        config_differences.draw_config_differences,
    ),
    "paired": (lambda c: paired.paired_data(c, keys_of(c)), paired.draw_paired),
    "seeds": (seeds.seeds_data, seeds.draw_seeds),
    "costs": (cost_by_axis.cost_by_axis_data, cost_by_axis.draw_cost_by_axis),
    "front": (cost_front.cost_front_data, cost_front.draw_cost_front),
    "utilisation": (utilisation.utilisation_data, utilisation.draw_utilisation),
    "failures": (failures.failures_data, failures.draw_failures),
    "against published": (
        against_published.against_published_data,
        against_published.draw_against_published,
    ),
}

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


def write_predictions(storage: Path, key: str, labels: list[int], predicted: list[int]) -> None:
    """The predictions of a cell's last epoch, where its result says that they are."""
    path = storage / f"runs/{key}/predictions.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    top = [[one, (one + 1) % 3] for one in predicted]
    columns = {"index": range(len(labels)), "label": labels, "top": top, "loss": [0.5] * len(labels)}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
