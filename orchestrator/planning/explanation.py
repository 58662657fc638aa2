"""What tells one cell from others: the first weights of its line, what changed, what a rerun would cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.queries.cells import sizes_of_cell, successor_of_cell, videos_of_dataset
from catalog.queries.planner import finished_key_parts
from orchestrator.planning.changes import Difference, Known, KnownCell, key_difference, nearest_cell
from orchestrator.planning.cost import SECONDS_PER_HOUR
from orchestrator.planning.forecast import cell_seconds
from orchestrator.planning.measured import Measured, choose_rates, recorded_flops, units_of
from orchestrator.study.cells import chosen_on
from trainables.models.pretrained import title_of

if TYPE_CHECKING:
    from catalog import Catalog


@dataclass(frozen=True)
class Position:
    """Where a cell stands in the grid, as far as it decides its speed."""

    module: str
    backbone: str
    temporal_pooling: bool
    frames: int


def known_cells(catalog: Catalog, names: Sequence[str] | None) -> Known:
    """The finished cells with one of these names (None: all) and their ancestors, from whatever plan."""
    if names is not None and not names:
        return Known()
    rows = finished_key_parts(catalog, names).to_pylist()
    return Known(
        tuple(
            KnownCell(row["cell"], row["key"], tuple(row["studies"]), row["key_parts"], row["finished"])
            for row in rows
        )
    )


def first_weights(lineage: Sequence[Mapping[str, Any]], parts: Mapping[str, Any]) -> str:
    """Where the oldest cell of a line started from; `parts` are its key's."""
    initial = parts.get("initial", {})
    oldest = lineage[-1]["cell"]
    if initial.get("parent"):
        return f"{oldest} started from {initial['parent'][:12]}, which no journal here knows"
    if initial.get("weights_file"):
        return f"{oldest} started from {title_of(initial['weights_file'])}"
    return f"{oldest} started from random weights, seed {parts.get('seed', '?')}"


def chosen_on_lines(parts: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """On which videos the best epoch of a cell is chosen, and of its parent the epoch that it starts from.

    `parts` are its key's, `config` is its configuration as planned.
    """
    videos = chosen_on(parts.get("data", {}).get("choose_on"))
    lines = [f"best epoch chosen on {videos}"]
    if parts.get("initial", {}).get("parent"):
        which = config.get("recipe", {}).get("inherit", "best")
        head = ", with a new head" if parts["initial"].get("head") == "new" else ""
        chosen = f", chosen on {videos}" if which == "best" else ""
        lines.append(f"starts from its parent's {which} epoch{head}{chosen}")
    return lines


def nearest_finished(catalog: Catalog, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The nearest other finished cell of the same name, else of the same dataset, and what differs.

    Differences go from the other cell to this one. None where nothing like it is finished.
    """
    parts = json.loads(row["key_parts"])
    same_name = known_cells(catalog, [row["cell"]]).by_name.get(row["cell"], ())
    found = nearest_cell(parts, _others(same_name, row["key"]))
    if found is None:
        data = parts.get("data", {}).get("train")
        everything = known_cells(catalog, None).cells
        like = [one for one in everything if one.key_parts.get("data", {}).get("train") == data]
        found = nearest_cell(parts, _others(like, row["key"]))
    if found is None:
        return None
    other, differences = found
    (result,) = sizes_of_cell(catalog, other.key).to_pylist()
    return {
        "cell": other.cell,
        "key": other.key,
        "study": other.studies[0],
        "top1": result["top1"],
        "eval_videos": result["eval_videos"],
        "differences": difference_rows(differences),
    }


def successor(catalog: Catalog, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cell that took this one's place in today's study, done or not, and what changed; None: none did."""
    if row["current"]:
        return None
    successor = successor_of_cell(catalog, row["cell"], row["studies"], row["key"])
    for found in successor.to_pylist():
        differences = key_difference(json.loads(row["key_parts"]), json.loads(found["key_parts"]))
        return {
            "key": found["key"],
            "top1": found["top1"],
            "eval_videos": found["eval_videos"],
            "differences": difference_rows(differences),
        }
    return None


def difference_rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Differences as plain values."""
    return [{"field": one.field, "before": one.before, "after": one.after} for one in differences]


def rerun_cost(catalog: Catalog, row: Mapping[str, Any], measured: Measured) -> dict[str, Any] | None:
    """What training the cell once more would take; None where its dataset's size is not known."""
    config, parts = json.loads(row["config"]), json.loads(row["key_parts"])
    sizes = _sizes(catalog, row, config, parts)
    if sizes is None:
        return None
    resources = config.get("resources", {})
    gpus = resources.get("gpus_per_worker", 0)
    units = units_of(resources.get("workers", 1), resources.get("cpus_per_worker", 1), gpus)
    flops = recorded_flops(sizes, config)
    rates = choose_rates(measured, on_gpus=gpus > 0)
    rate = rates.of(Position(row["module"], row["backbone"], row["temporal_pooling"], row["frames"]))
    seconds = cell_seconds(flops, rate, units, rates.start_up_seconds) or 0.0
    return {
        "flops": flops,
        "seconds": seconds,
        "unit": "GPU" if gpus > 0 else "core",
        "unit_hours": seconds * units / SECONDS_PER_HOUR,
        "tflops": rate.tflops,
        "rate_is_measured": rate.measured,
        "rates": rates.origin,
    }


def _others(cells: Sequence[KnownCell], key: str) -> list[KnownCell]:
    return [one for one in cells if one.key != key]


def _sizes(
    catalog: Catalog, row: Mapping[str, Any], config: Mapping[str, Any], parts: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Epochs, MACs and videos: as recorded with the result, else as planned on the dataset that was built."""
    for finished in sizes_of_cell(catalog, row["key"]).to_pylist():
        return dict(finished)
    train, epochs = parts.get("data", {}).get("train"), config.get("recipe", {}).get("epochs")
    if row["macs"] is None or epochs is None:
        return None
    for built in videos_of_dataset(catalog, train).to_pylist():
        videos = json.loads(built["videos"])
        held_out = round(videos["train"] * config.get("choose_on", 0.0))
        return {
            "epochs": epochs,
            "macs": row["macs"],
            "train_videos": videos["train"] - held_out,
            "eval_videos": videos["val"],
            "choose_videos": held_out,
        }
    return None
