"""What a dead cell leaves behind is given back, and nothing else is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from orchestrator.ray_runtime.ray_compat import remove_orphaned
from orchestrator.ray_runtime.session import ray_session


@pytest.fixture
def local_ray() -> Iterator[None]:
    with ray_session(None, cpus=3, gpus=0):
        yield


@pytest.mark.slow
def test_only_the_dead_ones_resources_are_given_back(local_ray: None) -> None:
    import ray
    from ray.util.placement_group import placement_group, placement_group_table

    @ray.remote(num_cpus=0)
    class Controller:
        def take_a_cpu(self) -> str:
            group = placement_group([{"CPU": 1}])
            ray.get(group.ready())
            return group.id.hex()

    ours = placement_group([{"CPU": 1}])
    dying, living = Controller.remote(), Controller.remote()
    orphan, kept = ray.get([dying.take_a_cpu.remote(), living.take_a_cpu.remote()])
    assert remove_orphaned() == ()
    ray.kill(dying)
    deadline = time.monotonic() + 30
    while not (removed := remove_orphaned()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert removed == (orphan,)
    while ray.available_resources().get("CPU", 0) < 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    states = {one: entry["state"] for one, entry in placement_group_table().items()}
    assert states == {ours.id.hex(): "CREATED", kept: "CREATED", orphan: "REMOVED"}
    assert ray.available_resources()["CPU"] == 1
    assert remove_orphaned() == ()
