"""One Ray Train run: a cell trained or evaluated, in a Tune trial. Only this module here talks to Train."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalog.storage.storage import open_storage
from orchestrator.ray_runtime.ray_compat import RayWay, announce_trial, controller_in_this_process
from orchestrator.ray_runtime.trial import (
    TrialRequest,
    describe_error,
    killed_meanwhile,
    oom_kills,
    write_error_log,
)

# Seconds between the Train controller's looks at its workers: every report waits for one of them.
POLL_SECONDS = "0.1"
# How long a cell on a cluster waits for the machines of its workers.
WORKERS_SECONDS = "1800"


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
    # Opened before anything can fail: a full memory must not keep the error from its log.
    storage = open_storage(request.storage)
    before = oom_kills()
    try:
        trainer.fit()
    except Exception as error:
        killed = killed_meanwhile(describe_error(error), before, oom_kills())
        write_error_log(storage, Path(request.log), error, killed)
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
