"""Compute all cases and print them as JSON; `compare.record_here` runs it in the right environment."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tests.golden.components import versions
from tests.golden.data import data_cases
from tests.golden.models import Case, model_cases


def prepare() -> None:
    """One thread and the plainest kernels: what is left does not depend on the processor's model."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]


GROUPS = {"data": data_cases, "models": model_cases}


def record(groups: Sequence[str]) -> dict[str, Any]:
    """What the code computes here and now."""
    declared = versions()
    cases: dict[str, Any] = {}
    for case in (case for group in groups for case in GROUPS[group]()):
        cases[case.name] = {
            "components": {name: declared[name] for name in case.components},
            "shows": case.components[: case.shows],
            "tolerance": case.tolerance if case.portable else None,
            "values": _written(case),
        }
    return {"platform": here(), "cases": cases}


def here() -> dict[str, str]:
    """What bits may depend on; elsewhere floats are compared within their tolerance."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "torch": torch.__version__.split("+")[0],
    }


def _processor() -> str:
    """The model's name: some libraries choose their kernels by it, whatever they are told."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _written(case: Case) -> list[Any]:
    return [value.hex() if isinstance(value, float) else value for value in case.values]


if __name__ == "__main__":
    prepare()
    json.dump(record(sys.argv[1:] or tuple(GROUPS)), sys.stdout)
