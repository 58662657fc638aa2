"""What a study means on a storage today: the plan from its catalog, datasets and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from catalog import Catalog, failed_cells
from catalog.storage.layout import Layout
from orchestrator.datasets.build import dataset_states
from orchestrator.planning.cost import SizeOf, model_size
from orchestrator.planning.known_cells import finished_cells, known_cells
from orchestrator.planning.measured_memory import known_cards
from orchestrator.planning.measured_rates import Measured, measured_rates
from orchestrator.planning.plan import DatasetState, FailureInfo, Plan, make_plan
from orchestrator.planning.weights import weights_problems
from orchestrator.study.cells import expand
from orchestrator.study.model import Study


def plan_and_measure(
    study: Study, storage: Path, weights_dir: str | None, packing: Path | None = None
) -> tuple[Plan, Measured]:
    """The plan of a study, and how fast the storage's finished cells trained; runs nothing.

    `packing` is a file of cells measured side by side (`orchestrator.planning.packing_file`).

    Raises:
        RatesError: that file cannot be used.
    """
    states = dataset_states(study, Layout(storage))
    with Catalog.open(storage) as catalog:
        problems = weights_problems(study, weights_dir)
        plan = plan_with(study, storage, states, catalog, problems, packing)
        return plan, measured_rates(catalog)


def plan_with(
    study: Study,
    storage: Path,
    states: Mapping[str, DatasetState],
    catalog: Catalog,
    problems: Mapping[str, str],
    packing: Path | None,
    size_of: SizeOf = model_size,
) -> Plan:
    """The plan with datasets in these states and the weights' `problems` by backbone (`make_plan`).

    Raises:
        RatesError: the file `packing` cannot be used.
    """
    done = finished_cells(catalog)
    failures = {key: FailureInfo(cell.error, cell.attempt) for key, cell in failed_cells(catalog).items()}
    known = known_cells(catalog, [cell.name for cell in expand(study)])
    cards = known_cards(catalog, storage, packing)
    return make_plan(study, states, done, failures, problems, known, cards, size_of=size_of)
