"""One `actiongrid run` from beginning to end: puts the parts of a submission together.

Safe to repeat: what is done stays done.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from catalog import Catalog
from catalog.journal import open_journal
from catalog.maintenance import leave_snapshot
from catalog.storage.layout import command_on
from catalog.storage.outage import exit_despite_outage
from orchestrator.coordination.drivers import Presence, writer_name
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.datasets.build import Announce, ShowProgress
from orchestrator.datasets.built import manifest_path
from orchestrator.planning.earlier import earlier_lines
from orchestrator.planning.forecast import on_gpus
from orchestrator.planning.machine import require_room, this_machine
from orchestrator.planning.measured import choose_rates, measured_rates, overshoots
from orchestrator.planning.measurement_files import chosen_packing
from orchestrator.planning.plan_model import Plan, State
from orchestrator.ray_runtime.cluster_checks import check_cluster
from orchestrator.ray_runtime.dispatch import Grid, RayPlace, StopSignals, Terminal, dispatch, ray_files
from orchestrator.ray_runtime.session import leftovers, redirect_output, remove_leftover
from orchestrator.running.cell_run import CellFailure, finished_seconds
from orchestrator.running.driver import Driver
from orchestrator.running.notifications import require_addresses, start_notifier
from orchestrator.running.sinks import require_sinks, start_sinks
from orchestrator.running.submission import Options, Submission
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import Cell, expand
from orchestrator.study.model import Study
from orchestrator.terminal.grid_view import GridViewer, Seed, shown_states


@dataclass(frozen=True)
class Outcome:
    """How a submission ended. `states` by cell name; `trained` counts the cells that this run finished.

    `blocked_at_plan` names, by reason, the cells that could not even start; `cancelled` those that people
    cancelled, and what waits for them.
    """

    states: Mapping[str, str]
    trained: int
    failures: tuple[CellFailure, ...]
    blocked_at_plan: Mapping[str, tuple[str, ...]]
    interrupted: bool
    cancelled: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every cell of the study is done."""
        return all(state == "done" for state in self.states.values())


def submit(
    study: Study,
    options: Options,
    show: ShowProgress,
    announce: Announce,
    phase: Announce | None = None,
) -> Outcome:
    """Run what is missing of `study` on one storage, beside other drivers: one of them trains each cell.

    Ctrl-C, SIGTERM and SIGHUP stop the cells well; before they run, they raise KeyboardInterrupt. `phase` is
    told what begins (default: `announce` is).

    Raises:
        DatasetError: A dataset cannot be built as declared.
        MachineTooSmallError: No cell of the study fits this machine, and no cluster was named.
        NotifyError: A channel of `notify` leads nowhere.
        SinkError: A sink cannot be used.
        ClusterError: The cluster cannot do it, such as machines that do not share the storage.
        RaySessionError: Ray does not start or cannot be reached.
        LeaseError: The storage cannot be shared by several drivers.
    """
    storage, writer, begin = options.storage, writer_name(), phase or announce
    layout = storage.layout
    storage.require_usable()
    require_addresses(study.notify)
    require_sinks(study.sinks)
    chosen_packing(storage.root, options.packing)
    begin("checking the storage" if options.address is None else "checking the cluster and the storage")
    check_cluster(options.address, storage, layout.log(f"{writer}-check"))
    for leftover in leftovers(storage):
        if leftover.warning:
            announce(leftover.warning)
        remove_leftover(leftover)
    with (
        StopSignals() as signals,
        exit_despite_outage(signals.asked, announce),
        open_journal(storage, writer) as journal,
        Catalog.open(storage.root) as catalog,
        shared_cells(storage, writer, study.name, study.priority, catalog) as (shared, presence),
        ray_files(options.address, storage) as files,
    ):
        submission = Submission(study, options, journal, catalog, shared, files)
        if not all(manifest_path(study, name, layout).is_file() for name in study.axes.dataset):
            _require_room(expand(study), options)
        plan = submission.prepare(show, announce, begin)
        _require_room([one.cell for one in plan.cells if one.state is State.TO_RUN], options)
        notifier = start_notifier(study.notify, submission.alert_subject, announce)
        sinks = start_sinks(study.sinks, storage.root, submission.planned_events, announce)
        observers = [one.see for one in (notifier, sinks) if one is not None]
        driver = submission.driver(signals.asked, observers)
        if driver.cells:
            log = layout.log(submission.writer)
            announce(f"{len(driver.cells)} of {len(plan.cells)} cells to run; Ray's own output: {log}")
            catalog.refresh()
            for line in earlier_lines(catalog, study.name, command_on(storage.root, "results", "--all")):
                announce(line)
            seed = _seed(plan, catalog, options)
            begin("starting Ray, then training")
            _run(submission, driver, options, signals, presence, seed)
        outcome = _outcome(submission, driver, interrupted=not driver.is_finished)
        if sinks:
            sinks.end()
        if notifier:
            notifier.end(None if outcome.interrupted or not driver.cells else outcome.states)
        catalog.refresh()
        for warning in overshoots(catalog, finished_seconds(driver.cells)):
            announce(f"warning: {warning}")
        leave_snapshot(catalog, announce)
    return outcome


def _require_room(cells: Sequence[Cell], options: Options) -> None:
    """Refuse what a local Ray could run nothing of; of a cluster only Ray can say what it has."""
    if options.address is None:
        asked = [cell.resources for cell in cells]
        require_room(asked, this_machine(asked, options.cpus, options.gpus))


def _seed(plan: Plan, catalog: Catalog, options: Options) -> Seed:
    """The plan's own rates, and what a local Ray has; of a cluster it is seen what cells hold."""
    rates = choose_rates(measured_rates(catalog), on_gpus=on_gpus(plan))
    if options.address is not None:
        return Seed(rates)
    there = this_machine([one.cell.resources for one in plan.cells], options.cpus, options.gpus)
    return Seed(rates, Free(cpus=there.cpus, gpus=there.gpus))


def _run(
    submission: Submission,
    driver: Driver,
    options: Options,
    signals: StopSignals,
    presence: Presence,
    seed: Seed,
) -> None:
    """Run the driver's cells with a live view until they are done or the driver is to stop."""
    from orchestrator.ray_runtime.train_run import run_cell
    from orchestrator.terminal.live_view import LiveView

    with redirect_output(options.storage.layout.log(submission.writer)) as terminal:
        console = Console(file=terminal)

        def say(line: str) -> None:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        driver.outage.tell(say)
        words = ("actiongrid", "resume", submission.plan.study, "--storage", options.storage.location)
        viewer = GridViewer(submission.plan, driver, submission.report, seed, shlex.join(words))
        dispatch(
            driver,
            Grid(submission.writer, submission.ray_files / "tune", run_cell),
            RayPlace(options.address, options.cpus, options.gpus),
            presence,
            signals,
            Terminal(lambda: LiveView(console, viewer.view), say, terminal.fileno()),
        )


def _outcome(submission: Submission, driver: Driver, *, interrupted: bool) -> Outcome:
    blocked: dict[str, tuple[str, ...]] = {}
    for planned in submission.plan.cells:
        if planned.state is State.BLOCKED:
            blocked[planned.reason] = (*blocked.get(planned.reason, ()), planned.cell.name)
    states = shown_states(submission.plan, driver.cells)
    return Outcome(
        states=states,
        trained=len(finished_seconds(driver.cells)),
        failures=driver.failures,
        blocked_at_plan=blocked,
        interrupted=interrupted,
        cancelled=tuple(name for name, state in states.items() if state == "cancelled"),
    )
