"""Files of measurements: rows that `benchmarks/train_step.py` and `benchmarks/packing.py` print as JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog.storage.checksums import parse_json
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.layout import Layout
from orchestrator.planning.gpu_share import Packing, SideBySide
from orchestrator.planning.rates import Sample
from trainables.models.registry import backbones, modules

# The variant that training uses; where a file has none of this name, the fastest counts.
DEFAULT_VARIANT = "default"
RATES_WANTED = "give the list that `benchmarks/train_step.py --json` prints"
PACKING_WANTED = "give the list that `python -m benchmarks.packing --json` prints"
MPS_PIPE = "CUDA_MPS_PIPE_DIRECTORY"

Row = TypeVar("Row", bound=BaseModel)


class RatesError(ActionGridError):
    """A file of rates that cannot be used."""

    exit_code = BAD_INPUT


class RateRow(BaseModel):
    """One measurement of a training step: `tflops` achieved by one GPU, at 6 FLOPs a MAC and clip."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gpu: str
    model: str
    frames: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)]
    variant: str
    clips_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    tflops: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def read_rates(path: Path) -> tuple[Sample, ...]:
    """The best measured rate of every device, model and clip length in a file.

    Raises:
        RatesError: the file is missing, no JSON list of such rows, or names a model that does not exist.
    """
    return tuple(
        Sample(gpu, module, backbone, pooled, frames, row.tflops * 1e12, 1.0)
        for (module, backbone, pooled, gpu, frames), row in _best_rows(path).items()
    )


def best_rows(path: Path) -> tuple[RateRow, ...]:
    """The rows that `read_rates` takes: of every device, model and clip length the default or the fastest.

    Raises:
        RatesError: as `read_rates`.
    """
    return tuple(_best_rows(path).values())


def _best_rows(path: Path) -> dict[tuple[str, str, bool, str, int], RateRow]:
    best: dict[tuple[str, str, bool, str, int], RateRow] = {}
    for number, item in enumerate(rows_of(path, RATES_WANTED), start=1):
        row = checked_row(RateRow, item, path, number, RATES_WANTED)
        place = (*model_named(row.model, path, number), row.gpu, row.frames)
        if place not in best or _order(row) > _order(best[place]):
            best[place] = row
    return best


def rows_of(path: Path, wanted: str) -> list[Any]:
    """The rows of a file of measurements; `wanted` says in an error what to give instead.

    Raises:
        RatesError: the file is missing or no JSON list.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RatesError(f"rates cannot be read ({error.strerror})", path, "name a file of rates") from error
    except ValueError as error:
        raise RatesError(f"rates are no JSON ({error})", path, wanted) from error
    if not isinstance(content, list) or not content:
        raise RatesError("rates are not a list of rows", path, wanted)
    return content


def one_device(samples: Sequence[Sample], path: Path) -> str:
    """The only device of a file's rows.

    Raises:
        RatesError: there are several.
    """
    devices = sorted({sample.device for sample in samples})
    if len(devices) > 1:
        raise RatesError(f"rates of several GPUs ({', '.join(devices)})", path, "choose one with --gpu")
    return devices[0]


def checked_row(kind: type[Row], item: Any, path: Path, number: int, wanted: str) -> Row:  # noqa: ANN401
    """Row `number` of a file, whatever the file holds there; `wanted` is the way out.

    Raises:
        RatesError: a field is missing or has a value that it cannot have.
    """
    try:
        return kind.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "row"
        raise RatesError(f"{field}: {first['msg'].lower()}", f"{path}, row {number}", wanted) from error


def _order(row: RateRow) -> tuple[bool, float]:
    return row.variant == DEFAULT_VARIANT, row.tflops


def model_named(name: str, path: Path, number: int) -> tuple[str, str, bool]:
    """Module, backbone and temporal pooling of a model named as cells are, in row `number` of a file.

    Raises:
        RatesError: there is no such model.
    """
    found = {_letters(known): place for known, place in models().items()}.get(_letters(name))
    if found is None:
        raise RatesError(
            f"unknown model '{name}'",
            f"{path}, row {number}",
            "name it as cells are, such as TAM-ResNet50-tp",
        )
    return found


def models() -> Mapping[str, tuple[str, str, bool]]:
    """(module, backbone, temporal pooling) by the name that a cell has without its frames."""
    return {
        f"{module.paper_name}-{backbone.paper_name}{'-tp' if pooled else ''}": (
            module.name,
            backbone.name,
            pooled,
        )
        for module in modules().values()
        for backbone in backbones().values()
        for pooled in (False, True)
    }


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


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
    rows = enumerate(rows_of(path, PACKING_WANTED), start=1)
    samples = [_sample(item, path, number) for number, item in rows]
    devices = sorted({sample.device for sample in samples})
    if len(devices) > 1:
        raise RatesError(
            f"measured side by side on several GPUs ({', '.join(devices)})", path, "keep the rows of one"
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
    row = checked_row(PackingRow, item, path, number, PACKING_WANTED)
    module, backbone, pooled = model_named(row.model, path, number)
    return SideBySide(
        row.gpu, module, backbone, pooled, row.frames, row.side_by_side, row.mps, row.clips_per_s, row.gain
    )
