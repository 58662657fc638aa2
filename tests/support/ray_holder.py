"""Holds a cluster of three Ray nodes on this machine until its standard input closes; a program of its own.

Prints one line of JSON: addresses and, by node, the pid of its raylet. `RAY_TMPDIR` keeps it apart from
others.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

SMALL = {"object_store_memory": 80 << 20, "include_log_monitor": False, "dashboard_agent_listen_port": 0}


def hold() -> None:
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": 0, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for number in range(2):
            # Agents that shared one folder would unpack a job's working directory over each other.
            cluster.add_node(num_cpus=1, runtime_env_dir_name=f"runtime_{number}", **SMALL)
        raylets = {node.node_id: pid(node, "raylet") for node in cluster.list_all_nodes()}
        told = {
            "address": cluster.address,
            "dashboard": f"http://{cluster.webui_url}",
            "head": cluster.head_node.node_id,
            "raylets": raylets,
            "dashboard_pid": pid(cluster.head_node, "dashboard"),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.shutdown()


def pid(node: object, kind: str) -> int:
    return int(node.all_processes[kind][0].process.pid)  # type: ignore[attr-defined]


if __name__ == "__main__":
    hold()
