"""The time to go is one reckoning: `run`, `status` and the page Overview show the same at the same moment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import Catalog
from catalog.events import StudySubmitted, TimeToGoReckoned
from catalog.queries.cells import seconds_to_go
from dashboards.pages import overview
from dashboards.pages.request import PageRequest, read_address
from dashboards.render.theme import LIGHT
from orchestrator.cli import main
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.planning.rates import CPU_CORE, Rates
from orchestrator.running.journal_events import planned_event
from orchestrator.scheduling.schedule import Free
from orchestrator.study.load import parse_study
from orchestrator.terminal.grid_view import GridViewer, Seed
from orchestrator.terminal.live_view import summary_line
from tests.support.driver_bench import STUDY, Bench

LONGER = STUDY.replace("epochs: 2", "epochs: 20")
CLOCKS = re.compile(r"((?:\d+:)+\d\d)(?: to ((?:\d+:)+\d\d))? to go")


def seconds(text: str) -> tuple[int, int]:
    """The time to go that a text says."""
    found = CLOCKS.search(text)
    assert found, text
    ends = [found[1], found[2] or found[1]]
    low, high = (
        sum(int(part) * 60**place for place, part in enumerate(one.split(":")[::-1])) for one in ends
    )
    return low, high


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, study=LONGER)


@pytest.fixture
def plan(bench: Bench) -> Plan:
    plan = make_plan(parse_study(LONGER, "toy.yaml"))
    bench.append(StudySubmitted("toy", "s1", len(plan.cells), "toy.yaml", {}))
    for one in plan.cells:
        parent = bench.keys[one.cell.parent] if one.cell.parent else None
        keyed = replace(one, key=bench.keys[one.cell.name], parent_key=parent, macs=one.cell.frames)
        bench.append(planned_event(keyed, "toy", "s1"))
    return plan


def shown(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """What `status` and the page Overview say to somebody who has nothing but the journals."""
    monkeypatch.setattr("sys.argv", ["actiongrid", "status", "--storage", str(root)])
    with pytest.raises(SystemExit):
        main()
    with Catalog.open(root) as catalog:
        blocks = overview.blocks(PageRequest(catalog, read_address("/", ""), LIGHT, "storage"))
        page = str([part.value for block in blocks for part in block.parts])
    return seconds(capsys.readouterr().out), seconds(page)


def test_run_status_and_the_dashboard_agree_at_every_moment(
    bench: Bench,
    plan: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    viewer = GridViewer(plan, bench.driver, seed=Seed(Rates(CPU_CORE, (), "assumed", 12.0), Free(cpus=1)))
    seen = []

    def agree() -> None:
        viewer._reckon_at = viewer._reckon_if_news_at = 0.0
        for _ in range(2):  # what the first look reckons is journalled at the second
            bench.clock += 2
            bench.driver.poll()
            viewer.view()
            viewer._reckon_at = float("inf")
        before = seconds(summary_line(viewer.view()))
        others = shown(tmp_path, monkeypatch, capsys)
        after = seconds(summary_line(viewer.view()))
        for other in others:
            for was, says, will_be in zip(before, other, after, strict=True):
                assert was + 1 >= says >= will_be - 1, (before, others, after)
        seen.append(before)

    first = bench.next()
    agree()
    bench.write_epochs(first, 1)
    agree()
    assert len(bench.of(TimeToGoReckoned)) == 2, "an epoch is news"
    assert seen[0] != seen[1]
    assert seen[0][0] < seen[0][1], "by assumed rates it is a range"


def test_what_a_driver_told_long_ago_is_not_shown() -> None:
    row = {
        "told": 100.0,
        "low": 0.5,
        "high": 2.0,
        "told_at": 1000.0,
        "seconds": 60,
        "unknown": 0,
        "longest": 10,
    }
    assert seconds_to_go(row, 1, now=1020.0) == (30.0, 180.0)
    assert seconds_to_go(row, 1, now=1150.0) == (0.0, 50.0)
    assert seconds_to_go(row, 3, now=2000.0) == (20.0, 20.0), "the pace of what has finished"
    assert seconds_to_go({**row, "unknown": 1}, 3, now=2000.0) is None
