"""Which of two ways a Ray is used: by its public names alone, or faster by private ones, all of them here.

The private names of a Ray version are used only where they were tried on it; any other Ray, and any Ray with
`ACTIONGRID_RAY=public` in the driver's environment, is used by the public names that stand beside them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from catalog.storage.errors import BAD_INPUT, ActionGridError

logger = logging.getLogger(__name__)

WAY_VARIABLE = "ACTIONGRID_RAY"
# The versions on which the tests ran with the private names: on one machine; on several (tests/cluster).
PROVEN_LOCAL = ("2.60.0",)
PROVEN_ON_CLUSTERS = ("2.60.0",)

# A resource that only the head has. Ray documents the name, not the constant that holds it.
HEAD_RESOURCE = "node:__internal_head__"
_TRIALS = "actiongrid-trials"
_ANSWER_SECONDS = 10.0


class RayWayError(ActionGridError):
    """A way of using Ray that does not exist."""

    exit_code = BAD_INPUT


class RayWay(StrEnum):
    """How Ray is used."""

    PUBLIC = "public"
    FAST = "fast"


def ray_way(*, local: bool) -> RayWay:
    """The way for a local Ray or a cluster: what the environment says, else fast where that was tried.

    Raises:
        RayWayError: the variable names neither.
    """
    told = os.environ.get(WAY_VARIABLE)
    if told:
        if told not in tuple(RayWay):
            raise RayWayError(f"neither public nor fast: {told!r}", WAY_VARIABLE, "set it to one of them")
        return RayWay(told)
    proven = PROVEN_LOCAL if local else PROVEN_ON_CLUSTERS
    return RayWay.FAST if _ray_version() in proven else RayWay.PUBLIC


def _ray_version() -> str:
    """Ray's version, read from its metadata, or where there is none from Ray itself, which takes seconds."""
    try:
        return version("ray")
    except PackageNotFoundError:
        import ray

        return str(ray.__version__)


def meant_address(address: str) -> str:
    """The host and port that `auto` means to Ray on this machine; any other address as it is.

    Public way: `auto` itself, of which nobody can ask beforehand whether it answers.
    """
    if address != "auto":
        return address
    try:
        from ray._private.services import get_ray_address_from_environment

        return str(get_ray_address_from_environment(address, None))
    except (ImportError, TypeError, ConnectionError):
        return address


def reported_maximum() -> Mapping[str, float]:
    """What the autoscaler has told Ray that the cluster can have at most; empty where it told nothing.

    Public way: `ACTIONGRID_CLUSTER_MAXIMUM`, or the configuration file that the head's monitor was started
    with (`orchestrator.ray_runtime.cluster_size`). Here nobody has to set or find anything.
    """
    from ray._private.state import state

    reported = state.get_max_resources_from_cluster_config() or {}
    return {name: float(most) for name, most in reported.items()}


def remove_orphaned() -> tuple[str, ...]:
    """Remove this driver's placement groups whose creator has died; returns their ids.

    A Train run's group outlives the process that asked for it (Ray ties it to the driver), and its CPUs and
    GPUs with it. Public way: Train's own cleaner, one more process beside every run (2 to 3 CPU-seconds),
    which asks Ray's dashboard, some ten processes. The driver, which is told of every death anyway, does the
    same for all runs. Needs an initialised Ray.
    """
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    removed: list[str] = []
    for data in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(data)
        own = group.creator_job_id.hex() == job and not group.is_detached
        # Ray counts a group that the driver itself asked for, such as Tune's, as one of a dead actor's.
        by_actor = not ray.ActorID(group.creator_actor_id).is_nil()
        if own and by_actor and group.creator_actor_dead and group.state != PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
            removed.append(group.placement_group_id.hex())
            logger.warning("removed the placement group %s of a process that died", removed[-1])
    return tuple(removed)


def trial_actor(trial: Any) -> Any:  # noqa: ANN401 - Ray ships no types
    """The process of a running Tune trial, as an actor's handle, or None.

    Public way: `TrialActors`, one process a submission, which every trial tells its own handle.
    """
    return trial.temporary_state.ray_actor


class TrialActors:
    """An actor that keeps the handles of this driver's trials, by their requests' names."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def put(self, name: str, handle: Any) -> None:  # noqa: ANN401 - an actor's handle
        """Keep a trial's handle. A process runs one trial after another."""
        self._handles[name] = handle

    def get(self, name: str) -> Any:  # noqa: ANN401 - an actor's handle
        """A trial's handle, or None where it has not told it yet."""
        return self._handles.get(name)


def start_trial_actors() -> Any:  # noqa: ANN401 - an actor's handle
    """Start this driver's `TrialActors`; it lives as long as the driver keeps what is returned."""
    import ray

    options = {"name": _TRIALS, "num_cpus": 0, "resources": {HEAD_RESOURCE: 0.0001}}
    return ray.remote(**options)(TrialActors).remote()


def announce_trial(name: str) -> None:
    """Tell the driver's `TrialActors` the actor in which this trial runs."""
    import ray

    ray.get(ray.get_actor(_TRIALS).put.remote(name, ray.get_runtime_context().current_actor))


def announced_trial(actors: Any, name: str) -> Any:  # noqa: ANN401 - actors' handles
    """The handle that a trial has told `actors`, or None where it has not, or nobody answers."""
    import ray

    try:
        return ray.get(actors.get.remote(name), timeout=_ANSWER_SECONDS)
    except ray.exceptions.RayError:
        logger.exception("who keeps the trials' handles does not answer")
        return None


def controller_in_this_process() -> Any:  # noqa: ANN401 - a class of Ray's
    """A trainer that needs three processes fewer than Ray's own, each of which cost 2 to 3 CPU-seconds.

    Public way: `ray.train.torch.TorchTrainer`. Its controller is a process of its own, which imports torch,
    as it makes this one do; here it runs in this process, which waits for it anyway and now dies with it. No
    manager for Ray Data, which ours do not use. No cleaner: see `remove_orphaned`. The workers join
    torch.distributed by themselves (`trainables.training.train_cell`).
    """
    from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
    from ray.train.v2._internal.execution.controller import TrainController
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    class CellTrainer(DataParallelTrainer):  # type: ignore[misc]
        """See `controller_in_this_process`."""

        def _create_default_callbacks(self) -> list[Any]:
            idle = (DatasetsCallback, PlacementGroupCleanerCallback)
            return [one for one in super()._create_default_callbacks() if not isinstance(one, idle)]

        def _initialize_and_run_controller(self, **arguments: Any) -> Any:  # noqa: ANN401 - ray.train.Result
            controller = TrainController(**arguments)
            asyncio.run(controller.run())
            return controller.get_result()

    return CellTrainer
