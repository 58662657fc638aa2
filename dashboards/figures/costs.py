"""Units of cost: GPU-hours where any cell has GPUs, hours of CPU cores otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.figures.panels import Row


def unit(rows: Sequence[Row], column: str) -> tuple[str, str]:
    """Return `gpu` or `cpu`, whichever `column` (with a `{}` for it) has figures for, and the unit's name."""
    gpus = any(row[column.format("gpu")] for row in rows)
    return ("gpu", "GPU-hours") if gpus else ("cpu", "CPU-core-hours")
