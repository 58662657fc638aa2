from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ray_runtime.cluster_size import (
    ClusterSizeError,
    MachineKind,
    Maximum,
    _declared,
    maximum_of,
)
from orchestrator.scheduling.schedule import Free

HEAD = {"CPU": 4.0}
SMALL = MachineKind({"CPU": 8.0}, 0, 10)
LARGE = MachineKind({"CPU": 48.0, "GPU": 4.0}, 0, 2)


def config(**more: Any) -> dict[str, Any]:
    return {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}},
            "gpu": {"resources": {"CPU": 8, "GPU": 1}, "min_workers": 1, "max_workers": 3},
            "cpu": {"resources": {"CPU": 16}},
        },
    } | more


def test_without_an_autoscaler_the_cluster_is_what_it_is() -> None:
    assert Maximum().size(HEAD, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}]) == Free(cpus=20, gpus=1)


def test_the_limit_of_machines_holds_over_all_kinds() -> None:
    # Three machines in all: two large ones and a small one at best.
    assert Maximum((SMALL, LARGE), machines=3).size(HEAD, []) == Free(cpus=4 + 96 + 8, gpus=8)


def test_what_is_there_counts_even_if_it_is_more_than_the_configuration_says() -> None:
    assert Maximum((SMALL,), machines=1).size(HEAD, [{"CPU": 64.0}]) == Free(cpus=68)


def test_machines_that_tell_their_size_only_when_they_run_are_like_the_largest_known() -> None:
    listed = Maximum((MachineKind({}, 3, 3),), machines=3)
    assert listed.size(HEAD, []) == Free(cpus=16)
    assert listed.size(HEAD, [{"CPU": 32.0, "GPU": 2.0}]) == Free(cpus=100, gpus=6)


def test_an_autoscalers_configuration_is_read() -> None:
    maximum = maximum_of(config())
    assert maximum.machines == 5 and maximum.least == 1
    assert maximum.kinds == (MachineKind({"CPU": 8, "GPU": 1}, 1, 3), MachineKind({"CPU": 16}, 0, 5))
    assert maximum_of({}) == Maximum()


def test_the_heads_own_kind_counts_only_where_machines_are_listed() -> None:
    kinds = {"local": {"resources": {}, "min_workers": 2, "max_workers": 2}}
    local = config(
        head_node_type="local",
        max_workers=2,
        available_node_types=kinds,
        provider={"type": "local", "worker_ips": ["a", "b"]},
    )
    assert maximum_of(local) == Maximum((MachineKind({}, 2, 2),), machines=2)


def test_a_declared_size_is_taken_and_a_wrong_one_named() -> None:
    assert Maximum(declared=_declared('{"CPU": 72, "GPU": 8}')).size(HEAD, []) == Free(cpus=72, gpus=8)
    for wrong in ("72", '{"CPU": "many"}', "CPU=72", "[1]"):
        with pytest.raises(ClusterSizeError, match="ACTIONGRID_CLUSTER_MAXIMUM"):
            _declared(wrong)
