"""What runs, where and when: the study file, its cells and keys, the plan, the schedule and the driver.

The pure core (study, cell, key, cost, plan, schedule, retry) knows nothing of Ray and touches no dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.evaluation.load_cell import LoadedCell, load_cell
    from orchestrator.planning.storage_plan import plan
    from orchestrator.study.model import Study
    from trainables.inference.export import load_exported

_HOMES = {
    "LoadedCell": "orchestrator.evaluation.load_cell",
    "load_cell": "orchestrator.evaluation.load_cell",
    "load_exported": "trainables.inference.export",
    "Study": "orchestrator.study.model",
    "plan": "orchestrator.planning.storage_plan",
}

__all__ = ["LoadedCell", "Study", "load_cell", "load_exported", "plan"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the module protocol's own signature)
    """Load a public name from its module at its first use: it brings torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
