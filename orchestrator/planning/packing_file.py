"""Measured gains of cells side by side, from a file: the rows that `benchmarks/packing.py --json` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from catalog.storage.layout import Layout
from orchestrator.planning.packing import Packing, SideBySide
from orchestrator.planning.rates_file import RatesError, checked, model_named, rows_of

WANTED = "give the list that `python -m benchmarks.packing --json` prints"
MPS_PIPE = "CUDA_MPS_PIPE_DIRECTORY"

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PackingRow(BaseModel):
    """One measurement: `side_by_side` cells on one GPU, their clips per second together."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gpu: str
    model: str
    frames: Annotated[int, Field(gt=0)]
    side_by_side: Annotated[int, Field(ge=1)]
    mps: bool
    clips_per_s: _Positive
    gain: _Positive


def read_packing(path: Path, *, mps: bool) -> Packing:
    """What a file tells of cells side by side, with MPS or without.

    Raises:
        RatesError: the file is missing, no JSON list of such rows, of several GPUs, or names no model.
    """
    rows = enumerate(rows_of(path, WANTED), start=1)
    samples = [_sample(item, path, number) for number, item in rows]
    devices = sorted({sample.device for sample in samples})
    if len(devices) > 1:
        raise RatesError(
            f"measured side by side on several GPUs ({', '.join(devices)}); {path}; keep the rows of one"
        )
    under = "under MPS" if mps else "without MPS"
    own = tuple(sample for sample in samples if sample.mps is mps)
    return Packing(own, f"{path.name}, measured on {devices[0]} {under}")


def chosen_packing(storage: Path, file: Path | None) -> Packing | None:
    """What decides how many cells share a GPU: `file`, else the storage's own `packing.json`, if it has one.

    Raises:
        RatesError: the file cannot be used.
    """
    own = Layout(storage).packing
    found = file or (own if own.is_file() else None)
    return None if found is None else read_packing(found, mps=under_mps())


def under_mps(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the cells started from here find NVIDIA's MPS server, as its users tell programs."""
    return bool(environment.get(MPS_PIPE))


def _sample(item: Any, path: Path, number: int) -> SideBySide:  # noqa: ANN401 - whatever the file holds
    row = checked(PackingRow, item, path, number, WANTED)
    module, backbone, pooled = model_named(row.model, path, number)
    return SideBySide(
        row.gpu, module, backbone, pooled, row.frames, row.side_by_side, row.mps, row.clips_per_s, row.gain
    )
