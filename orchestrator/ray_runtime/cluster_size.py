"""How large the cluster is and how large its autoscaler can make it: what the schedule counts against.

Counting only what is there now would never ask for more, so a cluster that starts at its head alone would
stay that small.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.ray_runtime.ray_compat import HEAD_RESOURCE, RayWay, reported_maximum
from orchestrator.scheduling.schedule import Free

# For clusters whose autoscaler cannot be asked (KubeRay's sidecar), as JSON: {"CPU": 72, "GPU": 8}.
MAXIMUM_VARIABLE = "ACTIONGRID_CLUSTER_MAXIMUM"
ON_THE_HEAD = {"num_cpus": 0, "max_retries": 1, "resources": {HEAD_RESOURCE: 0.0001}}

Resources = Mapping[str, float]


class ClusterSizeError(ActionGridError):
    """A declared size of the cluster that cannot be read."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class MachineKind:
    """Machines that an autoscaler may start. `resources` is empty where only a started one tells them."""

    resources: Resources
    least: int
    most: int


@dataclass(frozen=True)
class Maximum:
    """How far a cluster may grow: kinds of machines beside the head, `machines` of them in all.

    `declared` stands for itself, where somebody has said what the cluster can have.
    """

    kinds: tuple[MachineKind, ...] = ()
    machines: int = 0
    declared: Resources = field(default_factory=dict)

    @property
    def least(self) -> int:
        """The machines beside the head that the autoscaler starts without being asked."""
        return min(self.machines, sum(kind.least for kind in self.kinds))

    def size(self, head: Resources, others: Sequence[Resources]) -> Free:
        """What the cluster can have, given what its head and its other machines have now."""
        return Free(self._most("CPU", head, others), self._most("GPU", head, others))

    def _most(self, name: str, head: Resources, others: Sequence[Resources]) -> float:
        now = head.get(name, 0.0) + sum(one.get(name, 0.0) for one in others)
        # Machines of a list of addresses are alike more often than not; the largest speaks for the missing.
        unknown = max((one.get(name, 0.0) for one in others or (head,)), default=0.0)
        offers = [(kind.resources.get(name, 0.0) if kind.resources else unknown, kind) for kind in self.kinds]
        grown, left = head.get(name, 0.0), self.machines
        for each, kind in sorted(offers, key=lambda offer: -offer[0]):
            count = min(left, kind.most)
            grown, left = grown + count * each, left - count
        return max(now, grown, self.declared.get(name, 0.0))


def maximum_of(config: Mapping[str, Any]) -> Maximum:
    """Read an autoscaler's configuration (the file of `ray up`, as it is or as Ray completes it)."""
    head = config.get("head_node_type")
    machines = int(config.get("max_workers", 0))
    # Machines that are listed by address are all of one kind, the head's.
    listed = "worker_ips" in config.get("provider", {})
    kinds = []
    for name, kind in config.get("available_node_types", {}).items():
        most = int(kind.get("max_workers", 0 if name == head else machines))
        if most and (name != head or listed):
            kinds.append(MachineKind(kind.get("resources") or {}, int(kind.get("min_workers", 0)), most))
    return Maximum(tuple(kinds), machines)


def cluster_maximum(way: RayWay) -> Maximum:
    """How far this cluster may grow, asked once a run. Needs an initialised Ray.

    The first of: `ACTIONGRID_CLUSTER_MAXIMUM`, what the autoscaler has told Ray (where `way` is fast), the
    configuration that the head's autoscaler was started with. None of them: the cluster stays as it is.

    Raises:
        ClusterSizeError: the variable is not a JSON object of numbers.
    """
    import ray

    told = os.environ.get(MAXIMUM_VARIABLE)
    if told:
        return Maximum(declared=_declared(told))
    if way is RayWay.FAST and (reported := reported_maximum()):
        return Maximum(declared=reported)
    gcs = ray.get_runtime_context().gcs_address
    if _driver_is_on_the_head():
        config = autoscaler_config(gcs)
    else:
        config = ray.get(ray.remote(**ON_THE_HEAD)(autoscaler_config).remote(gcs))
    return maximum_of(config or {})


def cluster_size(maximum: Maximum) -> Free | None:
    """CPUs and GPUs that the cluster has or can have, busy or not; None where Ray is dying: no node is alive.

    Needs an initialised Ray.
    """
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not alive:
        return None
    head: Resources = next((one for one in alive if HEAD_RESOURCE in one), {})
    return maximum.size(head, [one for one in alive if HEAD_RESOURCE not in one])


def autoscaler_config(gcs: str) -> dict[str, Any] | None:
    """What the autoscaler of the cluster at `gcs` was started with, or None; looks on this machine.

    Ray keeps the file's path nowhere but in the command line of its monitor.
    """
    import yaml

    for command in _command_lines():
        if f"--gcs-address={gcs}" not in command:
            continue
        for argument in command:
            option, _, path = argument.partition("=")
            if option == "--autoscaling-config":
                return dict(yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8")))
    return None


def _command_lines() -> list[list[str]]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().decode(errors="replace").split("\0"))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def _driver_is_on_the_head() -> bool:
    import ray

    head = next((node for node in ray.nodes() if node["Alive"] and HEAD_RESOURCE in node["Resources"]), None)
    return head is not None and head["NodeID"] == ray.get_runtime_context().get_node_id()


def _declared(text: str) -> dict[str, float]:
    try:
        return {str(name): float(most) for name, most in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        raise ClusterSizeError(
            f"not a JSON object of numbers: {text!r}",
            MAXIMUM_VARIABLE,
            'set it to something like {"CPU": 72, "GPU": 8}',
        ) from None
