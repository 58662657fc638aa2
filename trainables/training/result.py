"""A finished cell's result, written once beside its checkpoints."""

from __future__ import annotations

import json
import platform
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.layout import RESULT_FILE, epoch_files
from catalog.storage.outage import is_outage
from trainables.recipe.cell_spec import Evaluation
from trainables.recipe.switches import PLAIN
from trainables.training.checkpoint import CheckpointRecord, Metrics, best_epoch, read_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.storage.storage import Storage
    from trainables.recipe.cell_spec import CellSpec
    from trainables.training.execution.device import Compute


@dataclass(frozen=True)
class CellResult:
    """Everything that a number of this cell depends on, beside the number (docs/architecture.md).

    `history` has one row per epoch; `checkpoints` refers to those of the `last` and the `best` epoch;
    accuracies are percent, times seconds. `accumulation` is the largest of any epoch (`CellSpec`). The best
    epoch was chosen on `choose_videos` training videos (the share `choose_on`, held out of training), or,
    where `choose_on` is None, on the evaluation videos. `fresh` names the tensors that began at random, not
    with the parent's or with pretrained weights; None where all did, or it is not recorded.
    """

    cell: str
    key: str
    history: tuple[Metrics, ...]
    last_epoch: int
    best_epoch: int
    checkpoints: dict[str, dict[str, str]]
    train_videos: int
    eval_videos: int
    train_seconds: float
    eval_seconds: float
    train_clips_per_second: float
    eval_clips_per_second: float
    peak_memory_bytes: int
    params: int
    macs: int
    parent_top1: float | None
    frames: int
    seed: int
    evaluation: dict[str, Any]
    versions: dict[str, str]
    hardware: dict[str, Any]
    accumulation: int = 1
    choose_on: float | None = None
    choose_videos: int = 0
    fresh: tuple[str, ...] | None = None

    @property
    def protocol(self) -> Evaluation:
        """The evaluation protocol that the accuracies were measured with."""
        return Evaluation.model_validate(self.evaluation)

    def checkpoint(self, which: str) -> dict[str, str]:
        """`epoch`, `path`, `sha256` and `predictions` of the `last` or `best` checkpoint."""
        return self.checkpoints[which]


@dataclass(frozen=True)
class Provenance:
    """What stands beside a result and is known before the first step: nothing is looked up after the last."""

    versions: dict[str, str]
    hardware: dict[str, Any]
    params: int
    macs: int

    @classmethod
    def of(cls, spec: CellSpec, compute: Compute) -> Provenance:
        """That of a cell on this machine."""
        from trainables.models.macs import model_cost
        from trainables.models.registry import TIMM

        cost = model_cost(
            spec.module,
            spec.backbone,
            spec.temporal_pooling,
            spec.frames,
            spec.num_classes,
            spec.recipe.crop_size,
        )
        versions = library_versions() | spec.plug_ins
        if spec.backbone.startswith(TIMM):
            versions["timm"] = _version("timm")
        return cls(versions, hardware(compute, spec.workers), cost.params, cost.macs)


_FIELDS = frozenset(one.name for one in fields(CellResult))


def write_result(
    storage: Storage,
    spec: CellSpec,
    history: Sequence[Metrics],
    kept: Mapping[int, CheckpointRecord],
    parent_top1: float | None,
    provenance: Provenance,
    train_videos: int,
    choose_videos: int = 0,
    fresh: tuple[str, ...] | None = None,
) -> CellResult:
    """Write `result.json` into the run directory and return what it says."""
    best = best_epoch(history)
    train_seconds = sum(row["train_seconds"] for row in history)
    eval_seconds = sum(row["eval_seconds"] for row in history)
    result = CellResult(
        cell=spec.cell,
        key=spec.key,
        history=tuple(history),
        last_epoch=len(history),
        best_epoch=best,
        checkpoints={"last": reference(kept[len(history)]), "best": reference(kept[best])},
        train_videos=train_videos,
        eval_videos=int(history[-1]["eval_videos"]),
        train_seconds=train_seconds,
        eval_seconds=eval_seconds,
        train_clips_per_second=sum(row["train_clips"] for row in history) / train_seconds,
        eval_clips_per_second=sum(row["eval_videos"] + choose_videos for row in history) / eval_seconds,
        peak_memory_bytes=max(int(row["peak_memory_bytes"]) for row in history),
        params=provenance.params,
        macs=provenance.macs,
        parent_top1=parent_top1,
        frames=spec.frames,
        seed=spec.seed,
        evaluation=spec.evaluation.model_dump(mode="json"),
        versions=provenance.versions,
        hardware=provenance.hardware | _epochs_elsewhere(history),
        accumulation=max(int(row.get("accumulation", 1)) for row in history),
        choose_on=spec.choose_on,
        choose_videos=choose_videos,
        fresh=fresh,
    )
    store_result(storage, Path(spec.run_dir), result)
    return result


def store_result(storage: Storage, run_dir: Path, result: CellResult) -> None:
    """Write a result into its cell's run directory."""
    storage.write(run_dir / RESULT_FILE, with_checksum(json.dumps(asdict(result)).encode()))


def read_result(run_dir: Path, key: str) -> CellResult | None:
    """The finished result of `key` in `run_dir`, or None: not finished, another key, or unreadable.

    Raises:
        OSError: the storage is at fault; the result may well stand.
    """
    try:
        values = load_checked((run_dir / RESULT_FILE).read_bytes(), _FIELDS, with_nan=True)
        known = {name: values[name] for name in values.keys() & _FIELDS}
        fresh = values.get("fresh")
        lists = {"history": tuple(values["history"]), "fresh": None if fresh is None else tuple(fresh)}
        result = CellResult(**known | lists)
    except (OSError, ValueError, TypeError, KeyError) as error:
        if is_outage(error):
            raise
        return None
    return result if result.key == key else None


def read_history(run_dir: Path, key: str = "") -> tuple[Metrics, ...]:
    """Metric rows of all epochs of cell `key` that stand on disk in `run_dir`, finished or not."""
    found = (read_record(path, key) for path in reversed(epoch_files(run_dir, ".json")))
    newest = next((record for record in found if record is not None), None)
    return newest.history if newest is not None else ()


def _epochs_elsewhere(history: Sequence[Metrics]) -> dict[str, Any]:
    """Epochs by precision and device where they were not all trained alike: `{"bf16 on a GPU": 2, …}`."""
    counts = Counter(_trained_in(row) for row in history if "gpu" in row)
    return {"epochs_in": dict(counts)} if len(counts) > 1 else {}


def _trained_in(row: Metrics) -> str:
    precision = "bf16" if row["bf16"] else "tf32" if row["tf32"] else "fp32"
    return f"{precision} on a {'GPU' if row['gpu'] else 'CPU'}"


def reference(record: CheckpointRecord) -> dict[str, str]:
    """What a result says of a checkpoint."""
    return {
        "epoch": str(record.epoch),
        "path": Path(record.path).name,
        "sha256": record.sha256,
        "predictions": Path(record.predictions_path).name,
    }


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that touch a number; "unknown" where none is stated."""
    names = ("actiongrid", "ray", "torch", "torchvision", "decord2", "av", "numpy")
    return {"python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    """That of the package's metadata; what runs from a source tree may have none, or one cut short."""
    import sys
    from importlib.metadata import version

    try:
        # A metadata folder without its file gives None instead of raising.
        found: str | None = version(name)
    except Exception:  # of the metadata's readers, which trust it; no version is worth a cell
        found = None
    return found or str(getattr(sys.modules.get(name), "__version__", "unknown"))


def hardware(compute: Compute, workers: int) -> dict[str, Any]:
    """Device name (and a GPU's memory), number of workers, host and, unless plain, the step's switches."""
    import torch

    cuda = compute.device.type == "cuda"
    name = torch.cuda.get_device_name(compute.device) if cuda else f"CPU {platform.machine()}"
    found = {"device": name, "workers": workers, "bf16": compute.bf16, "host": platform.node()}
    if compute.switches != PLAIN:
        found["switches"] = asdict(compute.switches)
    if cuda:
        found["memory_bytes"] = torch.cuda.get_device_properties(compute.device).total_memory
    return found
