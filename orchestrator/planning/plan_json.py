"""The plan as `actiongrid plan --json` prints it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator.planning.plan_model import Plan, PlannedCell, Totals

if TYPE_CHECKING:
    from orchestrator.planning.forecast import CellForecast, Forecast


def plan_json(plan: Plan, forecast: Forecast | None = None) -> dict[str, Any]:
    """The plan as `actiongrid plan --json` prints it: `cells`, `totals` and, where reckoned, `forecast`."""
    costs = forecast.cells if forecast else {}
    printed: dict[str, Any] = {
        "study": plan.study,
        "cells": [
            _cell_json(planned) | _cell_forecast_json(costs.get(planned.cell.name)) for planned in plan.cells
        ],
        "totals": _totals_json(plan.totals),
    }
    return printed if forecast is None else printed | {"forecast": _forecast_json(forecast)}


def _cell_forecast_json(cost: CellForecast | None) -> dict[str, Any]:
    if cost is None:
        return {}
    return {
        "seconds": cost.seconds,
        "unit_hours": cost.unit_hours,
        "tflops": cost.rate.tflops,
        "rate_is_measured": cost.rate.measured,
        "rate_basis": cost.rate.basis,
        "checkpoint_bytes": cost.checkpoint_bytes,
    }


def _forecast_json(forecast: Forecast) -> dict[str, Any]:
    """`whole` and `left` with their `unit_hours`: hours of one `unit`, a GPU or a CPU core."""
    return {
        "gpu": forecast.rates.gpu.name,
        "unit": forecast.unit,
        "rates": forecast.rates.origin,
        "assumed_tflops": forecast.rates.gpu.assumed_tflops,
        "start_up_seconds": forecast.rates.start_up_seconds,
        "price": forecast.price,
        "whole": asdict(forecast.whole),
        "left": asdict(forecast.left),
        "shares": [
            {"axis": share.axis, "value": share.value, **asdict(share.left)} for share in forecast.shares
        ],
        "critical_path": forecast.critical and asdict(forecast.critical),
        "makespans": [asdict(row) for row in forecast.counts],
        "enough": forecast.enough,
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
        "share": planned.share and asdict(planned.share),
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
        "cells_of_unknown_cost": totals.cells_of_unknown_cost,
        "critical_path": path and {"chain": path.chain, "cells": list(path.cells), "flops": path.flops},
        "missing_datasets": [
            {"name": one.name, "how": one.how, "cells": one.cells, "buildable": one.buildable}
            for one in totals.missing_datasets
        ],
    }
