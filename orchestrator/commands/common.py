"""What the commands share: the storage option, errors and their exit codes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from catalog.storage.atomic import MissingStorageError
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.storage import Storage, default_storage, open_storage
from trainables.recipe.plug_ins import named_packages

if TYPE_CHECKING:
    from catalog import Catalog
    from orchestrator.study.model import Study

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="Directory, s3://… or gs://… (default: $ACTIONGRID_STORAGE or ./actiongrid-storage).",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights-dir", help="Folder with torchvision's ImageNet weight files."),
]
PackingOption = Annotated[
    Path | None,
    typer.Option(
        "--packing",
        help="Share GPUs as measured: JSON of benchmarks/packing.py; default: the storage's packing.json.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _studies(begun: str) -> list[str]:
    """What a shell offers for a study: files of this folder, and the shipped studies."""
    from orchestrator.study.load import shipped_studies

    files = sorted(str(path) for end in ("yaml", "yml") for path in Path().glob(f"{begun}*.{end}"))
    return [*files, *(name for name in shipped_studies() if name.startswith(begun))]


StudyArgument = Annotated[
    str,
    typer.Argument(help="A study file, or a shipped study, such as demo.", autocompletion=_studies),
]


class NotFoundError(ActionGridError):
    """Something that was named on the command line does not exist."""

    exit_code = BAD_INPUT


class FormatError(ActionGridError):
    """A file's name asks for a format that there is not, or for another than the one that was given."""

    exit_code = BAD_INPUT


_Format = TypeVar("_Format")


def format_of_file(
    given: _Format | None, output: Path | None, by_suffix: Mapping[str, _Format], default: _Format
) -> _Format:
    """The format that `--format` names, else the one that the file's name means.

    `by_suffix` has the suffixes that mean one, without dots. Devices and names without a suffix mean none.

    Raises:
        FormatError: the name means another format than was given, or none that there is.
    """
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    meant = by_suffix.get(suffix)
    if given is not None:
        if meant not in (None, given):
            raise FormatError(
                f"--format {given} and the file's name disagree", output, "leave one of them out"
            )
        return given
    if meant is None and suffix:
        known = ", ".join(f".{one}" for one in by_suffix)
        raise FormatError(f"no format .{suffix}", output, f"use one of {known}")
    return default if meant is None else meant


def chosen_storage(option: str | None) -> Storage:
    """The storage that the user means, with journals and manifests up to date on this machine.

    Raises:
        StorageError: No directory, or a bucket that is not there or does not answer.
    """
    from trainables.data.frames.transfer import fetch_manifests

    storage = open_storage(option or default_storage())
    storage.connect()
    fetch_manifests(storage)
    return storage


def command_line(*words: str, **options: object) -> str:
    """A command that can be pasted: its words, then the options that are not None (`weights_dir=…`).

    The packages of plug-ins that this process was told to import are named, too.
    """
    given = [
        (f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None
    ]
    imports = [("--import", package) for package in named_packages()]
    return shlex.join(("actiongrid", *chain.from_iterable(imports), *words, *chain.from_iterable(given)))


def run_again(catalog: Catalog, study: str, storage: str | None) -> str:
    """The command that runs a study again, with the file that it was submitted from last."""
    from catalog.queries.cells import latest_study_file

    (file,) = latest_study_file(catalog, [study]).column("file").to_pylist()
    return command_line("run", file or study, storage=storage)


def all_results(storage: str | None) -> str:
    """The command that shows results of studies as they were before, too."""
    return command_line("results", "--all", storage=storage)


@contextmanager
def without_collection() -> Iterator[None]:
    """Leave out Python's search for cycles: what a command makes of a large grid lives to the command's end.

    Looking through it again and again took an eighth of `plan` of 50,000 cells.
    """
    from catalog.journal import without_garbage_collection

    with without_garbage_collection():
        yield


@contextmanager
def without_pandas() -> Iterator[None]:
    """Run a command that makes tables for people without pandas, which takes half a second to import.

    pyarrow looks for pandas when it makes its first array, and once only.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
    yield


class _NoPandas:
    """A finder of modules to which pandas is not there; of others it says nothing."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def checked_study(source: str) -> Study:
    """The study of a file or of a shipped name; what of it has no effect is said on standard error.

    Raises:
        StudyError: As `load_study`.
    """
    from orchestrator.study.checks import without_effect
    from orchestrator.study.load import load_study

    study = load_study(source)
    for problem in without_effect(study):
        typer.echo(f"note: {problem.text(source)}", err=True)
    return study


def existing_storage(option: str | None) -> Storage:
    """The storage that the user means, for a command that only reads: it has to be there, and is not made.

    Raises:
        MissingStorageError: Nothing was ever stored there.
        StorageError: No directory, or a bucket that is not there or does not answer.
    """
    return existing(chosen_storage(option))


def existing(storage: Storage) -> Storage:
    """The storage itself.

    Raises:
        MissingStorageError: Nothing was ever stored there.
    """
    if not storage.exists():
        raise MissingStorageError.of(storage.location)
    return storage


def wide_console() -> Console:
    """A console on standard output that cuts nothing off where that is a pipe or a file."""
    return Console(width=None if sys.stdout.isatty() else 200)


def cell_state(row: Mapping[str, Any]) -> str:
    """A cell's state in words; one that has begun and that nobody holds is interrupted.

    `row` has `state`, `epoch` (so far), `held_by` (None: no driver) and, where one holds, the `command`.
    """
    if row["state"] == "running":
        return "running" if row["held_by"] else "interrupted"
    begun = row["state"] == "planned" and row["epoch"] and not row["held_by"]
    return str(row.get("command") or ("interrupted" if begun else row["state"]))


def evaluation_text(row: Mapping[str, Any]) -> str:
    """A row of the view `evaluations`, with the cell's `num_classes`, in words."""
    from dashboards.render.uncertainty import top5_tells
    from orchestrator.terminal.text import accuracy_text

    rate = f" rate {row['sampling_rate']}" if row["sampling_rate"] else ""
    views = f"{row['clips']} x {row['crops']} views of {row['crop_size']}/{row['short_side']} px"
    how = f"{row['sampling']}{rate}, {views}, {row['average']}, {row['checkpoint']} epoch {row['epoch']}"
    validation = row["split"] == "val"
    loss = "validation loss" if validation else "loss on the training videos"
    where = "validation" if validation else "training"
    top5 = f", top-5 {accuracy_text(row['top5'], row['videos'])}" if top5_tells(row["num_classes"]) else ""
    return (
        f"top-1 {accuracy_text(row['top1'], row['videos'])}{top5}, {loss} {row['loss']:.4f}, "
        f"{row['videos']} {where} videos; {how}"
    )


def measured_row(catalog: Catalog, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, with the training's own measure of the same checkpoint beside it.

    `outcome` has the fields of `orchestrator.evaluation.evaluation.Evaluated`.
    """
    head = {name: outcome[name] for name in ("cell", "key", "computed", "error")}
    if outcome["error"]:
        return head
    from catalog.queries.cells import evaluations_of_cell

    rows: list[dict[str, Any]] = evaluations_of_cell(catalog, outcome["key"]).to_pylist()
    row = next(row for row in rows if row["evaluation"] == outcome["identity"])
    own = f"training:{row['checkpoint']}"
    return head | row | {"training": next((one for one in rows if one["evaluation"] == own), None)}


def show_measured(rows: Sequence[Mapping[str, Any]], *, as_json: bool = False) -> None:
    """Print what was measured, a line each, with the training's own measure below."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        if row["error"]:
            typer.echo(f"error: {row['cell']}: {row['error']}", err=True)
            continue
        stood = "" if row["computed"] else " (measured before)"
        typer.echo(f"{row['cell']}: {evaluation_text(row)}{stood}")
        if row["training"]:
            typer.echo(f"  in training: {evaluation_text(row['training'])}")
