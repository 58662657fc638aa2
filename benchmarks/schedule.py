"""How near the schedule comes to the best possible one: the paper's 72 chains simulated on 1 to 64 GPUs.

    python benchmarks/schedule.py [--gpus 1 2 4 …] [--json]
    python benchmarks/schedule.py --real [--cells 24] [--slots 3] [--json]

A cell costs its FLOPs (training and an evaluation an epoch, as the plan counts them) at one rate for all, so
times are in hours of a GPU that achieves 64 TFLOP/s. The lower bound is max(total / GPUs, longest chain).

Policies: `longest_chain_first` is the real `orchestrator.scheduling.schedule.GridState`; `breadth_first`
starts cells in the order in which they become ready (all 8-frame cells first); `chain_per_trial` keeps a GPU
for a whole chain, in the study's order; `chain_per_trial_longest` does so with the longest chain first.

`--real` runs a grid of sleeping cells on a local Ray, through the Tune adapter and the Ray Train runs of
`actiongrid run`, and compares its time with the bound plus what a cell costs beside its sleep, which is
measured in the same run: from its release to its first step, and from its last step to its child's release.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from orchestrator.planning.cost import SECONDS_PER_HOUR
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.planning.rates import ASSUMED_TFLOPS
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.scheduling.makespan import Queue, longest_chain, simulate
from orchestrator.scheduling.schedule import Free, GridState, Task
from orchestrator.study.load import load_study
from orchestrator.study.model import Resources

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
        free = total.less(Counter(self.tasks[name].demand for name in self.running))
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


def sleeping_tasks(cells: int, scale: float) -> list[Task]:
    """Chains of four cells that sleep as long as the paper's take: 1, 1, 2, 4, in chains of four lengths."""
    tasks: list[Task] = []
    for chain in range(cells // 4):
        for place, share in enumerate((1, 1, 2, 4)):
            parent = f"chain{chain}-{place - 1}" if place else None
            seconds = scale * share * (1 + chain % 4) / 2
            tasks.append(Task(f"chain{chain}-{place}", parent, seconds, Resources()))
    return tasks


def sleep_worker(config: dict[str, Any]) -> None:
    """The worker of a sleeping cell; writes when it began and ended its sleep."""
    import json
    import time
    from pathlib import Path

    import ray.train

    spec = json.loads(config["spec"])
    began = time.time()
    time.sleep(spec["seconds"])
    Path(spec["log"]).write_text(json.dumps([began, time.time()]))
    ray.train.report({"slept": spec["seconds"]})


def sleep_cell(config: dict[str, Any]) -> None:
    """Tune's trainable: one sleeping cell as a Ray Train run."""
    from orchestrator.ray_runtime.train_run import run_workers
    from orchestrator.ray_runtime.trial import TrialRequest

    run_workers(TrialRequest(**config), sleep_worker)


class SleepDriver:
    """Hands out sleeping cells by the real schedule and notes when each was released and told of."""

    leave_now = False
    to_kill: frozenset[str] = frozenset()

    def __init__(self, tasks: Sequence[Task], folder: Path) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.grid = GridState(tasks)
        self.folder = folder
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.errors: list[str] = []

    @property
    def is_finished(self) -> bool:
        return self.grid.is_finished

    def next_trial(self, total: Free) -> TrialRequest | None:
        name = self.grid.next(total)
        if name is None:
            return None
        self.grid.started(name)
        self.started[name] = time.time()
        log = str(self.folder / f"{name}.json")
        spec = json.dumps({"seconds": self.tasks[name].cost, "log": log})
        return TrialRequest(
            name=name,
            cell=name,
            key=name,
            attempt=1,
            spec=spec,
            workers=1,
            cpus_per_worker=1,
            gpus_per_worker=0,
            train_storage=str(self.folder / "train"),
            log=str(self.folder / f"{name}.log"),
            local=True,
            storage=str(self.folder),
        )

    def poll(self) -> None:
        """Nothing to look at while cells sleep."""

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        self.ended[request.cell] = time.time()
        if error is not None:
            self.errors.append(error)
            self.grid.failed(request.cell)
            return
        self.grid.finished(request.cell)


def replay(cells: int, slots: int, scale: float) -> dict[str, Any]:
    """Run sleeping cells for real; times in seconds, `before` and `after` are medians beside the sleep."""
    from orchestrator.ray_runtime.session import ray_session, redirect_output
    from orchestrator.ray_runtime.tune_adapter import run_grid

    tasks = sleeping_tasks(cells, scale)
    with (
        tempfile.TemporaryDirectory() as name,
        redirect_output(Path(name) / "ray.log"),
        ray_session(None, slots, 0) as way,
    ):
        driver = SleepDriver(tasks, Path(name))
        begun = time.time()
        run_grid(driver, "sleep", Path(name) / "tune", way, sleep_cell)
        taken = max(driver.ended.values()) - begun
        if driver.errors:
            raise SystemExit(f"error: {len(driver.errors)} cells failed; {driver.errors[0]}; see Ray's logs")
        slept = {task.name: json.loads((Path(name) / f"{task.name}.json").read_text()) for task in tasks}
    before = {task.name: slept[task.name][0] - driver.started[task.name] for task in tasks}
    after = {task.name: driver.ended[task.name] - slept[task.name][1] for task in tasks}
    sleeps = {task.name: task.cost for task in tasks}
    beside = {task.name: task.cost + before[task.name] + after[task.name] for task in tasks}
    bound, with_start_up = (cpu_bound(tasks, seconds, slots) for seconds in (sleeps, beside))
    return {
        "cells": len(tasks),
        "slots": slots,
        "makespan": taken,
        "lower_bound": bound,
        "lower_bound_with_start_up": with_start_up,
        "ratio": taken / with_start_up,
        "before": median(before.values()),
        "after": median(after.values()),
    }


def lower_bound(tasks: Sequence[Task], seconds: Mapping[str, float], gpus: float) -> float:
    """No schedule on `gpus` GPUs is quicker: max(all the work / GPUs, longest chain), in seconds."""
    work = sum(seconds[one.name] * one.demand.gpus for one in tasks)
    return max(work / gpus, longest_chain(tasks, seconds))


def gpu_hours(flops: float, tflops: float = ASSUMED_TFLOPS) -> float:
    """Hours of one GPU that achieves `tflops` (10¹² operations a second) on average."""
    return flops / (tflops * 1e12) / SECONDS_PER_HOUR


def cpu_bound(tasks: Sequence[Task], seconds: Mapping[str, float], slots: int) -> float:
    """As `lower_bound`, for cells that hold one CPU each."""
    return max(sum(seconds.values()) / slots, longest_chain(tasks, seconds))


def show_replay(row: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row))
        return
    bounds = (
        f"{row['lower_bound']:.1f} s, with what cells cost beside {row['lower_bound_with_start_up']:.1f} s"
    )
    print(f"{row['cells']} sleeping cells on {row['slots']} slots: {row['makespan']:.1f} s")
    print(f"lower bound of the sleeps alone {bounds}: x {row['ratio']:.3f} of the latter")
    print(
        f"beside its sleep a cell takes {row['before']:.1f} s before and {row['after']:.1f} s after (medians)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=GPUS)
    parser.add_argument("--real", action="store_true", help="sleeping cells on a local Ray")
    parser.add_argument("--cells", type=int, default=24, help="sleeping cells of --real")
    parser.add_argument("--slots", type=int, default=3, help="cells at a time of --real")
    parser.add_argument("--scale", type=float, default=2.5, help="seconds of an 8-frame sleep of --real")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.real:
        show_replay(replay(options.cells, options.slots, options.scale), as_json=options.json)
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
