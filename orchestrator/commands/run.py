"""`actiongrid run` and `smoke`: run what is missing of a study, or its smoke form."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.names import count_text
from catalog.storage.errors import INTERRUPTED, WORK_FAILED
from orchestrator.commands.common import (
    PackingOption,
    StorageOption,
    StudyArgument,
    WeightsOption,
    checked_study,
    chosen_storage,
    command_line,
    existing,
    measured_row,
    show_measured,
)
from orchestrator.terminal.text import Phases

if TYPE_CHECKING:
    from catalog.storage.storage import Storage
    from orchestrator.run import Outcome
    from orchestrator.running.submission import Options
    from orchestrator.study.model import Study


def run(
    study: StudyArgument,
    storage: StorageOption = None,
    address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster's address, or `auto`; default: a local Ray."),
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of the local Ray; default: all.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs of the local Ray; default: all.")] = None,
    weights_dir: WeightsOption = None,
    packing: PackingOption = None,
    check_checkpoints: Annotated[
        bool,
        typer.Option(
            "--check-checkpoints",
            help="Read the kept checkpoints of all finished cells; where one is gone or damaged, the cell is "
            "trained again.",
        ),
    ] = False,
) -> None:
    """Run what is missing of a study: build its datasets, train its cells. Safe to kill and run again."""
    phases = Phases(typer.echo)
    phases("reading the study")
    from orchestrator.run import submit
    from orchestrator.running.submission import Options
    from orchestrator.terminal.text import BuildView

    options = Options(
        storage=chosen_storage(storage),
        study_file=_as_named_anywhere(study),
        address=address,
        cpus=cpus,
        gpus=gpus,
        weights_dir=weights_dir,
        packing=packing,
        check_checkpoints=check_checkpoints,
    )
    checked = checked_study(study)
    if not checked.trains:
        _evaluate(checked, options, phases)
        typer.echo(next_line(storage))
        return
    outcome = submit(checked, options, BuildView(sys.stderr), typer.echo, phases)
    again = command_line(
        "run",
        study,
        storage=storage,
        address=address,
        cpus=cpus,
        gpus=gpus,
        weights_dir=weights_dir,
        packing=packing,
    )
    for line in outcome_lines(outcome, again):
        typer.echo(line, err=not outcome.complete)
    for line in claim_lines(checked, options.storage):
        typer.echo(line)
    if outcome.interrupted or (outcome.cancelled and not outcome.failures):
        raise typer.Exit(INTERRUPTED)
    if not outcome.complete:
        raise typer.Exit(WORK_FAILED)
    if checked.evaluates:
        _evaluate(checked, options, phases)
    typer.echo(next_line(storage))


def next_line(storage: str | None) -> str:
    """What to do with results that are there: the commands that show them."""
    shown = command_line("results", storage=storage)
    return f"next: {shown}; likewise status, dashboard and report"


def _evaluate(study: Study, options: Options, phases: Phases) -> None:
    """Measure the finished cells that the study evaluates; exits with 1 where some fail or are unfinished."""
    from catalog import Catalog
    from orchestrator.evaluation.evaluation import Place, evaluate_each
    from orchestrator.evaluation.of_study import cells_of_study, evaluated_lines, require_cells

    place = Place(options.storage, options.address, options.cpus, options.gpus)
    phases("evaluating finished cells; nothing is trained")
    with Catalog.open(existing(options.storage).root, options.storage.fetch_missing) as catalog:
        found = cells_of_study(study, catalog)
        require_cells(found, catalog)
        for line in evaluated_lines(found, catalog.storage):
            typer.echo(line)
        asked = [pair for one in found for pair in one.asked()]
        outcomes = evaluate_each(asked, catalog, place, typer.echo, phases) if asked else ()
        catalog.refresh()
        show_measured([measured_row(catalog, asdict(outcome)) for outcome in outcomes])
    if any(outcome.error for outcome in outcomes) or any(one.unfinished for one in found):
        raise typer.Exit(WORK_FAILED)


def smoke(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY...]", help="Default: all studies of the paper.")
    ] = None,
    storage: StorageOption = None,
    output: Annotated[Path, typer.Option("--output", help="Folder for the study files that are run.")] = Path(
        "smoke-studies"
    ),
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of the local Ray; default: all.")] = None,
    only_write: Annotated[bool, typer.Option("--only-write", help="Write the files, run nothing.")] = False,
) -> None:
    """Run studies at toy size: every module with its tiny network, on generated videos, for two epochs."""
    from orchestrator.study.smoke import written_forms

    failed = []
    for path in written_forms(studies, output):
        typer.echo(f"smoke form: {path}")
        if only_write:
            continue
        try:
            run(str(path), storage, address=None, cpus=cpus, gpus=0, weights_dir=None)
        except typer.Exit as ended:
            if ended.exit_code == INTERRUPTED:
                raise
            if ended.exit_code:
                failed.append(path.stem)
    if failed:
        typer.echo(f"failed: {', '.join(failed)}", err=True)
        raise typer.Exit(WORK_FAILED)


def claim_lines(study: Study, storage: Storage) -> list[str]:
    """What the results that are there say about the study's own claims, a line each."""
    if not study.claims:
        return []
    from catalog import Catalog
    from catalog.queries.filters import Filters
    from dashboards.claims.sets import judgements
    from dashboards.claims.words import says

    with Catalog.open(storage.root, storage.fetch_missing) as catalog:
        judged = judgements(catalog, (), Filters(study=(study.name,)), "own")
    return [f"claim {one.claim.name}: {one.verdict}: {says(one)}" for one in judged]


def _as_named_anywhere(study: str) -> str:
    """The study's file as it can be named from any folder; a shipped study keeps its name."""
    return str(Path(study).resolve()) if Path(study).is_file() else study


def outcome_lines(outcome: Outcome, again: str) -> list[str]:
    """What was trained, what failed and why, what is blocked, and `again`, the command that goes on."""
    total = len(outcome.states)
    done = sum(1 for state in outcome.states.values() if state == "done")
    lines = [f"{done} of {total} cells done, {outcome.trained} of them trained by this run"]
    for failure in outcome.failures:
        lines.append(f"failed: {failure.name}: {failure.error}; log: {failure.log or 'none'}")
        if failure.blocked:
            lines.append(f"  blocks {', '.join(failure.blocked)}")
    for reason, cells in outcome.blocked_at_plan.items():
        first = f"{cells[0]}{', …' if len(cells) > 1 else ''}"
        lines.append(f"blocked: {count_text(len(cells), 'cell')} ({first}): {reason}")
    if outcome.cancelled:
        first, more = outcome.cancelled[0], ", …" if len(outcome.cancelled) > 1 else ""
        cancelled = count_text(len(outcome.cancelled), "cell")
        lines.append(f"cancelled by `actiongrid cancel`: {cancelled} ({first}{more})")
    if outcome.cancelled and not outcome.failures and not outcome.interrupted:
        lines.append(f"a new run takes them up again: {again}")
    elif outcome.interrupted:
        lines.append(f"interrupted; go on with: {again}")
    elif not outcome.complete:
        lines.append(f"mend the cause, then: {again}")
    return lines
