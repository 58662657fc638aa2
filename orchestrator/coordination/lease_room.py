"""Several drivers on one Ray cluster: what is left for one of them, and who goes first (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.coordination.drivers import DriverRecord
from orchestrator.scheduling.schedule import Free


def room_for(mine: DriverRecord, others: Sequence[DriverRecord], total: Free) -> Free | None:
    """The cluster's resources without what the others' cells occupy; None while this driver has to wait.

    It waits as long as a driver of higher priority on the same cluster has a cell ready that would fit, so
    that what becomes free goes there first. Nothing that runs is ever stopped for another study.
    """
    if mine.cluster is None:
        return total
    rivals = [one for one in others if one.cluster == mine.cluster and one.writer != mine.writer]
    cpus = total.cpus - sum(one.running[0] for one in rivals)
    gpus = total.gpus - sum(one.running[1] for one in rivals)
    free = Free(cpus - mine.running[0], gpus - mine.running[1])
    for rival in rivals:
        fitting = any(ask[0] <= free.cpus and ask[1] <= free.gpus for ask in rival.ready)
        if rival.priority > mine.priority and fitting:
            return None
    return Free(cpus, gpus)
