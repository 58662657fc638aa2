"""`actiongrid evaluate`, `predict` and `export`: what is done with finished cells."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from catalog.storage.errors import WORK_FAILED
from orchestrator.commands.common import (
    JsonOption,
    StorageOption,
    existing_storage,
    measured_row,
    show_measured,
)
from orchestrator.terminal.text import Phases

if TYPE_CHECKING:
    from orchestrator.evaluation.load_cell import LoadedCell
    from trainables.inference.classifier import Device, UnusableVideo, VideoPrediction
    from trainables.recipe.cell_spec import Which

Positive = typer.Option(min=1)
_CHECK_VIDEOS = 2  # an export is compared on, beside random clips
CellArgument = Annotated[
    str,
    typer.Argument(help="A finished cell's name, without dataset or seed where that is clear, or its key."),
]
StudyOption = Annotated[str | None, typer.Option(help="Only cells of this study.")]
SamplingOption = Annotated[
    Literal["uniform", "dense"] | None,
    typer.Option(help="How a clip's frames are chosen. Default, as for all of these: the cell's own."),
]
ClipsOption = Annotated[int | None, typer.Option(min=1, help="Clips of each video.")]
CropsOption = Annotated[int | None, typer.Option(help="Crops of each clip: 1, 3, 5 or 10.")]
AverageOption = Annotated[
    Literal["logits", "softmax"], typer.Option(help="What is averaged over a video's views.")
]
CheckpointOption = Annotated[
    Literal["best", "last"] | None,
    typer.Option(help="Whose weights; default: the checkpoint that the study reports."),
]


def evaluate(
    cell: Annotated[
        str, typer.Argument(help="A finished cell's name, the beginning of its key, or a pattern with *.")
    ],
    study: StudyOption = None,
    sampling: SamplingOption = None,
    sampling_rate: Annotated[int | None, Positive] = None,
    clips: ClipsOption = None,
    crops: CropsOption = None,
    crop_size: Annotated[int | None, Positive] = None,
    short_side: Annotated[int | None, Positive] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Views at once; changes no result.")] = None,
    average: AverageOption = "logits",
    checkpoint: Annotated[
        Literal["best", "last", "both"] | None,
        typer.Option(help="Whose weights; default: the checkpoint that the study reports, as figures do."),
    ] = None,
    split: Annotated[Literal["val", "train"], typer.Option(help="Which videos.")] = "val",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Workers of each cell; changes no result.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure even what was measured before.")] = False,
    address: Annotated[
        str | None,
        typer.Option(envvar="RAY_ADDRESS", help="A Ray cluster's address, or `auto`; default: a local Ray."),
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="CPUs of the local Ray; default: all.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs of the local Ray; default: all.")] = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure finished cells with another protocol. Trains nothing, and measures nothing twice."""

    def announce(line: str) -> None:
        typer.echo(line, err=True)

    chosen = existing_storage(storage)
    phases = Phases(announce)
    phases("reading what is asked for")
    from catalog import Catalog
    from orchestrator.evaluation.evaluation import Place, evaluate_cells
    from orchestrator.evaluation.jobs import Wanted

    fields = {
        "sampling": sampling,
        "sampling_rate": sampling_rate,
        "clips": clips,
        "crops": crops,
        "crop_size": crop_size,
        "short_side": short_side,
        "batch_size": batch_size,
    }
    wanted = Wanted(
        protocol={name: value for name, value in fields.items() if value is not None},
        average=average,
        checkpoint=checkpoint,
        split=split,
        workers=workers,
        again=again,
    )
    place = Place(chosen, address, cpus, gpus, said_on=2)
    outcomes = evaluate_cells(cell, study, wanted, place, announce, phases)
    with Catalog.open(place.storage.root) as catalog:
        rows = [measured_row(catalog, asdict(outcome)) for outcome in outcomes]
    show_measured(rows, as_json=as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(WORK_FAILED)


def predict(
    cell: CellArgument,
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Files in any form of video.")],
    study: StudyOption = None,
    sampling: SamplingOption = None,
    sampling_rate: Annotated[int | None, Positive] = None,
    clips: ClipsOption = None,
    crops: CropsOption = None,
    crop_size: Annotated[int | None, Positive] = None,
    short_side: Annotated[int | None, Positive] = None,
    average: AverageOption = "logits",
    top: Annotated[int, typer.Option(min=1, help="How many classes of each video.")] = 5,
    checkpoint: CheckpointOption = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores of the network; default: all.")] = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which classes a finished cell sees in videos: the first five with their probabilities.

    A video that cannot be used is named with its damage and the others are answered; the exit code is 1 then.
    """
    fields = {
        "sampling": sampling,
        "sampling_rate": sampling_rate,
        "clips": clips,
        "crops": crops,
        "crop_size": crop_size,
        "short_side": short_side,
    }
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    loaded = _loaded(cell, storage, study, checkpoint)
    if cpus is not None:
        import torch

        torch.set_num_threads(cpus)
    rows = []
    for found in loaded.predict_all(videos, average=average, **given):
        rows.append(_prediction_row(found, top))
        if not as_json:
            _show_prediction(rows[-1])
    if as_json:
        protocol = loaded.protocol.model_dump(mode="json") | given | {"average": average}
        typer.echo(json.dumps(_head(loaded) | {"protocol": protocol, "videos": rows}))
    if any("error" in row for row in rows):
        raise typer.Exit(WORK_FAILED)


def export(
    cell: CellArgument,
    to: Annotated[
        Literal["state-dict", "torchscript", "onnx", "huggingface"],
        typer.Option(help="The form: a file of weights, a network as a file, or a folder (huggingface)."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, or the folder, to write.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a plain file, or a folder that an export made.")
    ] = False,
    study: StudyOption = None,
    checkpoint: CheckpointOption = None,
    storage: StorageOption = None,
) -> None:
    """Write a finished cell's network as files that others can use, with a model card.

    What was written is run and compared with the cell; only what gives the same logits stays.
    """
    from orchestrator.evaluation.model_card import model_card
    from trainables.inference.export import check_target, export_network, require_packages

    require_packages(to)
    check_target(output, folder=to == "huggingface", force=force)
    loaded = _loaded(cell, storage, study, checkpoint, device="cpu")
    checked = export_network(
        loaded,
        to,
        output,
        lambda found: model_card(loaded, to, output.name, found),
        loaded.validation_videos(_CHECK_VIDEOS),
        force=force,
    )
    batch = "" if checked.any_batch else "; it takes one clip at a time"
    typer.echo(
        f"{output}: {to} of {loaded.name}; on {checked.clips} clips its logits differ from the cell's by "
        f"{checked.difference:.1e} at most{batch}"
    )


def _loaded(
    cell: str, storage: str | None, study: str | None, which: Which | None, device: Device = "auto"
) -> LoadedCell:
    """The cell that is meant; which one that is, and what it is not, is said on standard error."""
    from orchestrator.evaluation.load_cell import load_cell

    loaded = load_cell(cell, existing_storage(storage), study=study, checkpoint=which, device=device)
    typer.echo(f"{loaded!r}", err=True)
    others = loaded.origin.others if loaded.origin else ()
    if others:
        typer.echo(f"not meant: {', '.join(others)}", err=True)
    return loaded


def _head(loaded: LoadedCell) -> dict[str, Any]:
    origin = loaded.origin
    which = (
        {} if origin is None else {"study": origin.study, "checkpoint": origin.which, "epoch": origin.epoch}
    )
    return {"cell": loaded.name, "key": loaded.key} | which


def _prediction_row(found: VideoPrediction | UnusableVideo, top: int) -> dict[str, Any]:
    from trainables.inference.classifier import UnusableVideo

    if isinstance(found, UnusableVideo):
        return {"video": found.path, "error": found.reason}
    classes = [{"class": name, "probability": probability} for name, probability in found.top(top)]
    return {"video": found.path, "frames": found.frames, "views": found.views, "top": classes}


def _show_prediction(row: dict[str, Any]) -> None:
    if "error" in row:
        typer.echo(f"error: {row['error']}; {row['video']}; give another file", err=True)
        return
    typer.echo(row["video"])
    for one in row["top"]:
        typer.echo(f"  {100 * one['probability']:5.1f} %  {one['class']}")
