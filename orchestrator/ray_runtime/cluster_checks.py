"""What would fail late on a cluster is refused early: other versions, or a storage that is not shared."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.storage import Probe, Storage
from orchestrator.ray_runtime.cluster_size import cluster_maximum
from orchestrator.ray_runtime.ray_compat import RayWay, ray_way
from orchestrator.ray_runtime.session import ended_if_silent, ray_session, redirect_output

# Their versions decide what a worker computes, or whether it can read what another has written.
COMPARED = ("ray", "torch", "torchvision", "numpy", "pyarrow", "actiongrid")
ANSWER_SECONDS = 90.0
# A mounted directory may show another machine's new file a moment late.
SEEN_SECONDS = 5.0
JOIN_SECONDS = 300.0


class ClusterError(ActionGridError):
    """A cluster on which this submission cannot work."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Answer:
    """What one machine told. `seen` is whether the driver's file was there, `wrote` its own file's name.

    `problem` is why it could not write.
    """

    node: str
    versions: Mapping[str, str]
    seen: bool
    wrote: str | None
    problem: str | None


def check_cluster(address: str | None, storage: Storage, log: Path, said_on: int = 1) -> None:
    """Connect to the cluster at `address` and ask every machine of it; a local Ray has nothing to check.

    Ray's own output goes to `log`, what people should know to the descriptor `said_on`. Machines that join
    later are not asked.

    Raises:
        ClusterError: names the machines and what to do.
        RaySessionError: the cluster does not answer.
        RayWayError: the environment names a way of using Ray that does not exist.
    """
    ray_way(local=address is None)
    if address is None:
        return
    refuse_lost_storage(storage.root)
    with (
        redirect_output(log, said_on) as terminal,
        ended_if_silent(address, lambda line: print(line, file=terminal)),
        ray_session(address, None, None, lambda line: print(line, file=terminal)) as way,
    ):
        wait_for_machines(way)
        check_machines(storage)


def refuse_lost_storage(storage: Path) -> None:
    """A job's working directory is a copy that Ray deletes.

    Raises:
        ClusterError: the storage lies in one.
    """
    if "runtime_resources" in storage.parts:
        raise ClusterError(
            "the storage lies in the job's own copy of the repository, which Ray deletes",
            storage,
            "give --storage (or set ACTIONGRID_STORAGE on the cluster) to a directory "
            "that all machines share",
        )


def wait_for_machines(way: RayWay, seconds: float = JOIN_SECONDS) -> None:
    """Wait until the machines that the autoscaler always keeps have joined; go on without them after that."""
    import ray

    least = cluster_maximum(way).least
    deadline = time.monotonic() + seconds
    while sum(1 for node in ray.nodes() if node["Alive"]) <= least and time.monotonic() < deadline:
        time.sleep(1.0)


def check_machines(storage: Storage) -> None:
    """Ask every machine of the connected cluster.

    Raises:
        ClusterError: a machine does not answer, runs other versions, or does not share the storage.
    """
    import ray

    probe = storage.probe()
    probe.place()
    try:
        answers = _ask([node for node in ray.nodes() if node["Alive"]], probe)
        here = versions()
        _refuse_other_versions(answers, here)
        _refuse_unshared(answers, storage, probe.answers())
    finally:
        probe.clear()


def versions() -> dict[str, str]:
    """This process's Python and libraries, read from their metadata: nothing is imported."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    found = {"python": ".".join(python_version().split(".")[:2])}
    for name in COMPARED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # ActionGrid itself may be there as a job's working directory alone.
            continue
    return found


def answer(node: str, probe: Probe) -> Answer:
    """Run on one machine: find the driver's file, and write one beside it."""
    try:
        if not probe.is_seen(SEEN_SECONDS):
            return Answer(node, versions(), seen=False, wrote=None, problem=None)
        return Answer(node, versions(), seen=True, wrote=probe.answer(node), problem=None)
    except OSError as error:
        return Answer(node, versions(), seen=True, wrote=None, problem=str(error))


def _ask(nodes: Sequence[Mapping[str, Any]], probe: Probe) -> list[Answer]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=1)(answer)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked[task.options(scheduling_strategy=there).remote(_name(node), probe)] = node
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    if late:
        names = ", ".join(_name(asked[one]) for one in late)
        raise ClusterError(
            f"no answer within {ANSWER_SECONDS:.0f} s",
            names,
            "see `ray status` and the file raylet.out on that machine",
        )
    return [_answer_of(one, asked[one]) for one in ready]


def _answer_of(reference: Any, node: Mapping[str, Any]) -> Answer:  # noqa: ANN401 - Ray ships no types
    import ray

    try:
        found: Answer = ray.get(reference)
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        raise ClusterError(
            f"a task failed there ({lines[-1] if lines else type(error).__name__})",
            _name(node),
            "install requirements.lock on every machine, and ActionGrid itself or use `actiongrid submit`",
        ) from error
    return found


def _refuse_other_versions(answers: Sequence[Answer], here: Mapping[str, str]) -> None:
    for one in answers:
        other = [
            f"{name} {one.versions[name]} instead of {mine}"
            for name, mine in here.items()
            if one.versions.get(name, mine) != mine
        ]
        if other:
            raise ClusterError(
                f"other versions than the driver's: {', '.join(other)}",
                one.node,
                "install requirements.lock on every machine",
            )


def _refuse_unshared(answers: Sequence[Answer], storage: Storage, written: set[str]) -> None:
    blind = [one.node for one in answers if not one.seen or (one.wrote and one.wrote not in written)]
    if blind:
        raise ClusterError(
            f"{len(blind)} of {len(answers)} machines do not share the storage: "
            f"{', '.join(blind)} (the driver is on {os.uname().nodename})",
            f"--storage {storage.location}",
            "mount one shared file system there on every machine",
        )
    for one in answers:
        if one.wrote is None:
            raise ClusterError(
                f"{one.node} cannot write to the storage ({one.problem})",
                f"--storage {storage.location}",
                "mount it writable for the user who runs Ray there, or give it the bucket's credentials",
            )


def _name(node: Mapping[str, Any]) -> str:
    name, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
    return f"{name} ({address}, node {node['NodeID'][:8]})"
