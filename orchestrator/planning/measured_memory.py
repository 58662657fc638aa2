"""What finished cells took of their GPUs' memory, against what was estimated for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.planning.gpu_share import CardMemory, allowed_bytes
from orchestrator.planning.packing_file import chosen_packing

if TYPE_CHECKING:
    from catalog import Catalog

# A CPU's figure is of the whole process, which no estimate speaks of.
_MEASURED = """
    SELECT
        key, any_value(cell) AS cell, any_value(finished.peak_memory_bytes) AS peak,
        any_value(finished.accumulation) AS accumulation,
        any_value(finished.hardware ->> '$.memory_bytes')::BIGINT AS card,
        any_value(planned.config ->> '$.memory.estimated_bytes')::BIGINT AS estimated,
        any_value(planned.config ->> '$.resources.gpus_per_worker')::DOUBLE AS gpus
    FROM recorded.finished AS finished JOIN recorded.cells AS planned USING (key)
    WHERE finished.hardware ->> '$.device' NOT LIKE 'CPU%' AND finished.peak_memory_bytes > 0
    GROUP BY key
"""


def known_cards(catalog: Catalog, storage: Path, packing: Path | None = None) -> CardMemory:
    """What the finished cells of a storage tell of its GPUs, with what was measured side by side.

    Raises:
        RatesError: the file of measurements cannot be used (`orchestrator.planning.packing_file`).
    """
    return replace(card_memory(catalog), packing=chosen_packing(storage, packing))


def card_memory(catalog: Catalog) -> CardMemory:
    """The smallest card that a cell has run on, and the largest ratio of a peak to its estimate.

    Both on the safe side: too large a share costs time, too small a one an attempt. A cell whose batch was
    summed in parts says nothing of its estimate.
    """
    rows = _rows(catalog)
    cards = [row["card"] for row in rows if row["card"]]
    whole = [row for row in rows if row["estimated"] and row["accumulation"] in (None, 1)]
    ratios = [row["peak"] / row["estimated"] for row in whole]
    return CardMemory(min(cards, default=None), max(ratios, default=1.0))


def overshoots(catalog: Catalog, names: Collection[str]) -> list[str]:
    """A warning for each of these cells that took more of its GPU's memory than its share."""
    return [
        f"{row['cell']} took {row['peak'] / 1e9:.2f} GB of a GPU's {row['card'] / 1e9:.2f} GB, its share was "
        f"{row['gpus']:g}; resources; where shares are auto, larger ones are planned from now on"
        for row in _rows(catalog)
        if row["cell"] in names
        and row["card"]
        and row["gpus"]
        and row["gpus"] < 1
        and row["peak"] > allowed_bytes(row["gpus"], row["card"])
    ]


def _rows(catalog: Catalog) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = catalog.query(_MEASURED).to_pylist()
    return rows
