"""`actiongrid data`: build datasets with their frame stores, check them, and list what is there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.storage.errors import INTERRUPTED, WORK_FAILED
from catalog.storage.layout import command_on
from orchestrator.commands.common import JsonOption, StorageOption, chosen_storage, existing_storage

if TYPE_CHECKING:
    from catalog.storage.layout import Layout
    from catalog.storage.storage import Storage
    from orchestrator.datasets.build import Builder, Request

app = typer.Typer(help="Datasets: their videos, judged once, and their frame stores.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(help="A study (file or shipped), an official dataset, or a name of your own.")
]
OneName = Annotated[str | None, typer.Argument(help="A dataset's name; default: all of the storage.")]


def _fraction(text: str) -> float:
    """`5%` or `0.05`."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{text!r} is no share; give one such as 5% or 0.05")
    return value


def _side(text: str) -> int | None:
    """A number of pixels, or `none`."""
    if text.lower() == "none":
        return None
    if not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is no number of pixels; give one such as 256, or none")
    return int(text)


@app.command()
def build(
    name: NameArgument,
    videos: Annotated[Path | None, typer.Option(help="The folder of videos.")] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="The publisher's annotation files, or your CSV: path,label,split.")
    ] = None,
    short_side: Annotated[
        str | None, typer.Option(help="Reduce frames to this shorter side; none: keep their size.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help="JPEG quality, 1 to 100.")] = None,
    shard_mb: Annotated[int | None, typer.Option(help="The largest file of the store in MiB.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Keep no frames; decode at each access.")] = False,
    min_frames: Annotated[int | None, typer.Option(min=1, help="Leave out shorter videos.")] = None,
    allow_missing: Annotated[
        str | None, typer.Option(help="Share of listed videos that may be missing or unusable, e.g. 5%.")
    ] = None,
    split: Annotated[int | None, typer.Option(help="The publisher's split (UCF101, HMDB51).")] = None,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster's address, or `auto`; default: this machine.")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of this machine to read videos with; default: all.")
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Build a dataset, or the missing ones of a study: judge every video, store its frames.

    Safe to kill and give again: what is built is not built again. Given again for a dataset of this storage,
    the name alone is enough.
    """
    from orchestrator.coordination.drivers import writer_name
    from orchestrator.datasets.build import Builder, Request, is_study
    from orchestrator.datasets.ingest_tasks import VideoReaders
    from orchestrator.terminal.text import BuildView

    chosen: dict[str, Any] = {"quality": quality, "shard_mb": shard_mb, "mode": "direct" if direct else None}
    chosen = {field: value for field, value in chosen.items() if value is not None}
    if short_side is not None:
        chosen["short_side"] = _side(short_side)
    missing = None if allow_missing is None else _fraction(allow_missing)
    request = Request(name, videos, annotations, chosen, split, min_frames, missing)
    chosen_one = chosen_storage(storage)
    log = chosen_one.layout.log(f"{writer_name()}-data")
    builder = Builder(BuildView(sys.stderr), typer.echo, VideoReaders(chosen_one, address, log, cpus))
    try:
        if is_study(request):
            _build_study(name, chosen_one, builder)
        else:
            _build_named(request, chosen_one, builder)
    except KeyboardInterrupt:
        typer.echo("interrupted; give the same command again to go on", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _build_study(name: str, storage: Storage, builder: Builder) -> None:
    from orchestrator.datasets.build import build_missing
    from orchestrator.datasets.built import dataset_states
    from orchestrator.study.load import load_study

    loaded = load_study(name)
    states = build_missing(loaded, dataset_states(loaded, storage.layout), storage, builder)
    for dataset, state in states.items():
        if not state.built:
            typer.echo(f"dataset {dataset} cannot be built here: {state.how}", err=True)
    if not all(state.built for state in states.values()):
        raise typer.Exit(WORK_FAILED)


def _build_named(request: Request, storage: Storage, builder: Builder) -> None:
    from orchestrator.datasets.build import build_declared, built_before, declared
    from orchestrator.study.load import load_study

    asked = declared(request)
    if asked is not None:
        build_declared(asked.config, asked.name, storage, builder, asked.sources, request.allow_missing)
        if asked.yaml:
            typer.echo(f"a study names it so:\n{asked.yaml}")
        return
    known = built_before(request.name, storage.layout)
    if not known:
        load_study(request.name)  # neither: its error says what studies there are
    for config in known:
        build_declared(config, request.name, storage, builder, None, request.allow_missing)


@app.command()
def verify(name: OneName = None, as_json: JsonOption = False, storage: StorageOption = None) -> None:
    """Read every file of the frame stores again and compare it with its checksum; exit code 1 if one differs.

    The next `data build` makes the damaged files again.
    """
    from orchestrator.datasets.built import fetch_frames, manifests, verification_lines, verify_dataset
    from orchestrator.terminal.text import BuildView

    chosen, show = existing_storage(storage), BuildView(sys.stderr)
    fetch_frames(chosen, name)
    rows = [verify_dataset(path, manifest, show) for path, manifest in manifests(chosen.layout, name)]
    _check_found(rows, name, chosen.layout)
    bad = [row for row in rows if row["problems"]]
    if as_json:
        typer.echo(json.dumps({"datasets": rows}))
    else:
        for row in rows:
            for line in verification_lines(row):
                typer.echo(line, err=bool(row["problems"]))
    if bad:
        raise typer.Exit(WORK_FAILED)


@app.command("list")
def list_datasets(
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Name every quarantined video with its reason.")
    ] = False,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """List the datasets of a storage: videos, frames, bytes, what is quarantined, which studies use them."""
    from catalog import Catalog
    from catalog.queries.training import last_builds
    from orchestrator.datasets.built import dataset_line, dataset_row, manifests, quarantined_lines

    chosen, rows = existing_storage(storage), []
    with Catalog.open(chosen.root, chosen.fetch_missing) as catalog:
        builds = last_builds(catalog)
    for path, manifest in manifests(chosen.layout):
        row = dataset_row(path, manifest, builds)
        if as_json:
            bad = [{"path": video.path, "reason": video.reason} for video in manifest.quarantined]
            rows.append(row | ({"quarantined_videos": bad} if quarantined else {}))
            continue
        for line in (dataset_line(row), *(quarantined_lines(manifest.quarantined) if quarantined else ())):
            typer.echo(line)
    if as_json:
        typer.echo(json.dumps({"datasets": rows}))


def _check_found(rows: list[dict[str, Any]], name: str | None, layout: Layout) -> None:
    from orchestrator.commands.common import NotFoundError

    if name is not None and not rows:
        raise NotFoundError(
            f"no dataset {name} is built", layout.root, f"see: {command_on(layout.root, 'data', 'list')}"
        )
