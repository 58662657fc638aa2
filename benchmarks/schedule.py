"""How near the schedule comes to the best possible one: the paper's 72 chains simulated on 1 to 64 GPUs.

    python benchmarks/schedule.py [--gpus 1 2 4 …] [--json]
    python benchmarks/schedule.py --real [--cells 24] [--slots 3] [--json]

A cell costs its FLOPs (training and an evaluation an epoch, as the plan counts them) at one rate for all, so
times are in hours of a GPU that achieves 64 TFLOP/s. The lower bound is max(total / GPUs, longest chain).

Policies: `longest_chain_first` is the real `orchestrator.schedule.GridState`; `breadth_first` starts cells in
the order in which they become ready (all 8-frame cells first); `chain_per_trial` keeps a GPU for a whole
chain, in the study's order; `chain_per_trial_longest` does so with the longest chain first.

`--real` runs a grid of sleeping cells on a local Ray, through the Tune adapter and the Ray Train runs of
`actiongrid run`, and compares its time with the bound plus what starting a cell costs, which is measured in
the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from orchestrator.cost import ASSUMED_TFLOPS, gpu_hours
from orchestrator.makespan import Queue, longest_chain, lower_bound, simulate
from orchestrator.plan import Plan, make_plan
from orchestrator.schedule import Free, GridState, Task
from orchestrator.study import load_study

GPUS = (1, 2, 4, 8, 16, 18, 32, 64)
POLICIES = ("longest_chain_first", "breadth_first", "chain_per_trial", "chain_per_trial_longest")


class Fifo:
    """Tasks in the order in which they become ready; at the start, in the order given."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.children: dict[str, list[str]] = {}
        for task in tasks:
            if task.parent is not None:
                self.children.setdefault(task.parent, []).append(task.name)
        self.ready = deque(task.name for task in tasks if task.parent is None)
        self.running: set[str] = set()

    def next(self, total: Free) -> str | None:
        free = total.less(self.tasks[name].demand for name in self.running)
        return self.ready[0] if self.ready and free.fits(self.tasks[self.ready[0]].demand) else None

    def started(self, name: str) -> None:
        self.ready.remove(name)
        self.running.add(name)

    def finished(self, name: str) -> None:
        self.running.remove(name)
        self.ready.extend(self.children.get(name, ()))


def paper_tasks(plan: Plan) -> list[Task]:
    """The plan's cells as tasks, whether their datasets are here or not."""
    return [
        Task(one.cell.name, one.cell.parent, float(one.flops or 0), one.cell.resources) for one in plan.cells
    ]


def chains_as_tasks(tasks: Sequence[Task]) -> list[Task]:
    """One task a chain, as long as all its cells."""
    by_name = {task.name: task for task in tasks}
    costs: dict[str, float] = {}
    for task in tasks:
        head = task
        while head.parent is not None:
            head = by_name[head.parent]
        costs[head.name] = costs.get(head.name, 0.0) + task.cost
    return [Task(name, None, cost, by_name[name].demand) for name, cost in costs.items()]


def queue_of(policy: str, tasks: Sequence[Task]) -> tuple[Queue, Mapping[str, float]]:
    """The policy's queue and the cost of what it starts."""
    makers: Mapping[str, Callable[[], tuple[Queue, Sequence[Task]]]] = {
        "longest_chain_first": lambda: (GridState(tasks), tasks),
        "breadth_first": lambda: (Fifo(tasks), tasks),
        "chain_per_trial": lambda: (Fifo(chains_as_tasks(tasks)), chains_as_tasks(tasks)),
        "chain_per_trial_longest": lambda: (GridState(chains_as_tasks(tasks)), chains_as_tasks(tasks)),
    }
    queue, started = makers[policy]()
    return queue, {task.name: task.cost for task in started}


def simulated(tasks: Sequence[Task], counts: Sequence[int]) -> list[dict[str, object]]:
    """One row a number of GPUs and policy; times in GPU-hours at the assumed rate."""
    costs = {task.name: task.cost for task in tasks}
    rows: list[dict[str, object]] = []
    for gpus in counts:
        bound = lower_bound(tasks, costs, gpus)
        for policy in POLICIES:
            queue, seconds = queue_of(policy, tasks)
            time = simulate(queue, seconds, Free(cpus=float("inf"), gpus=gpus))
            rows.append(
                {
                    "gpus": gpus,
                    "policy": policy,
                    "makespan": gpu_hours(time),
                    "lower_bound": gpu_hours(bound),
                    "ratio": time / bound,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=GPUS)
    parser.add_argument("--real", action="store_true", help="sleeping cells on a local Ray")
    parser.add_argument("--cells", type=int, default=24, help="sleeping cells of --real")
    parser.add_argument("--slots", type=int, default=3, help="cells at a time of --real")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.real:
        from benchmarks.schedule_real import replay

        replay(options.cells, options.slots, as_json=options.json)
        return
    tasks = paper_tasks(make_plan(load_study("deep-analysis")))
    rows = simulated(tasks, options.gpus)
    if options.json:
        json.dump(rows, sys.stdout)
        print()
        return
    costs = {task.name: task.cost for task in tasks}
    print(
        f"{len(tasks)} cells, {gpu_hours(sum(costs.values())):.0f} GPU-hours at {ASSUMED_TFLOPS:g} TFLOP/s, "
        f"longest chain {gpu_hours(longest_chain(tasks, costs)):.0f} hours"
    )
    print(f"{'GPUs':>5} {'bound, h':>9}  " + "  ".join(f"{policy:>23}" for policy in POLICIES))
    for gpus in options.gpus:
        own = [row for row in rows if row["gpus"] == gpus]
        print(
            f"{gpus:>5} {own[0]['lower_bound']:>9.1f}  "
            + "  ".join(f"{row['makespan']:>15.1f} x {row['ratio']:.3f}" for row in own)
        )


if __name__ == "__main__":
    main()
