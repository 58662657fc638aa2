"""What a trial is given, and the log in which it says why it failed."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.storage import Storage
from orchestrator.ray_runtime.ray_compat import RayWay
from orchestrator.scheduling.retry import classify, marked

ROOMS = ("catalog", "trainables", "orchestrator")
# The kernel's counters, the processes among them that it killed for want of memory.
_COUNTERS = Path("/proc/vmstat")
# What a traceback puts before a frame's line; those of a group of exceptions have a bar.
_FRAME_BORDERS = " |+"


@dataclass(frozen=True)
class TrialRequest:
    """All that a run needs, small and plain, because Tune pickles it.

    `spec` is a `trainables.recipe.cell_spec.CellSpec` (or, to evaluate, a
    `trainables.training.evaluate_cell.EvaluationSpec`) as JSON. `log` receives the error and its
    traceback. `storage` is the address of what holds these files (`open_storage`). `way`: how the driver
    uses Ray, filled in by `orchestrator.ray_runtime.tune_adapter`.
    """

    name: str
    cell: str
    key: str
    attempt: int
    spec: str
    workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    train_storage: str
    log: str
    local: bool
    storage: str
    way: RayWay = RayWay.PUBLIC

    def as_config(self) -> dict[str, Any]:
        """The Tune config that its run reads."""
        return asdict(self)


def root_cause(error: BaseException) -> BaseException:
    """The worker's own exception inside Ray Train's, the lowest failed rank first."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return root_cause(failures[min(failures)])
    inner = getattr(error, "controller_failure", None) or getattr(error, "cause", None)
    return root_cause(inner) if isinstance(inner, BaseException) else error


def describe_error(error: BaseException) -> str:
    """`Type: message` of the root cause, on one line; one of our own is marked with its kind of failure."""
    cause = root_cause(error)
    text = " ".join(line.strip() for line in _exception_lines(str(cause)) if line.strip())
    name = type(cause).__name__
    described = text if name in text or name.startswith("UserException") else f"{name}: {text}"
    own = type(cause) if isinstance(cause, ActionGridError) else own_error(text)
    return described if own is None else marked(own.failure_kind, described)


def _exception_lines(text: str) -> list[str]:
    """Of a traceback, as which Ray hands on a worker's exception, the lines of the exception itself.

    They begin with its type and may be many: behind the source lines of the last frame.
    """
    lines = text.strip().splitlines()
    if not lines or not lines[0].lstrip(_FRAME_BORDERS).startswith("Traceback"):
        return lines
    frames = [number for number, line in enumerate(lines) if line.lstrip(_FRAME_BORDERS).startswith('File "')]
    behind = lines[frames[-1] + 1 :] if frames else lines[1:]
    while behind and behind[0].startswith("    "):
        del behind[0]
    return behind or lines[-1:]


def own_error(text: str) -> type[ActionGridError] | None:
    """The class that a traceback's last line (`package.module.Name: message`) names, if it is one of ours."""
    module, _, name = text.partition(":")[0].rpartition(".")
    if module.partition(".")[0] not in ROOMS:
        return None
    # It was imported when the worker's exception arrived here, so this costs nothing.
    with suppress(ImportError):
        found = getattr(import_module(module), name, None)
        if isinstance(found, type) and issubclass(found, ActionGridError):
            return found
    return None


def write_error_log(storage: Storage, path: Path, error: BaseException, addition: str = "") -> None:
    """Write the attempt's log: one line that says what went wrong (and `addition`), then the whole traceback.

    A storage that takes nothing more gets none: the error itself must still reach the driver.
    """
    with suppress(OSError):
        _write_error_log(path, error, addition)
        storage.publish(path)


def _write_error_log(path: Path, error: BaseException, addition: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cause = root_cause(error)
    with path.open("w", encoding="utf-8") as log:
        log.write(f"{describe_error(error)}{addition}\n\n")
        log.write("".join(traceback.format_exception(error)))
        if cause is not error:
            log.write("\nRoot cause:\n" + "".join(traceback.format_exception(cause)))


def read_error_log(storage: Storage, path: Path) -> str | None:
    """The first line of an attempt's log, or None where the trial died before it could write one."""
    storage.fetch_missing(path)
    try:
        with path.open(encoding="utf-8") as log:
            return log.readline().strip() or None
    except OSError:
        return None


def oom_kills(counters: Path = _COUNTERS) -> int | None:
    """The kernel's count on this machine since it started, or None where it keeps none."""
    try:
        lines = counters.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if words[0] == "oom_kill"), None)


def killed_meanwhile(error: str, before: int | None, now: int | None) -> str:
    """What to add to the error of a run one of whose processes died without a word, or ""."""
    if before is None or now is None or now <= before or classify(error) is not FailureKind.PROCESS_DIED:
        return ""
    return f" (meanwhile the kernel killed {now - before} processes of this machine: out of memory)"
