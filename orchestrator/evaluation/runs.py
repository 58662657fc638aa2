"""Runs evaluations on Ray: as many cells at once as the cluster has room for."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.layout import file_name
from orchestrator.ray_runtime.cluster_size import cluster_maximum, cluster_size
from orchestrator.ray_runtime.ray_compat import HEAD_RESOURCE, RayWay, remove_orphaned, start_trial_actors
from orchestrator.ray_runtime.train_run import TrialRequest, describe_error, read_error_log, run_evaluation
from orchestrator.scheduling.retry import unmarked
from orchestrator.scheduling.schedule import Free
from trainables.recipe.local_paths import storage_of
from trainables.training.evaluate_cell import result_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.evaluation.jobs import EvaluationJob
    from orchestrator.study.model import Resources

# It only waits for its workers, for which Train asks, and stays on the head, as Tune's trials do. An actor:
# what a dead one leaves behind can be told from what the others use
# (orchestrator.ray_runtime.ray_compat).
_ACTOR = {"num_cpus": 0, "resources": {HEAD_RESOURCE: 0.001}}


class EvaluationRun:
    """The process that starts one evaluation and waits for it."""

    def run(self, config: dict[str, Any]) -> None:
        """See `orchestrator.ray_runtime.train_run.run_evaluation`."""
        run_evaluation(config)


def run_jobs(
    jobs: Sequence[EvaluationJob],
    train_storage: Path,
    local: bool,
    way: RayWay,
    ended: Callable[[EvaluationJob, str | None], None],
) -> None:
    """Run all jobs; `ended` hears of each at once, with its error or None. Needs an initialised Ray."""
    import ray

    actor = ray.remote(**_ACTOR)(EvaluationRun)
    size = cluster_size(cluster_maximum(way)) or Free(cpus=0)
    total = {"CPU": size.cpus, "GPU": size.gpus}
    waiting = deque(jobs)
    _actors = start_trial_actors() if way is RayWay.PUBLIC else None
    running: dict[Any, tuple[Any, EvaluationJob]] = {}
    while waiting or running:
        for _ in range(len(waiting)):
            job = waiting.popleft()
            if not _fits(total, [job.resources]):
                ended(job, _too_large(job, total))
            elif _fits(total, [job.resources, *(one.resources for _, one in running.values())]):
                runner = actor.remote()
                running[runner.run.remote(_request(job, train_storage, local, way).as_config())] = runner, job
            else:
                waiting.append(job)
        if running:
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            _, job = running.pop(ready)
            error = _error(ready, job)
            if error is not None and way is RayWay.FAST:
                remove_orphaned()
            ended(job, error)


def _request(job: EvaluationJob, train_storage: Path, local: bool, way: RayWay) -> TrialRequest:
    log = _log(job)
    log.unlink(missing_ok=True)
    return TrialRequest(
        name=f"{file_name(job.spec.cell.cell)}-{job.spec.identity[:12]}",
        cell=job.spec.cell.cell,
        key=job.spec.cell.key,
        attempt=1,
        spec=job.spec.model_dump_json(),
        workers=job.resources.workers,
        cpus_per_worker=job.resources.cpus_per_worker,
        gpus_per_worker=job.resources.gpus_per_worker,
        train_storage=str(train_storage),
        log=str(log),
        local=local,
        storage=storage_of(job.spec.cell).location,
        way=way,
    )


def _log(job: EvaluationJob) -> Path:
    return result_path(job.run_dir, job.spec.identity).with_suffix(".log")


def _error(ready: Any, job: EvaluationJob) -> str | None:  # noqa: ANN401 - Ray ships no types
    import ray

    try:
        ray.get(ready)
    except Exception as error:
        text = read_error_log(storage_of(job.spec.cell), _log(job)) or describe_error(error)
        return f"{unmarked(text)}; log: {_log(job)}"
    return None


def _fits(total: dict[str, float], wanted: Sequence[Resources]) -> bool:
    cpus, gpus = sum(one.cpus for one in wanted), sum(one.gpus for one in wanted)
    return cpus <= total["CPU"] and gpus <= total["GPU"]


def _too_large(job: EvaluationJob, total: dict[str, float]) -> str:
    return (
        f"asks for {job.resources.cpus} CPUs and {job.resources.gpus:g} GPUs, Ray has {total['CPU']:g} and "
        f"{total['GPU']:g}; resources; use fewer --workers or a larger cluster"
    )
