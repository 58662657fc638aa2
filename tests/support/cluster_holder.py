"""Holds a Ray cluster of one node with two CPUs until its standard input closes; prints its address.

At every line that it reads it prints, as JSON, what lives on the cluster: actors and placement groups.
"""

from __future__ import annotations

import json
import sys


def hold() -> None:
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.placement_group import placement_group_table
    from ray.util.state import list_actors

    head = {
        "num_cpus": 2,
        "object_store_memory": 100 << 20,
        "include_dashboard": True,
        "dashboard_port": 0,
        "include_log_monitor": False,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        print(cluster.address, flush=True)
        for _ in sys.stdin:
            groups = [one for one in placement_group_table().values() if one["state"] != "REMOVED"]
            actors = [one.class_name for one in list_actors(limit=1000) if one.state != "DEAD"]
            told = {"actors": actors, "groups": len(groups), "cpus": ray.available_resources().get("CPU", 0)}
            print(json.dumps(told), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    hold()
