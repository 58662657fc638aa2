"""The live view of a running grid: a rich display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from catalog.names import clock_text, to_go_text
from catalog.queries.drivers import MeasuredTop1
from orchestrator.ray_runtime.session import SAID_EVERY_SECONDS
from orchestrator.running.cell_run import CellFailure, RunningCell
from orchestrator.terminal.text import PLAIN_STATUS_SECONDS, accuracy_text, held_lines
from trainables.recipe.cell_spec import Which

_BAR = 40
STATES = ("done", "running", "elsewhere", "paused", "waiting", "cancelled", "failed", "blocked")


@dataclass(frozen=True)
class GridView:
    """What the terminal shows at one moment. `states` covers all cells of the study, by name.

    `holders` names the drivers that train the cells that are `elsewhere`; `notice` is what to know; `report`
    is the checkpoint whose top-1 the study reports. `spread`: the factors between which the time to go lay
    when it was reckoned, `reckoned_ago` seconds ago.
    """

    study: str
    states: dict[str, str]
    running: tuple[RunningCell, ...]
    failures: tuple[CellFailure, ...]
    measured: Mapping[str, MeasuredTop1]
    eta_seconds: float | None
    elapsed_seconds: float
    holders: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    spread: tuple[float, float] = (1.0, 1.0)
    report: Which = "last"
    reckoned_ago: float = 0.0

    @property
    def to_go(self) -> tuple[float, float] | None:
        """Between how many seconds it takes from now on; None where that is not known."""
        if self.eta_seconds is None:
            return None
        reckoned = self.eta_seconds + self.reckoned_ago
        low, high = (max(reckoned * factor - self.reckoned_ago, 0.0) for factor in self.spread)
        return low, high


def counts(view: GridView) -> Counter[str]:
    """Cells by state."""
    return Counter(view.states.values())


def summary_line(view: GridView) -> str:
    """Counts by state and the time to go, on one line."""
    by_state = counts(view)
    parts = [f"{by_state[state]} {state}" for state in STATES if by_state[state] or state == "done"]
    return (
        f"{view.study}: {', '.join(parts)} of {len(view.states)} cells; "
        f"{clock_text(view.elapsed_seconds)} elapsed, {to_go_text(view.to_go)}"
    )


def cell_line(cell: RunningCell) -> str:
    """One running cell with its newest metrics."""
    return f"{cell.name}: {', '.join(filter(None, cell_columns(cell, time.time())[1:]))}"


def cell_columns(cell: RunningCell, now: float) -> tuple[str, ...]:
    """Name, epoch, training loss, top-1 on the validation videos and speed of a running cell.

    Before its first epoch: for how long it has been starting.
    """
    metrics = cell.metrics
    if not metrics:
        where = f"from epoch {cell.begun}/{cell.epochs} on" if cell.begun else "first epoch"
        return (cell.name, f"{where}, {clock_text(max(now - cell.started, 0.0))}", "", "", "")
    return (
        cell.name,
        f"epoch {int(metrics['epoch'])}/{cell.epochs}",
        f"training loss {metrics['train_loss']:.3f}",
        f"top-1 {accuracy_text(metrics['top1'], metrics.get('eval_videos'), 1)}",
        f"{metrics['clips_per_second']:.0f} clips/s",
    )


def render(view: GridView) -> Group:
    """The rich display of a view."""
    by_state = counts(view)
    over = by_state["done"] + by_state["failed"] + by_state["blocked"]
    table = Table.grid(padding=(0, 2))
    for cell in view.running:
        table.add_row(*cell_columns(cell, time.time()))
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(1, len(view.states)), completed=over, width=_BAR),
        Text(f"{over} of {len(view.states)}"),
    )
    return Group(
        bar,
        Text(summary_line(view)),
        table,
        *(Text(line) for line in (*held_lines(view.holders), view.notice) if line),
    )


class LiveView:
    """Shows `snapshot()` until closed, from its own thread; never disturbs the grid."""

    def __init__(self, console: Console, snapshot: Callable[[], GridView]) -> None:
        self._console = console
        self._snapshot = snapshot
        self._stop = threading.Event()
        target = self._show_live if console.is_terminal else self._show_plain
        self._thread = threading.Thread(target=target, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Show the last state and leave the terminal as it was; a second call does nothing."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _show_live(self) -> None:
        # What others print is not for people: `redirect_output` has it in the log.
        with Live(
            render(self._snapshot()),
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as live:
            while not self._stop.wait(0.5):
                live.update(render(self._snapshot()), refresh=True)
            live.update(render(self._snapshot()), refresh=True)

    def _show_plain(self) -> None:
        before: dict[str, str] = {}
        notice = ""
        began = shown = time.monotonic()
        starts = 1
        last = False
        while not last:
            last = self._stop.wait(0.5)
            view = self._snapshot()
            for line in changes(before, view):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            if view.notice != notice:
                notice = view.notice
                self._console.print(notice or "going on", markup=False, highlight=False, soft_wrap=True)
            before = view.states
            if _nothing_began(view) and time.monotonic() - began > starts * SAID_EVERY_SECONDS:
                self._console.print(
                    f"starting workers: {clock_text(time.monotonic() - began)} so far", highlight=False
                )
                starts += 1
            if time.monotonic() - shown > PLAIN_STATUS_SECONDS:
                shown = time.monotonic()
                for line in (summary_line(view), *map(cell_line, view.running)):
                    self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _nothing_began(view: GridView) -> bool:
    """Whether cells wait and none has begun: Ray starts their first workers."""
    by_state = counts(view)
    return bool(by_state["waiting"]) and not (view.notice or by_state["running"] or view.measured)


def _reported(view: GridView, name: str) -> str:
    """The top-1 that the study reports of a finished cell."""
    found = view.measured.get(name)
    top1, videos = (found.of(view.report), found.eval_videos) if found else (None, None)
    return f"top-1{' of the best epoch' if view.report == 'best' else ''} {accuracy_text(top1, videos, 1)}"


def _started(view: GridView, name: str) -> str:
    """That a cell has begun, or goes on where an earlier attempt was interrupted."""
    cell = next((one for one in view.running if one.name == name), None)
    if cell is None or not cell.begun or cell.metrics:
        return f"started {name}"
    return f"started {name}: goes on from epoch {cell.begun} of {cell.epochs}"


def changes(before: dict[str, str], view: GridView) -> list[str]:
    """One line for every cell that started or ended since `before`."""
    done = Counter(before.values())["done"] if before else counts(view)["done"]
    lines = []
    for name, state in view.states.items():
        if before.get(name) == state or (not before and state not in ("running", "elsewhere")):
            continue
        if state == "running":
            lines.append(_started(view, name))
        elif state == "done":
            done += 1
            lines.append(
                f"done    {name}: {_reported(view, name)} "
                f"({done}/{len(view.states)}, {to_go_text(view.to_go)})"
            )
        elif state == "elsewhere":
            lines.append(f"held    {name}: by {view.holders.get(name, 'another driver')}")
        elif state in ("paused", "cancelled"):
            lines.append(f"{state:<9} {name}")
        elif state == "failed":
            error = next((failure.error for failure in view.failures if failure.name == name), "")
            lines.append(f"failed  {name}: {error}")
    return lines
