"""Golden values against those of today: which cases moved, and which component is to blame."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.golden.components import HOMES
from tests.support.paths import ROOT

FILE = Path(__file__).with_name("golden.json")
UPDATE = "python tests/golden/update.py"

# PyTorch's and MKL's kernels, and the C library's functions, differ from one processor to the next.
PINNED = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}

Recorded = Mapping[str, Any]


def record_here(*groups: str, **environment: str) -> dict[str, Any]:
    """Compute the cases of `groups` (all) in a process of its own; `environment` replaces the pins."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.record", *groups],
        cwd=ROOT,
        env=os.environ | PINNED | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the golden cases cannot be computed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def load() -> dict[str, Any]:
    """The committed values."""
    golden: dict[str, Any] = json.loads(FILE.read_text())
    return golden


def save(recorded: Recorded) -> None:
    """Write the values, a case a line, so that a difference shows what moved."""
    lines = [f" {json.dumps(name)}: {json.dumps(case)}" for name, case in recorded["cases"].items()]
    head = f'{{"platform": {json.dumps(recorded["platform"])},\n"cases": {{\n'
    FILE.write_text(head + ",\n".join(lines) + "\n}}\n")


def moved(golden: Recorded, found: Recorded) -> tuple[str, ...]:
    """The cases with other values than the golden ones; bits count on the platform that recorded them."""
    return tuple(
        name
        for name, case in golden["cases"].items()
        if name in found["cases"]
        and not same(
            case,
            found["cases"][name]["values"],
            bits=case.get("platform", golden["platform"]) == found["platform"],
        )
    )


def merged(golden: Recorded, found: Recorded) -> dict[str, Any]:
    """Golden values whose new and outdated cases alone are those of another platform's recording."""
    new = {
        name: {**found["cases"][name], "platform": found["platform"]}
        for name in outdated(golden, found)
        if name in found["cases"]
    }
    kept = {name: new.get(name, golden["cases"].get(name)) for name in found["cases"]}
    return {"platform": golden["platform"], "cases": kept}


def same(case: Mapping[str, Any], values: Sequence[Any], *, bits: bool) -> bool:
    """Whether `values` are a golden case's."""
    wanted = case["values"]
    if bits or wanted == values:
        return bool(wanted == values)
    if case["tolerance"] is None:
        return True
    if len(wanted) != len(values):
        return False
    return all(_close(one, two, case["tolerance"]) for one, two in zip(wanted, values, strict=True))


def _close(wanted: Any, value: Any, tolerance: float) -> bool:
    one, two = _number(wanted), _number(value)
    if one is None or two is None:
        return bool(wanted == value)
    return math.isclose(one, two, rel_tol=tolerance, abs_tol=tolerance)


def _number(value: Any) -> float | None:
    """The number that a hexadecimal float is; None for anything else."""
    is_hex = isinstance(value, str) and value.lstrip("-").startswith(("0x", "inf", "nan"))
    return float.fromhex(value) if is_hex else None


def unraised(golden: Recorded, found: Recorded) -> tuple[str, ...]:
    """The cases that moved although each of their components declares the version of before."""
    return tuple(
        name
        for name in moved(golden, found)
        if golden["cases"][name]["components"] == found["cases"][name]["components"]
    )


def outdated(golden: Recorded, found: Recorded) -> tuple[str, ...]:
    """The cases that are new or gone, or whose golden values are of other versions."""
    before, now = golden["cases"], found["cases"]
    return tuple(
        name
        for name in sorted(before.keys() | now.keys())
        if before.get(name, {}).get("components") != now.get(name, {}).get("components")
    )


def suspects(found: Recorded, wrong: Sequence[str]) -> tuple[str, ...]:
    """The components that all the moved cases have, without those whose own cases all stand."""
    cases = found["cases"]
    first, *rest = (tuple(cases[name]["components"]) for name in wrong)
    common = [one for one in first if all(one in other for other in rest)]
    involved = common or list(dict.fromkeys(one for name in wrong for one in cases[name]["components"]))
    own = {one: [name for name, case in cases.items() if one in case["shows"]] for one in involved}
    left = [one for one in involved if not own[one] or any(name in wrong for name in own[one])]
    return tuple(left or involved)


def blame(found: Recorded, wrong: Sequence[str]) -> str:
    """What to do about cases of a recording that moved while their versions stand."""
    guilty = suspects(found, wrong)
    homes = " or ".join(f"{HOMES[name][0]} in {HOMES[name][1]}" for name in guilty)
    return (
        f"behaviour of {' or '.join(guilty)} changed but its version did not: "
        f"raise {homes} and run `{UPDATE}` (moved: {', '.join(wrong)})"
    )
