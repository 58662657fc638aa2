"""`actiongrid data`: build a study's datasets, and list what is built."""

from __future__ import annotations

import sys

import typer

from orchestrator.commands.common import (
    WORK_FAILED,
    StorageOption,
    StudyArgument,
    storage_path,
)

app = typer.Typer(help="Datasets: manifests of a study's videos.", no_args_is_help=True)


@app.command()
def build(study: StudyArgument, storage: StorageOption = None) -> None:
    """Build the datasets of a study that are missing; exit code 1 if one cannot be built here."""
    from orchestrator.build_view import BuildView
    from orchestrator.datasets import build_missing, dataset_states
    from orchestrator.layout import Layout
    from orchestrator.study import load_study

    loaded = load_study(study)
    layout = Layout(storage_path(storage))
    states = build_missing(loaded, dataset_states(loaded, layout), layout, BuildView(sys.stderr), typer.echo)
    for name, state in states.items():
        if not state.built:
            typer.echo(f"dataset {name} cannot be built here: {state.how}", err=True)
    if not all(state.built for state in states.values()):
        raise typer.Exit(WORK_FAILED)


@app.command("list")
def list_datasets(storage: StorageOption = None) -> None:
    """List the datasets of a storage: videos by split, and the quarantined ones with their reasons."""
    from orchestrator.datasets import manifest_lines
    from orchestrator.layout import Layout
    from trainables.data.manifest import read_manifest

    for path in sorted((Layout(storage_path(storage)).root / "datasets").glob("*/manifest.parquet")):
        manifest = read_manifest(path)
        for line in manifest_lines(manifest, path):
            typer.echo(line)
