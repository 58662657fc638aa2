"""Runs a study on a cluster that Ray's fake provider grows and shrinks; a program for namespaces of its own.

Arguments: the study and the storage. Prints one line of JSON: how many machines there were when.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import ray
from ray.cluster_utils import AutoscalingCluster

SMALL = 80 << 20
SECONDS = 400.0
HEAD = "f" * 51 + "00000"
MODULE = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"


class FakeCluster(AutoscalingCluster):  # type: ignore[misc]
    """Ray's own, whose template file is not in the published package; so it is an external provider here."""

    def _generate_config(
        self, head_resources: dict[str, Any], worker_node_types: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        head = {"resources": head_resources, "node_config": {}, "max_workers": 0}
        provider = {
            "type": "external",
            "module": MODULE,
            "launch_multiple": True,
            "head_node_id": HEAD,
            "disable_node_updaters": True,
        }
        empty: dict[str, Any] = {
            name: []
            for name in ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands")
        }
        commands: dict[str, Any] = {
            f"{kind}_commands": []
            for kind in ("setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        }
        return {
            "cluster_name": "fake",
            "max_workers": 3,
            "upscaling_speed": 100.0,
            "idle_timeout_minutes": 0.15,
            "provider": provider,
            "auth": {},
            "docker": {},
            "file_mounts": {},
            "file_mounts_sync_continuously": False,
            "head_node_type": "ray.head.default",
            "available_node_types": {"ray.head.default": head, **worker_node_types},
            **empty,
            **commands,
        }


def alive() -> int:
    """Machines beside the head."""
    return sum(1 for node in ray.nodes() if node["Alive"]) - 1


def grow_and_shrink(study: str, storage: str) -> dict[str, Any]:
    worker = {
        "resources": {"CPU": 2, "object_store_memory": SMALL},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 3,
    }
    cluster = FakeCluster({"CPU": 0, "object_store_memory": SMALL}, {"worker": worker}, autoscaler_v2=True)
    cluster.start()
    ray.init(address="auto", log_to_driver=False)
    before, most, started = alive(), 0, time.monotonic()
    command = [sys.executable, "-m", "orchestrator.cli", "run", study, "--address", "auto"]
    with subprocess.Popen([*command, "--storage", storage], stdout=sys.stderr) as run:
        while run.poll() is None and time.monotonic() < started + SECONDS:
            most = max(most, alive())
            time.sleep(0.2)
        if run.poll() is None:
            run.kill()
    ended = time.monotonic()
    while alive() and time.monotonic() < ended + 90:
        time.sleep(0.5)
    idle = time.monotonic() - ended
    return {"before": before, "most": most, "code": run.returncode, "after": alive(), "idle": idle}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(grow_and_shrink(*sys.argv[1:])) + "\n")
