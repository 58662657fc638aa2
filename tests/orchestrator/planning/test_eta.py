from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.eta import OpenCell, TrainedCell, eta_seconds, rates_so_far
from orchestrator.planning.rates import Rates
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import Cell, expand
from orchestrator.study.load import parse_study
from orchestrator.study.model import Resources

STUDY = """\
name: s
axes: {module: [tsn, i3d], backbone: [resnet18, resnet50], frames: [8, 16], dataset: [d]}
datasets: {d: {kind: synthetic-motion}}
"""
CELLS = {cell.name: cell for cell in expand(parse_study(STUDY, "s.yaml"))}
TSN8, TSN16 = CELLS["TSN-ResNet18-f8@d"], CELLS["TSN-ResNet18-f16@d"]
I3D8 = CELLS["I3D-ResNet18-f8@d"]


def after(seconds: float) -> float:
    return START_UP_SECONDS + seconds


def rates(*trained: tuple[Cell, float, float]) -> Rates | None:
    return rates_so_far([TrainedCell(cell, flops, after(seconds)) for cell, flops, seconds in trained])


def test_nothing_is_promised_before_a_cell_has_shown_its_pace() -> None:
    assert rates_so_far([]) is None
    assert rates_so_far([TrainedCell(TSN8, 0.0, 5.0)]) is None
    assert eta_seconds([OpenCell(TSN8, 1.0)], None, Free(2)) is None
    assert eta_seconds([], None, Free(2)) == 0.0


def test_a_chain_takes_the_sum_of_its_cells() -> None:
    left = [OpenCell(TSN8, 88.0), OpenCell(TSN16, 188.0, TSN8.name)]
    assert eta_seconds(left, rates((TSN8, 100.0, 100.0)), Free(8)) == pytest.approx(after(88) + after(188))


def test_cells_share_the_room() -> None:
    left = [OpenCell(cell, 88.0) for cell in list(CELLS.values())[:4]]
    pace = rates((TSN8, 100.0, 100.0))
    assert eta_seconds(left, pace, Free(2)) == pytest.approx(2 * after(88))
    assert eta_seconds(left, pace, Free(4)) == pytest.approx(after(88))


def test_each_module_has_its_own_pace_once_it_is_known() -> None:
    pace = rates((TSN8, 100.0, 100.0), (I3D8, 100.0, 300.0))
    assert eta_seconds([OpenCell(I3D8, 100.0)], pace, Free(1)) == pytest.approx(after(300))
    assert eta_seconds([OpenCell(TSN16, 100.0)], pace, Free(1)) == pytest.approx(after(100))
    other = CELLS["TSN-ResNet50-f8@d"]
    assert eta_seconds([OpenCell(other, 100.0)], pace, Free(1)) == pytest.approx(after(200))


def test_a_running_cell_needs_only_its_rest_and_never_less_than_a_moment() -> None:
    pace = rates((TSN8, 100.0, 100.0))
    left = [OpenCell(TSN8, 100.0, running_for=50.0), OpenCell(TSN16, 100.0, TSN8.name)]
    assert eta_seconds(left, pace, Free(1)) == pytest.approx(after(100) - 50 + after(100))
    late = [OpenCell(TSN8, 100.0, running_for=5000.0)]
    assert eta_seconds(late, pace, Free(1)) == pytest.approx(1.0)


def test_a_cell_that_no_one_has_seen_running_still_has_a_time() -> None:
    """Wider than anything that ran so far: the room is not known to be that large, but nobody refused it."""
    wide = replace(TSN16, resources=Resources(workers=4))
    pace = rates((TSN8, 100.0, 100.0))
    assert eta_seconds([OpenCell(wide, 400.0)], pace, Free(1)) == pytest.approx(after(100))


def test_a_measured_start_up_counts_instead_of_the_usual_one() -> None:
    """A machine that is busy takes a minute to start a cell, and trains at the same pace."""
    slow = rates_so_far([TrainedCell(TSN8, 100.0, 160.0, start_up=60.0)])
    assert slow is not None and slow.start_up_seconds == 60.0
    assert eta_seconds([OpenCell(TSN8, 100.0)], slow, Free(1)) == pytest.approx(160.0)
    begun = rates_so_far([TrainedCell(TSN8, 100.0, 61.0, start_up=60.0)])
    assert eta_seconds([OpenCell(TSN8, 100.0)], begun, Free(1)) == pytest.approx(61.0)
