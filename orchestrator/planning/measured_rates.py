"""How fast cells trained here: the catalog's finished cells as rates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from orchestrator.planning.cost import evaluation_flops, training_flops
from orchestrator.planning.rates import Sample

if TYPE_CHECKING:
    from catalog import Catalog

# One row a finished cell; `whole` is its wall time where one attempt did it all.
_MEASURED = """
    SELECT
        finished.key, any_value(planned.module) AS module, any_value(planned.backbone) AS backbone,
        any_value(planned.temporal_pooling) AS temporal_pooling, any_value(planned.frames) AS frames,
        any_value(planned.config) AS config, any_value(finished.hardware) AS hardware,
        any_value(finished.macs) AS macs, any_value(finished.epochs) AS epochs,
        any_value(finished.train_videos) AS train_videos, any_value(finished.eval_videos) AS eval_videos,
        any_value(finished.train_seconds) AS train_seconds, any_value(finished.eval_seconds) AS eval_seconds,
        any_value(CASE WHEN finished.attempt = 1 THEN ended.time - started.time END) AS whole
    FROM recorded.finished AS finished
    JOIN recorded.cells AS planned USING (key)
    LEFT JOIN recorded.attempts_started AS started
        ON started.key = finished.key AND started.attempt = finished.attempt
    LEFT JOIN recorded.attempts_ended AS ended
        ON ended.key = finished.key AND ended.attempt = finished.attempt
    GROUP BY finished.key
"""


@dataclass(frozen=True)
class Measured:
    """What the finished cells of a storage tell of its machines; `start_up_seconds` by device."""

    samples: tuple[Sample, ...]
    start_up_seconds: Mapping[str, float]


def measured_rates(catalog: Catalog) -> Measured:
    """The rates of all finished cells, and what they took beside training and evaluation (median)."""
    samples: list[Sample] = []
    beside: dict[str, list[float]] = {}
    for row in catalog.query(_MEASURED).to_pylist():
        found = sample_of(row)
        if found is None:
            continue
        samples.append(found)
        if row["whole"] is not None:
            rest = row["whole"] - row["train_seconds"] - row["eval_seconds"]
            beside.setdefault(found.device, []).append(max(rest, 0.0))
    return Measured(tuple(samples), {device: median(seconds) for device, seconds in beside.items()})


def sample_of(row: Mapping[str, Any]) -> Sample | None:
    """A finished cell's rate, or None where its record lacks what it takes.

    The seconds count once for each GPU (or CPU core) that the cell held; a share of a GPU counts as that.
    """
    config, hardware = json.loads(row["config"]), json.loads(row["hardware"])
    resources = config.get("resources", {})
    device, seconds = hardware.get("device"), row["train_seconds"] + row["eval_seconds"]
    units = units_of(
        hardware.get("workers", 1), resources.get("cpus_per_worker", 1), resources.get("gpus_per_worker", 0)
    )
    flops = recorded_flops(row, config)
    if not isinstance(device, str) or seconds <= 0 or flops <= 0:
        return None
    return Sample(
        device,
        row["module"],
        row["backbone"],
        row["temporal_pooling"],
        row["frames"],
        float(flops),
        seconds * units,
    )


def units_of(workers: int, cpus_per_worker: int, gpus_per_worker: float) -> float:
    """GPUs that a cell holds, or CPU cores where it holds no GPU."""
    return workers * (gpus_per_worker or cpus_per_worker)


def recorded_flops(sizes: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """FLOPs of a cell from its `epochs`, `macs`, `train_videos` and `eval_videos`, and its configuration."""
    recipe, evaluation = config.get("recipe", {}), config.get("evaluation", {})
    trained = training_flops(sizes["macs"], sizes["train_videos"], sizes["epochs"])
    views = evaluation.get("clips", 1) * evaluation.get("crops", 1)
    # Convolutions' work grows with the picture's area, near enough.
    area: float = (evaluation.get("crop_size", 224) / recipe.get("crop_size", 224)) ** 2
    return trained + area * evaluation_flops(sizes["macs"], sizes["eval_videos"], sizes["epochs"], views)


def devices(samples: Sequence[Sample], *, gpus: bool) -> tuple[Sample, ...]:
    """The samples of GPUs, or those of CPUs."""
    return tuple(sample for sample in samples if sample.device.upper().startswith("CPU") is not gpus)
