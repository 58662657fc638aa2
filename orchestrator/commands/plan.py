"""`actiongrid plan` and `power`: what would run, why, what it costs and what it can show. Runs nothing."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.commands.common import (
    JsonOption,
    NotFoundError,
    PackingOption,
    StorageOption,
    StudyArgument,
    WeightsOption,
    checked_study,
    chosen_storage,
    command_line,
    without_collection,
    without_pandas,
)
from orchestrator.terminal.text import terminal_width

if TYPE_CHECKING:
    from dashboards.statistics.power import Variances
    from orchestrator.evaluation.of_study import CellsOfStudy
    from orchestrator.planning.forecast import CellForecast, Forecast, Goal
    from orchestrator.planning.machine import Shortage
    from orchestrator.planning.plan_model import Plan, PlannedCell, Totals
    from orchestrator.planning.storage_plan import StoragePlan
    from orchestrator.study.model import Study

_PRICE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:/\s*(?:gpu-)?(?:hour|h))?", re.IGNORECASE)


class PriceError(ActionGridError):
    """A price that cannot be read."""

    exit_code = BAD_INPUT


@without_collection()
@without_pandas()
def plan(
    study: StudyArgument,
    storage: StorageOption = None,
    weights_dir: WeightsOption = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="Reckon with this GPU, such as h100; default: what ran here, else a100."),
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option("--rates", help="Reckon with measured rates: the JSON of benchmarks/train_step.py."),
    ] = None,
    price: Annotated[
        str | None, typer.Option("--price", help="Price of a GPU-hour, such as 2.5/gpu-hour.")
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option("--goal", min=0.0, help="GPU-hours to keep to: name the cells that stand in the way."),
    ] = None,
    packing: PackingOption = None,
    cells: Annotated[bool, typer.Option("--cells", help="Every cell too, a line each.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is missing, what the study costs, on how many GPUs, and cells by reason; runs nothing.

    Exit code 2 where a dataset cannot be built from what the study names, such as a folder that is not there.
    """
    from orchestrator.planning.forecast import make_forecast, make_goal, on_gpus
    from orchestrator.planning.measured import choose_rates
    from orchestrator.planning.storage_plan import plan_and_measure

    unit_price = None if price is None else parse_price(price)
    root, checked = chosen_storage(storage).root, checked_study(study)
    evaluated = _evaluated(checked, root)
    if not checked.trains:
        typer.echo(json.dumps(evaluated.as_json(checked)) if as_json else "\n".join(evaluated.text(checked)))
        return
    found = plan_and_measure(checked, root, weights_dir, packing, with_variances=not as_json)
    chosen = choose_rates(found.measured, on_gpus=on_gpus(found.plan), gpu=gpu, file=rates)
    forecast = make_forecast(found.plan, chosen, unit_price)
    kept_to = None if goal is None else make_goal(found.plan, forecast, goal)
    if as_json:
        downloads = {file.network: file.name for file in found.downloads}
        printed = plan_json(found.plan, forecast) | {"downloads": downloads, **evaluated.fields()}
        typer.echo(json.dumps(printed if kept_to is None else printed | {"goal": asdict(kept_to)}))
    else:
        power = command_line("power", study, storage=storage)
        shown = _Shown(cells, rates is not None, power, storage)
        typer.echo("\n".join([*_text(found, forecast, kept_to, shown), *evaluated.lines]))
    if any(one.problem for one in found.plan.totals.missing_datasets):
        raise typer.Exit(BAD_INPUT)


@dataclass(frozen=True)
class _Evaluations:
    """The finished cells that a study evaluates, and what to say of them."""

    cells: tuple[CellsOfStudy, ...]
    lines: tuple[str, ...]

    def text(self, study: Study) -> list[str]:
        """The plan of a study that trains nothing."""
        return [f"{study.name}: trains nothing", *self.lines]

    def fields(self) -> dict[str, Any]:
        """The part of `--json`; nothing for a study without."""
        rows = [
            {
                "study": one.study,
                "finished": [cell.cell for cell in one.finished],
                "unfinished": list(one.unfinished),
                "measurements": len(one.asked()),
            }
            for one in self.cells
        ]
        return {"evaluates": rows} if rows else {}

    def as_json(self, study: Study) -> dict[str, Any]:
        """The plan of a study that trains nothing, as `plan_json`."""
        return {"study": study.name, "cells": [], **self.fields()}


def _evaluated(study: Study, root: Path) -> _Evaluations:
    """The finished cells that a study evaluates, as the storage knows them today."""
    if not study.evaluates:
        return _Evaluations((), ())
    from catalog import Catalog
    from orchestrator.evaluation.of_study import cells_of_study, evaluated_lines

    with Catalog.open(root, must_exist=False) as catalog:
        found = cells_of_study(study, catalog)
        return _Evaluations(found, tuple(evaluated_lines(found, root)))


@dataclass(frozen=True)
class _Shown:
    """What was asked for beside the page, the command that says more of power, and the storage as given."""

    cells: bool
    largest: bool
    power: str
    storage: str | None


def _text(found: StoragePlan, forecast: Forecast, goal: Goal | None, shown: _Shown) -> list[str]:
    """The page of a plan, and what was asked for beside it."""
    from orchestrator.planning.study_power import study_power, weakest
    from orchestrator.terminal.plan_page import PlanPage, page_lines
    from orchestrator.terminal.plan_text import cell_lines, goal_lines, largest_lines

    notes = tuple(weakest(study_power(found.plan, found.videos, found.variances), shown.power))
    lacking, earlier = _shortages(found.plan), (found.otherwise, found.unsure)
    page = PlanPage(found.plan, forecast, found.downloads, lacking, notes, shown.storage, *earlier)
    lines = page_lines(page, terminal_width())
    if shown.largest:
        lines += ["", *largest_lines(found.plan, forecast)]
    if goal is not None:
        lines += ["", *goal_lines(forecast, goal)]
    return [*cell_lines(found.plan), "", *lines] if shown.cells else lines


def _shortages(plan: Plan) -> tuple[Shortage, ...]:
    """What this machine lacks for the cells that are left; nothing is known of a cluster's machines."""
    from orchestrator.planning.machine import shortages, this_machine

    asked = [one.cell.resources for one in plan.cells if one.state != "done"]
    return () if os.environ.get("RAY_ADDRESS") else shortages(asked, this_machine(asked))


def power(
    study: StudyArgument,
    detect: Annotated[
        float, typer.Option("--detect", min=0.01, max=100, help="A difference between models, in points.")
    ] = 1.0,
    storage: StorageOption = None,
    seed_deviation: Annotated[
        float | None,
        typer.Option("--seed-deviation", min=0, max=50, help="Assume this deviation of seeds, in points."),
    ] = None,
    disagreement: Annotated[
        float | None,
        typer.Option(
            "--disagreement", min=0.1, max=100, help="Assume that two models disagree on these % of videos."
        ),
    ] = None,
    weights_dir: WeightsOption = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="Reckon with this GPU, as `plan` does.")] = None,
    rates: Annotated[Path | None, typer.Option("--rates", help="Measured rates, as for `plan`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which difference the study can tell apart, how many seeds --detect needs, and what they cost."""
    from orchestrator.planning.forecast import make_forecast, on_gpus
    from orchestrator.planning.measured import choose_rates
    from orchestrator.planning.storage_plan import plan_and_measure
    from orchestrator.planning.study_power import power_lines, study_power

    root, checked = chosen_storage(storage).root, checked_study(study)
    if not checked.trains:
        raise NotFoundError("the study trains nothing", study, "ask for the power of the study it evaluates")
    found = plan_and_measure(checked, root, weights_dir, with_variances=True)
    planned = found.plan
    chosen = choose_rates(found.measured, on_gpus=on_gpus(planned), gpu=gpu, file=rates)
    forecast = make_forecast(planned, chosen, None)
    told = seed_deviation is not None or disagreement is not None
    given = partial(_assumed, seed_deviation=seed_deviation, disagreement=disagreement) if told else None
    rows = study_power(planned, found.videos, found.variances, detect, forecast, given)
    if as_json:
        datasets = [asdict(row) for row in rows]
        typer.echo(json.dumps({"study": planned.study, "unit": forecast.unit, "datasets": datasets}))
        return
    for line in power_lines(rows, forecast.unit):
        typer.echo(line)


def _assumed(known: Variances, *, seed_deviation: float | None, disagreement: float | None) -> Variances:
    """What was measured, with what the user assumes in its place."""
    if seed_deviation is not None:
        known = replace(known, seeds=seed_deviation)
    if disagreement is None:
        return known
    # Two seeds of one model do not disagree more often than two models.
    share = disagreement / 100
    return replace(known, disagreement=share, within=min(known.within, share / 2))


def parse_price(text: str) -> float:
    """The price of a GPU-hour, in whatever currency: `2.5` or `2.5/gpu-hour`.

    Raises:
        PriceError: it is neither.
    """
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise PriceError("price not understood", f"--price '{text}'", "write 2.5 or 2.5/gpu-hour")
    return float(found[1])


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
        **({"parent_study": planned.origin_study} if planned.origin_study else {}),
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
        "choose_on": planned.cell.choose_on,
        "plug_ins": planned.cell.plug_ins,
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
            {
                "name": one.name,
                "how": one.how,
                "cells": one.cells,
                "buildable": one.buildable,
                "changed": one.changed,
                "seen": one.seen,
                "problem": one.problem,
            }
            for one in totals.missing_datasets
        ],
    }
