"""`actiongrid submit` and `actiongrid jobs`: studies on a cluster, from outside."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.storage.errors import INTERRUPTED, WORK_FAILED
from orchestrator.commands.common import JsonOption, StudyArgument, wide_console

if TYPE_CHECKING:
    from orchestrator.clusters.jobs import Job, JobServer

ClusterOption = Annotated[
    Path | None, typer.Option("--cluster", help="The file that `ray up` was given; reached over SSH.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="The job server, http://HEAD:8265; default: the Ray on this machine."),
]
JobArgument = Annotated[
    str | None, typer.Argument(help="A job's name, or how it begins; default: the newest.")
]

_LINES_BEFORE = 20

jobs = typer.Typer(help="Studies submitted to a cluster.", no_args_is_help=True)


def submit(
    study: StudyArgument,
    cluster: ClusterOption = None,
    address: AddressOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Directory that all machines there share, or s3://…; default: its ACTIONGRID_STORAGE."
        ),
    ] = None,
    weights_dir: Annotated[
        str | None, typer.Option(help="Folder there with torchvision's ImageNet weight files.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Print the job's log; Ctrl-C detaches.")] = True,
) -> None:
    """Run a study on a cluster: send the code and the study there, start a job, follow it."""
    from orchestrator.clusters.job_folder import job_folder, run_command

    with job_folder(study) as packed:
        command = run_command(packed.study_file, storage, weights_dir)
        with _server(cluster, address) as server:
            name = server.submit(packed.study, command, packed.folder)
            typer.echo(f"submitted: {name}")
            if follow:
                _follow(server, name, 0, _where(cluster, address))
    typer.echo(f"follow it with: actiongrid jobs attach {name}{_where(cluster, address)}")


@jobs.command("list")
def list_jobs(
    cluster: ClusterOption = None, address: AddressOption = None, as_json: JsonOption = False
) -> None:
    """List the studies that were submitted to a cluster, the newest first."""
    with _server(cluster, address) as server:
        found = server.jobs()
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in found]))
        return
    if not found:
        typer.echo(f"no jobs there; start one with: actiongrid submit demo{_where(cluster, address)}")
        return
    _show(found)


@jobs.command()
def attach(job: JobArgument = None, cluster: ClusterOption = None, address: AddressOption = None) -> None:
    """Follow a job again: its last lines, then what it prints. Ctrl-C detaches, and the job goes on."""
    with _server(cluster, address) as server:
        name = server.job(job).name
        log = server.log(name)
        last = "".join(log.splitlines(keepends=True)[-_LINES_BEFORE:])
        _follow(server, name, len(log) - len(last), _where(cluster, address))


@jobs.command()
def logs(
    job: JobArgument = None,
    cluster: ClusterOption = None,
    address: AddressOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
) -> None:
    """Print all that a job has printed."""
    with _server(cluster, address) as server:
        name = server.job(job).name
        if follow:
            _follow(server, name, 0, _where(cluster, address))
        else:
            typer.echo(server.log(name), nl=False)


@jobs.command()
def stop(
    job: Annotated[str, typer.Argument(help="The job's name, or how it begins.")],
    cluster: ClusterOption = None,
    address: AddressOption = None,
) -> None:
    """Stop a job: its driver is told to checkpoint and end. Submitting the study again goes on from there."""
    with _server(cluster, address) as server:
        ended = server.stop(server.job(job).name)
    if not ended.has_ended:
        typer.echo(f"error: {ended.name} does not end; {_where(cluster, address)}; try again", err=True)
        raise typer.Exit(WORK_FAILED)
    typer.echo(f"{ended.name}: {ended.state.lower()}; submit the study again to go on")


@contextmanager
def _server(cluster: Path | None, address: str | None) -> Iterator[JobServer]:
    from orchestrator.clusters.jobs import JobServer, tunnel

    if cluster is not None and address is not None:
        raise typer.BadParameter("--cluster and --address are two ways to one server; give one of them")
    if cluster is None:
        yield JobServer(address)
        return
    with tunnel(cluster, lambda line: typer.echo(line, err=True)) as url:
        yield JobServer(url)


def _follow(server: JobServer, name: str, skip: int, where: str) -> None:
    """Print the job's log to its end and leave with the driver's own exit code."""
    try:
        for text in server.follow(name, skip):
            sys.stdout.write(text)
            sys.stdout.flush()
        ended = server.job(name)
    except KeyboardInterrupt:
        typer.echo(f"\ndetached, the job goes on; come back with: actiongrid jobs attach {name}{where}")
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{name}: {ended.state.lower()}")
    raise typer.Exit(exit_code(ended))


def exit_code(job: Job) -> int:
    """The exit code of an ended job: its driver's, where that ended by itself."""
    if job.state == "SUCCEEDED":
        return 0
    return INTERRUPTED if job.state == "STOPPED" else job.exit_code or WORK_FAILED


def _where(cluster: Path | None, address: str | None) -> str:
    if cluster is not None:
        return f" --cluster {shlex.quote(str(cluster))}"
    return f" --address {shlex.quote(address)}" if address is not None else ""


def _show(found: tuple[Job, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("job", "study", "state", "started", "exit code"):
        table.add_column(column)
    for job in found:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started)) if job.started else ""
        code = "" if job.exit_code is None else str(job.exit_code)
        table.add_row(job.name, job.study, job.state.lower(), started, code)
    wide_console().print(table)
