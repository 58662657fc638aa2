"""The plan as `actiongrid plan --json` prints it."""

from __future__ import annotations

from typing import Any

from orchestrator.cost import gpu_hours
from orchestrator.plan_model import Plan, PlannedCell, Totals


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as `actiongrid plan --json` prints it: `cells` and `totals`."""
    return {
        "study": plan.study,
        "cells": [_cell_json(planned) for planned in plan.cells],
        "totals": _totals_json(plan.totals),
    }


def _cell_json(planned: PlannedCell) -> dict[str, Any]:
    return {
        "cell": planned.cell.name,
        "key": planned.key,
        "parent": planned.cell.parent,
        **planned.cell.axes,
        "state": str(planned.state),
        "reason": planned.reason,
        "params": planned.params,
        "macs": planned.macs,
        "flops": planned.flops,
        "chain": planned.cell.chain_id,
        "parent_key": planned.parent_key,
        "key_is_provisional": planned.key_is_provisional,
        "num_classes": planned.num_classes,
        "blocked_by": planned.blocked_by,
        "supersedes": planned.supersedes,
        "differences": [
            {"field": one.field, "before": one.before, "after": one.after} for one in planned.differences
        ],
    }


def _totals_json(totals: Totals) -> dict[str, Any]:
    path = totals.critical_path
    return {
        "cells": totals.cells,
        "chains": totals.chains,
        "by_state": {str(state): count for state, count in totals.by_state.items()},
        "macs": totals.macs,
        "flops": totals.flops,
        "flops_left": totals.flops_left,
        "gpu_hours_left": gpu_hours(totals.flops_left),
        "cells_of_unknown_cost": totals.cells_of_unknown_cost,
        "critical_path": path and {"chain": path.chain, "cells": list(path.cells), "flops": path.flops},
        "missing_datasets": [
            {"name": one.name, "how": one.how, "cells": one.cells, "buildable": one.buildable}
            for one in totals.missing_datasets
        ],
    }
