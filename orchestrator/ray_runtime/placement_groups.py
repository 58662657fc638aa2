"""Resources of cells whose process died: nobody else gives them back while the driver lives."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


def remove_orphaned() -> tuple[str, ...]:
    """Remove this driver's placement groups whose creator has died; returns their ids.

    A Train run's group outlives the process that asked for it (Ray ties it to the driver), and its CPUs and
    GPUs with it. Ray Train keeps one more process beside every run to remove it; the driver, which hears of
    every death anyway, does the same for all of them. Needs an initialised Ray.
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
