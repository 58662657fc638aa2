"""`actiongrid doctor`: what of this machine works for studies, what does not, and the way out."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from catalog.storage.errors import WORK_FAILED, ActionGridError
from orchestrator.commands.common import JsonOption, StorageOption, chosen_storage

if TYPE_CHECKING:
    from catalog.storage.storage import Storage

_GIB = 1 << 30
_LEAST_DISK, _LEAST_MEMORY = 5 * _GIB, 2 * _GIB
_LEAST_FILES, _USUAL_FILES = 1024, 8192  # open at once: below the second Ray warns
_PICTURES = 8

Verdict = Literal["works", "note", "fails"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A `note` works, but worse than it could; `what_to_do` is the way out."""

    check: str
    verdict: Verdict
    found: str
    what_to_do: str = ""


def doctor(storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Look at this machine and the storage: what will not work for studies, and the way out.

    Exit code 1 where something does not work.
    """
    findings = list(_examined(storage))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in findings]))
    else:
        for line in finding_lines(findings):
            typer.echo(line)
    if any(one.verdict == "fails" for one in findings):
        raise typer.Exit(WORK_FAILED)


def finding_lines(findings: list[Finding]) -> list[str]:
    """A line a finding, one more with the way out, and how many do not work."""
    width = max(len(one.check) for one in findings)
    lines = []
    for one in findings:
        lines.append(f"{one.verdict:<5}  {one.check:<{width}}  {one.found}")
        if one.what_to_do:
            lines.append(f"{'':<{7 + width}}  -> {one.what_to_do}")
    failed = [one.check for one in findings if one.verdict == "fails"]
    return [*lines, f"does not work: {', '.join(failed)}" if failed else "all works"]


def _examined(storage: str | None) -> Iterator[Finding]:
    """Whatever a check meets is a finding: a machine that is not well has faults of its own."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("cores", _cores),
        ("memory", _memory),
        ("GPUs", _gpus),
        ("storage", lambda: _storage(storage)),
        ("/dev/shm", _shared_memory),
        ("open files", _open_files),
        ("Ray", _ray),
        ("decoding", _decoding),
        ("figures", _figures),
    )
    for name, check in checks:
        try:
            yield check()
        except ActionGridError as error:
            yield Finding(name, "fails", error.what, error.what_to_do)
        except Exception as error:
            yield Finding(name, "fails", f"{type(error).__name__}: {' '.join(str(error).split())}")


def _cores() -> Finding:
    from orchestrator.planning.machine import cores

    return Finding("cores", "works", f"{cores()} for this process, {os.cpu_count()} in the machine")


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{_size(memory.available)} free of {_size(memory.total)}"
    if memory.available < _LEAST_MEMORY:
        return Finding("memory", "fails", found, "end other programs: a cell and Ray need 2 GiB")
    return Finding("memory", "works", found)


def _gpus() -> Finding:
    import torch

    driver, count = nvidia_driver(), torch.cuda.device_count()
    built = f"torch {torch.__version__}"
    if count:
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(count))
        return Finding("GPUs", "works", f"{count} ({names}), driver {driver or 'unknown'}, {built}")
    if driver and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        way_out = f"install torch for this driver, or a newer driver (torch has CUDA {torch.version.cuda})"
        return Finding("GPUs", "fails", f"driver {driver}, but torch finds none, {built}", way_out)
    return Finding("GPUs", "works", f"none: cells train on CPUs, {built}")


def nvidia_driver() -> str | None:
    """The version of NVIDIA's kernel driver, None where there is none."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    return next((word for word in text.split() if word[:1].isdigit() and "." in word), "unknown")


def _storage(option: str | None) -> Finding:
    storage = chosen_storage(option)
    folder = _nearest_folder(storage)
    free = shutil.disk_usage(folder).free
    found = f"{storage.location}: {_size(free)} free on its disk"
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("storage", "fails", f"{found}, not writable", f"let this user write into {folder}")
    if free < _LEAST_DISK:
        return Finding("storage", "fails", found, "make room, or use another --storage")
    return Finding("storage", "works", found)


def _nearest_folder(storage: Storage) -> Path:
    """The storage's own folder, or where it would be made; of a bucket that of its mirror."""
    root = storage.root.absolute()
    return next(one for one in (root, *root.parents) if one.is_dir())


def _shared_memory() -> Finding:
    from orchestrator.ray_runtime.session import OBJECT_STORE_BYTES

    shared = Path("/dev/shm")
    if not shared.is_dir():
        return Finding("/dev/shm", "note", "there is none; Ray takes /tmp, which is slower")
    free = shutil.disk_usage(shared).free
    if free < OBJECT_STORE_BYTES:
        way_out = "docker run --shm-size=1g, or remount it larger; Ray takes /tmp else, which is slower"
        return Finding("/dev/shm", "note", f"{_size(free)} free", way_out)
    return Finding("/dev/shm", "works", f"{_size(free)} free")


def _open_files() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"limit {_limit(soft)}, at most {_limit(hard)}"
    allowed = float("inf") if soft == resource.RLIM_INFINITY else soft
    if allowed < _LEAST_FILES:
        return Finding("open files", "fails", found, f"ulimit -n {_USUAL_FILES}")
    if allowed < _USUAL_FILES:
        return Finding("open files", "note", found, f"ulimit -n {_USUAL_FILES}, for many cells at once")
    return Finding("open files", "works", found)


def _limit(value: int) -> str:
    import resource

    return "none" if value == resource.RLIM_INFINITY else f"{value:,}"


def _ray() -> Finding:
    from importlib.metadata import version

    from orchestrator.ray_runtime.ray_compat import PROVEN_LOCAL, RayWay, ray_way

    way = ray_way(local=True)
    found = f"{version('ray')}, used in the {way} way"
    if way is RayWay.PUBLIC and version("ray") not in PROVEN_LOCAL:
        return Finding("Ray", "note", found, f"Ray {', '.join(PROVEN_LOCAL)} starts cells sooner")
    return Finding("Ray", "works", found)


def _decoding() -> Finding:
    """A video that is made here, read by both decoders."""
    import numpy as np

    from trainables.data.ingest.decode import pictures
    from trainables.data.ingest.synthetic_videos import write_h264

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.mp4"
        write_h264(np.zeros((_PICTURES, 48, 48, 3), np.uint8), 8, 4, path)
        read: dict[str, int] = {
            "decord": sum(1 for _ in pictures(str(path), "decord")),
            "PyAV": sum(1 for _ in pictures(str(path), "pyav")),
        }
    wrong = [
        f"{name} read {count} of {_PICTURES} pictures" for name, count in read.items() if count != _PICTURES
    ]
    if wrong:
        return Finding("decoding", "fails", "; ".join(wrong), "install requirements.lock again")
    return Finding("decoding", "works", f"a made H.264 video, by {' and '.join(read)}")


def _figures() -> Finding:
    """The real thing: one empty figure drawn."""
    from dashboards.render.image import image

    empty: dict[str, Any] = {"data": [], "layout": {"width": 100, "height": 80}}
    size = len(image(empty, "png"))
    return Finding("figures", "works", f"a browser draws ({size} bytes of PNG)")


def _size(count: float) -> str:
    from catalog.storage.sizes import bytes_text

    return bytes_text(count)
