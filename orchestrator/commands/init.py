"""`actiongrid init`: a commented study for a folder of one's own videos, after a look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.commands.common import command_line


class FileThereError(ActionGridError):
    """A file that would be written is there already."""

    exit_code = BAD_INPUT


def init(
    folder: Annotated[
        Path, typer.Argument(help="A folder with one folder of videos a class, or a CSV file.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write (default: NAME.yaml); never overwritten."),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option("--splits", help="TRAIN,VAL: the folders of the splits; none: each folder is a class."),
    ] = None,
) -> None:
    """Write a small commented study for a folder of videos, after looking at it; decodes and runs nothing."""
    from orchestrator.datasets import first_study
    from orchestrator.planning.machine import gpus_here
    from orchestrator.study.load import parse_study

    name = first_study.study_name(folder)
    file = output or Path(f"{name}.yaml")
    _refuse_existing(file)
    found = first_study.look_at(folder, first_study.told_splits(splits))
    chosen = first_study.choose(found, gpu=gpus_here() > 0)
    text = first_study.study_text(name, first_study.path_beside(folder, file), found, chosen)
    parse_study(text, str(file))
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        _refuse_existing(file)
    for line in first_study.facts_lines(found):
        typer.echo(line)
    typer.echo(f"study: {file}; next: {command_line('plan', str(file))}")


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise FileThereError("there is a file of this name", file, "give another with -o, or remove it")
