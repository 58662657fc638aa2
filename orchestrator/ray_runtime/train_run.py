"""One Ray Train run: a cell's training (a Tune trial) or evaluation. Only this module here talks to Train."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.storage import Storage, open_storage
from orchestrator.ray_runtime.ray_compat import RayWay, announce_trial, controller_in_this_process
from orchestrator.scheduling.retry import classify, marked

ROOMS = ("catalog", "trainables", "orchestrator")
# Seconds between the Train controller's looks at its workers: every report waits for one of them.
POLL_SECONDS = "0.1"
# How long a cell on a cluster waits for the machines of its workers.
WORKERS_SECONDS = "1800"
# The kernel's counters, the processes among them that it killed for want of memory.
_COUNTERS = Path("/proc/vmstat")


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
        """The Tune config that `run_cell` reads."""
        return asdict(self)


def run_cell(config: dict[str, Any]) -> None:
    """Tune's trainable: train one cell as a Ray Train run and wait for it."""
    from trainables.training.train_cell import train_cell

    run_workers(TrialRequest(**config), train_cell)


def run_evaluation(config: dict[str, Any]) -> None:
    """Evaluate one finished cell as a Ray Train run and wait for it."""
    from trainables.training.evaluate_cell import evaluate_cell

    run_workers(TrialRequest(**config), evaluate_cell)


def run_workers(request: TrialRequest, worker: Callable[[dict[str, Any]], None]) -> None:
    """Run `worker` in as many processes as the request says.

    No `TuneReportCallback`: it starts one more process for every cell, to carry metrics that the driver reads
    from the run directory anyway.
    """
    _set_train_environment(request.local)
    import ray.train

    if request.way is RayWay.PUBLIC:
        announce_trial(request.name)
    trainer = _trainer_class(request.way)(
        worker,
        train_loop_config={"spec": request.spec},
        scaling_config=ray.train.ScalingConfig(
            num_workers=request.workers,
            use_gpu=request.gpus_per_worker > 0,
            resources_per_worker=_worker_resources(request),
        ),
        run_config=ray.train.RunConfig(
            name=request.name,
            storage_path=request.train_storage,
            # Retries are decided in one place, orchestrator.scheduling.retry: Train hands every failure up.
            failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=0),
        ),
    )
    before = oom_kills()
    try:
        trainer.fit()
    except Exception as error:
        killed = killed_meanwhile(describe_error(error), before, oom_kills())
        write_error_log(open_storage(request.storage), Path(request.log), error, killed)
        raise RuntimeError(describe_error(error) + killed) from None


def _trainer_class(way: RayWay) -> Any:  # noqa: ANN401 - a class of Ray's, which ships no types
    if way is RayWay.FAST:
        return controller_in_this_process()
    from ray.train.torch import TorchTrainer

    return TorchTrainer


def _worker_resources(request: TrialRequest) -> dict[str, float]:
    resources: dict[str, float] = {"CPU": request.cpus_per_worker}
    if request.gpus_per_worker > 0:
        resources["GPU"] = request.gpus_per_worker
    return resources


def _set_train_environment(local: bool) -> None:
    """Settings that Train reads when a run starts and hands on to its controller and workers."""
    settings = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": POLL_SECONDS,
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
    }
    if local:
        # One machine cannot be pre-empted in part; the watcher is one process more for every cell.
        settings["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
    else:
        # A machine that the autoscaler orders is minutes away; Train's own minute would fail the cell.
        settings["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = WORKERS_SECONDS
    os.environ.update(settings)


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
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    # Ray wraps a worker's exception as a traceback text whose last line is the exception itself.
    text = lines[-1] if lines and lines[0].startswith("Traceback") else " ".join(lines)
    name = type(cause).__name__
    described = text if name in text or name.startswith("UserException") else f"{name}: {text}"
    own = type(cause) if isinstance(cause, ActionGridError) else own_error(text)
    return described if own is None else marked(own.failure_kind, described)


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
    with path.open("w") as log:
        log.write(f"{describe_error(error)}{addition}\n\n")
        log.write("".join(traceback.format_exception(error)))
        if cause is not error:
            log.write("\nRoot cause:\n" + "".join(traceback.format_exception(cause)))


def read_error_log(storage: Storage, path: Path) -> str | None:
    """The first line of an attempt's log, or None where the trial died before it could write one."""
    storage.fetch_missing(path)
    try:
        with path.open() as log:
            return log.readline().strip() or None
    except OSError:
        return None


def oom_kills(counters: Path = _COUNTERS) -> int | None:
    """The kernel's count on this machine since it started, or None where it keeps none."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if words[0] == "oom_kill"), None)


def killed_meanwhile(error: str, before: int | None, now: int | None) -> str:
    """What to add to the error of a run one of whose processes died without a word, or ""."""
    if before is None or now is None or now <= before or classify(error) is not FailureKind.PROCESS_DIED:
        return ""
    return f" (meanwhile the kernel killed {now - before} processes of this machine: out of memory)"
