"""What a study means on a storage today: the plan from its catalog, datasets and measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalog import Catalog
from catalog.queries.planner import (
    begun_cells,
    epochs_so_far,
    failed_cells,
    finished_epochs,
    finished_names,
    last_reductions,
    removed_checkpoints,
)
from catalog.storage.layout import Layout
from catalog.storage.storage import default_storage, open_storage
from orchestrator.datasets.built import dataset_states, with_sources_seen
from orchestrator.planning.cost import SizeOf, model_size, not_counted
from orchestrator.planning.explanation import known_cells
from orchestrator.planning.measured import Measured, cards_and_packing, measured_rates
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import DoneCell, FailureInfo, Plan
from orchestrator.planning.study_power import MeasuredVariances, measured_variances
from orchestrator.scheduling.retry import MemoryReduction
from orchestrator.study.cells import Cell, expand
from orchestrator.study.datasets import DatasetState
from orchestrator.study.model import Study
from trainables.models.pretrained import WeightsFile


@dataclass(frozen=True)
class StoragePlan:
    """A study's plan on a storage, and what the storage says beside it.

    `measured` is how fast its finished cells trained, `videos` how many evaluation videos each dataset has
    (None where not known), `variances` what its results say of seeds and videos, where that was asked for.
    `downloads` are the files of weights that are not here and that a run downloads. `otherwise` are the last
    epochs of cells that were begun as the study was before, and are not finished. `unsure` counts the cells
    that are finished or begun under the names of cells whose dataset is not built: their keys are not known.
    """

    plan: Plan
    measured: Measured
    videos: Mapping[str, int | None]
    variances: Mapping[str, MeasuredVariances]
    downloads: tuple[WeightsFile, ...]
    otherwise: tuple[int, ...] = ()
    unsure: tuple[int, int] = (0, 0)


def plan_and_measure(
    study: Study,
    storage: Path,
    weights_dir: str | None,
    packing: Path | None = None,
    *,
    with_variances: bool = False,
) -> StoragePlan:
    """The plan of a study with what the storage says beside it; runs nothing.

    `packing` is a file of cells measured side by side (`orchestrator.planning.measurement_files`). Variances
    need the predictions of the storage's results.

    Raises:
        RatesError: that file cannot be used.
    """
    states = with_sources_seen(study, dataset_states(study, Layout(storage)))
    cells = expand(study)
    with Catalog.open(storage, must_exist=False) as catalog:
        pretrained = pretrained_weights(cells)
        problems = weights_problems(pretrained, weights_dir)
        planned = plan_on_catalog(study, storage, states, catalog, problems, packing, cells=cells)
        videos = {name: state.val_videos for name, state in states.items()}
        variances = (
            measured_variances(catalog, {one.cell.dataset for one in planned.cells}) if with_variances else {}
        )
        downloads = weights_to_download(
            [one for one in pretrained if one.network not in problems], weights_dir
        )
        otherwise, unsure = _under_other_keys(planned, catalog)
        measured = measured_rates(catalog)
        return StoragePlan(planned, measured, videos, variances, downloads, otherwise, unsure)


def _under_other_keys(planned: Plan, catalog: Catalog) -> tuple[tuple[int, ...], tuple[int, int]]:
    """`StoragePlan.otherwise` and `StoragePlan.unsure`."""
    sure = {one.cell.name: not one.key_is_provisional for one in planned.cells}
    keys = {one.key for one in planned.cells}
    begun = {one["key"]: one for one in begun_cells(catalog, planned.study).to_pylist()}
    others = [one for key, one in begun.items() if one["cell"] in sure and key not in keys]
    finished = {name for name in finished_names(catalog, planned.study) if not sure.get(name, True)}
    unsure = {one["cell"] for one in others if not sure[one["cell"]]} - finished
    return tuple(one["epoch"] for one in others if sure[one["cell"]]), (len(finished), len(unsure))


def plan(
    study: Study | str | Path, storage: str | Path | None = None, *, weights_dir: str | None = None
) -> Plan:
    """What a study means today on a storage, as `actiongrid plan` shows it; runs nothing.

    Args:
        study: The study, or its file's path or a shipped one's name.
        storage: Directory, `s3://…` or `gs://…`, which need not exist; default: $ACTIONGRID_STORAGE or
            ./actiongrid-storage.
        weights_dir: A folder with torchvision's files of weights.

    Returns:
        `cells`, each with its state, the reason, its key and its cost, and their `totals`.

    Raises:
        StudyError: the study cannot be read.
    """
    from trainables.data.frames.transfer import fetch_manifests

    place = open_storage(str(storage or default_storage()))
    place.connect()
    fetch_manifests(place)
    read = study if isinstance(study, Study) else Study.load(study)
    return plan_and_measure(read, place.root, weights_dir).plan


def plan_on_catalog(
    study: Study,
    storage: Path,
    states: Mapping[str, DatasetState],
    catalog: Catalog,
    problems: Mapping[str, str],
    packing: Path | None,
    size_of: SizeOf = model_size,
    lost: Mapping[str, str] | None = None,
    cells: Sequence[Cell] | None = None,
) -> Plan:
    """The plan with datasets in these states and the weights' `problems` by backbone (`make_plan`).

    `lost` are finished cells that have to be trained again, with the reason; `cells` the study's, where they
    are expanded already.

    Raises:
        RatesError: the file `packing` cannot be used.
    """
    parents = _parents_plan(study.parent_study, storage, catalog, lost)
    done = finished_cells(catalog)
    failures = {key: FailureInfo(cell.error, cell.attempt) for key, cell in failed_cells(catalog).items()}
    cells = expand(study) if cells is None else cells
    # Until a dataset is built nothing of its cells is compared with what was trained before.
    compared = {name for name, state in states.items() if state.built or state.changed}
    known = known_cells(catalog, [cell.name for cell in cells if cell.dataset in compared])
    cards = cards_and_packing(catalog, storage, packing)
    given = (study, states, done, failures, problems, known, cards, lost)
    return make_plan(*given, size_of=size_of, cells=cells, begun=epochs_so_far(catalog), parents=parents)


def _parents_plan(
    study: Study | None, storage: Path, catalog: Catalog, lost: Mapping[str, str] | None
) -> Plan | None:
    """The keys and states of cells that another study's start from; what they would cost is not asked."""
    if study is None:
        return None
    states = dataset_states(study, Layout(storage))
    plain = {"auto_share": False}
    cells = [replace(cell, resources=cell.resources.model_copy(update=plain)) for cell in expand(study)]
    parents = _parents_plan(study.parent_study, storage, catalog, lost)
    done = finished_cells(catalog)
    return make_plan(study, states, done, lost=lost, size_of=not_counted, cells=cells, parents=parents)


def finished_cells(catalog: Catalog) -> Mapping[str, DoneCell]:
    """The finished cells by key, with what is left of their checkpoints."""
    removed = removed_checkpoints(catalog)
    return {
        row["key"]: DoneCell(
            row["key"],
            row["evaluation"],
            frozenset(
                which
                for which, epoch in (("best", row["best_epoch"]), ("last", row["epochs"]))
                if epoch in removed.get(row["key"], ())
            ),
        )
        for row in finished_epochs(catalog).to_pylist()
    }


def memory_reductions(catalog: Catalog) -> Mapping[str, MemoryReduction]:
    """How the cells that ran out of memory were tried the last time, by key, whoever tried."""
    rows = last_reductions(catalog).to_pylist()
    return {row["key"]: MemoryReduction(row["alone"], row["accumulation"]) for row in rows if row["alone"]}


def pretrained_weights(cells: Sequence[Cell]) -> tuple[WeightsFile, ...]:
    """The files that the starters among these cells begin with, each once."""
    starters = (cell for cell in cells if cell.parent is None)
    return tuple(dict.fromkeys(file for cell in starters if (file := cell.weights) is not None))


def weights_problems(
    wanted: Sequence[WeightsFile], weights_dir: str | None, *, download: bool = False
) -> dict[str, str]:
    """By network of `wanted`, why its file cannot be loaded and the way out; empty where all can be.

    With `download` a missing file is fetched through torchvision first. Planning downloads nothing: a file
    that a run would fetch is no problem to it (`weights_to_download`).
    """
    if not wanted:
        return {}
    from trainables.models.weights import MissingWeightsError, fetch_weights, find_weights, why_no_download

    problems = {}
    for file in wanted:
        try:
            (fetch_weights if download else find_weights)(file, weights_dir)
        except MissingWeightsError as error:
            reason = "" if download else why_no_download(file)
            if download or reason:
                problems[file.network] = f"{error}; {reason}" if reason and file.enum else str(error)
    return problems


def weights_to_download(wanted: Sequence[WeightsFile], weights_dir: str | None) -> tuple[WeightsFile, ...]:
    """Those of `wanted` that are not here and that a run downloads."""
    if not wanted:
        return ()
    from trainables.models.weights import MissingWeightsError, find_weights

    missing = []
    for file in wanted:
        try:
            find_weights(file, weights_dir)
        except MissingWeightsError:
            if file.enum is not None:
                missing.append(file)
    return tuple(missing)
