"""`actiongrid smoke`: the paper's studies at toy size, on a CPU in minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.storage.errors import INTERRUPTED, WORK_FAILED
from orchestrator.commands.common import StorageOption
from orchestrator.commands.run import run

if TYPE_CHECKING:
    from orchestrator.study.model import Study

NOT_OF_THE_PAPER = ("demo",)


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


def written_forms(names: list[str] | None, folder: Path) -> list[Path]:
    """Write the smoke forms of studies; their files, each behind those whose cells it needs.

    Raises:
        StudyError: A study cannot be read.
    """
    import yaml

    from orchestrator.study.load import load_study, shipped_studies
    from orchestrator.study.smoke import in_order, smoke_form, smoke_name

    wanted = names or [name for name in shipped_studies() if name not in NOT_OF_THE_PAPER]
    studies: list[Study] = in_order([load_study(name) for name in wanted])
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for study in studies:
        path = folder / f"{smoke_name(study.name)}.yaml"
        text = yaml.safe_dump(smoke_form(study), sort_keys=False, width=110, allow_unicode=True)
        path.write_text(
            f"# Made by `actiongrid smoke` from the study {study.name}.\n{text}", encoding="utf-8"
        )
        paths.append(path)
    return paths
