"""What ten dashboards cost a driver that writes its journal, and what killing them does to it: nothing.

    python benchmarks/journal_beside_dashboards.py [--dashboards 10] [--seconds 5] [--rounds 4] [--pace 10]

One process appends epochs to the journal of a grid of 288 cells, as a driver does, at a real grid's pace and
as fast as it can. In every round that is done three times, one after the other:

- `alone`: nobody looks (the dashboards are there and are not asked);
- `beside`: every dashboard, a process of its own, is asked for news every second as an open browser window
  asks, and for what changed on its page;
- `busy`: as many processes that never touch the storage use as much CPU time as the dashboards just did. What
  they cost the writer is the price of a full machine and not the journal's.

The figures are medians over the rounds of each round's median and 95th percentile of the time inside
`Journal.append` (encoding, write and fsync), of the writer's own CPU time in it, and of the events a second.
At the end the dashboards are killed (SIGKILL), one after the other, while the writer works as fast as it can:
every line that it was told is durable must be in the catalog, once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dashboard_window import ROOT, Dashboard, Window, watched

from catalog import Catalog, Journal, Tail
from catalog.events import AttemptStarted, CellPlanned, EpochFinished

CELLS = 288
FULL_SPEED = 0.0
PAGES = ("/", "/grid", "/findings", "/cost", "/findings?show=pooling")
"""What the windows show; the page decides what news cost."""


def make_grid(storage: Path) -> None:
    """Plan the cells that the writer reports about."""
    with Journal.open(storage, "planner") as journal:
        for number in range(CELLS):
            module, frames = ("tsn", "tam", "s3d", "i3d")[number % 4], (8, 16, 32, 64)[number // 4 % 4]
            backbone = ("inception_v1", "resnet18", "resnet50")[number // 16 % 3]
            dataset = ("mini-ssv2", "mini-kinetics", "mini-mit")[number // 48 % 3]
            pooled = number >= CELLS // 2
            cell = f"{module}-{backbone}{'-tp' if pooled else ''}-f{frames}@{dataset}"
            about = (module, backbone, pooled, frames, dataset, 0, 20_000_000, 10**9 * frames)
            journal.append(
                CellPlanned(key_of(number), cell, None, "study", *about, {}, {"recipe": {"epochs": 60}})
            )
            journal.append(AttemptStarted(key_of(number), 1, "driver", "host", "runs/x"))


def key_of(number: int) -> str:
    return f"{number:064x}"


def epoch_of(number: int) -> EpochFinished:
    """The writer's event with this number; every one states another fact."""
    epoch, cell = divmod(number, CELLS)
    return EpochFinished(key_of(cell), epoch + 1, 1, 2.5, 40.0, 0.01, 2.75, 40.0, 70.0, 120.5, 60.25)


def write(storage: Path, writer: str, first: int, seconds: float, pace: float) -> dict[str, Any]:
    """Append events for some time, `pace` a second (0: as fast as possible); times are in microseconds."""
    wall, cpu = [], []
    number = first
    with Journal.open(storage, writer) as journal:
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            event = epoch_of(number)
            before, before_cpu = time.perf_counter(), time.thread_time()
            journal.append(event)
            wall.append(1e6 * (time.perf_counter() - before))
            cpu.append(1e6 * (time.thread_time() - before_cpu))
            number += 1
            if pace:
                time.sleep(max(0.0, begun + (number - first) / pace - time.perf_counter()))
        spent = time.perf_counter() - begun
    return {
        "acknowledged": number - first,
        "append_us": statistics.median(wall),
        "append_p95_us": statistics.quantiles(wall, n=20)[-1],
        "cpu_us": statistics.median(cpu),
        "events_per_s": len(wall) / spent,
    }


def write_apart(storage: Path, writer: str, first: int, seconds: float, pace: float) -> dict[str, Any]:
    """`write` in a process of its own, as a driver is."""
    options = ["--role", "writer", "--storage", storage, "--writer", writer, "--first", first]
    command = [sys.executable, __file__, *options, "--seconds", seconds, "--pace", pace]
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def busy(processes: int, share: float) -> Iterator[None]:
    """Processes that each use this share of a core, in one piece a second, and do nothing else."""
    code = (
        "import sys, time\nshare = float(sys.argv[1])\nwhile True:\n"
        "    begun, spent = time.monotonic(), time.process_time()\n"
        "    while time.process_time() - spent < share and time.monotonic() - begun < 1: pass\n"
        "    time.sleep(max(0, begun + 1 - time.monotonic()))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(share)]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def compare(
    storage: Path, dashboards: list[Dashboard], windows: list[Window], options: argparse.Namespace
) -> tuple[int, list[dict[str, Any]]]:
    """Write alone, beside dashboards and beside busy processes, in turns; one row a pace and setting."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    first = 0
    share = 0.0
    for _ in range(options.rounds):
        for name, pace in (("real pace", options.pace), ("full speed", FULL_SPEED)):
            for setting in ("alone", "beside", "busy"):
                with ExitStack() as stack:
                    before = sum(one.cpu_seconds() for one in dashboards)
                    if setting == "beside":
                        stack.enter_context(watched(windows))
                    if setting == "busy":
                        stack.enter_context(busy(len(dashboards), share))
                    made = write_apart(storage, "driver", first, options.seconds, pace)
                if setting == "beside":
                    used = sum(one.cpu_seconds() for one in dashboards) - before
                    share = min(1.0, used / options.seconds / len(dashboards))
                made["dashboards_cpu"] = share if setting != "alone" else 0.0
                first += made["acknowledged"]
                print(f"{name}, {setting}: {made['append_us']:.0f} µs", file=sys.stderr)
                found.setdefault((name, setting), []).append(made)
    return first, [
        {
            "pace": name,
            "setting": setting,
            **{column: round(statistics.median(one[column] for one in rounds), 3) for column in rounds[0]},
        }
        for (name, setting), rounds in found.items()
    ]


def kill_while_writing(
    storage: Path, dashboards: list[Dashboard], windows: list[Window], first: int, seconds: float
) -> tuple[int, int]:
    """Kill a random dashboard every 0.3 s while a writer works as fast as it can; return what it was told."""
    told: dict[str, Any] = {}
    writer = threading.Thread(
        target=lambda: told.update(write_apart(storage, "beside-kills", first, seconds, FULL_SPEED))
    )
    killed = 0
    with watched(windows, 0.3):
        writer.start()
        alive = list(dashboards)
        while writer.is_alive() and alive:
            time.sleep(0.3)
            alive.pop(random.randrange(len(alive))).kill()
            killed += 1
        writer.join()
    return told["acknowledged"], killed


def found_once(storage: Path, writer: str, wanted: range) -> dict[str, int]:
    """How many of a writer's acknowledged events are missing in its journal or the catalog, or doubled."""
    tail = Tail(storage)
    lines = [line.event for line in tail.lines() if line.writer == writer]
    counts: dict[tuple[str, int], int] = {}
    for event in lines:
        assert isinstance(event, EpochFinished)
        counts[event.key, event.epoch] = counts.get((event.key, event.epoch), 0) + 1
    facts = [(event.key, event.epoch) for event in map(epoch_of, wanted)]
    with Catalog.open(storage) as catalog:
        rows = catalog.query("SELECT key, epoch, count(*) AS n FROM recorded.epochs GROUP BY ALL").to_pylist()
    kept = {(row["key"], row["epoch"]): row["n"] for row in rows}
    return {
        "missing": sum(counts.get(one, 0) == 0 or kept.get(one, 0) == 0 for one in facts),
        "twice": sum(counts.get(one, 0) > 1 or kept.get(one, 0) > 1 for one in facts),
        "faults": len(tail.faults),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dashboards", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pace", type=float, default=10.0, help="events a second of a real grid")
    parser.add_argument("--json", action="store_true")
    for name, kind in (("--role", str), ("--storage", Path), ("--writer", str), ("--first", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "writer":
        print(
            json.dumps(write(options.storage, options.writer, options.first, options.seconds, options.pace))
        )
        return
    # Whoever ends this ends the dashboards too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        storage = Path(folder)
        make_grid(storage)
        dashboards = [Dashboard(storage) for _ in range(options.dashboards)]
        for one in dashboards:
            stack.callback(one.kill)
        windows = [Window(one.url(), PAGES[number % len(PAGES)]) for number, one in enumerate(dashboards)]
        written, rows = compare(storage, dashboards, windows, options)
        seconds = max(4.0, 0.35 * options.dashboards)
        kills, killed = kill_while_writing(storage, dashboards, windows, written, seconds)
        last = written + kills
        lost = {
            "refreshes": sum(one.refreshes for one in windows),
            "written beside": written,
            **{
                f"beside: {name}": value
                for name, value in found_once(storage, "driver", range(written)).items()
            },
            "written beside kills": kills,
            "killed": killed,
            **{
                f"kills: {name}": value
                for name, value in found_once(storage, "beside-kills", range(written, last)).items()
            },
        }
    if options.json:
        print(json.dumps({"rows": rows, "lines": lost}))
        return
    for row in [*rows, lost]:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
