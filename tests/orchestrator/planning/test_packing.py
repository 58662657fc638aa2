from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import Catalog, Journal
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.cli import main
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.planning.explanation import Position
from orchestrator.planning.gpu_share import WORTH_GAIN, CardMemory, Packing, SideBySide
from orchestrator.planning.measurement_files import (
    MPS_PIPE,
    RatesError,
    chosen_packing,
    read_packing,
    under_mps,
)
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.run import submit
from orchestrator.running.journal_events import planned_event
from orchestrator.running.submission import Options, Submission
from orchestrator.study.load import parse_study
from orchestrator.terminal.plan_text import share_lines
from tests.support.finished_study import STUDY, build

AUTO = STUDY + "resources: {default: {gpus_per_worker: auto, gpu_memory_gb: 80}}\n"
ROOMY = dict.fromkeys((8, 16, 32, 64), 10**9)  # four of them fit on any card
TAM8 = Position("tam", "tiny", False, 8)

ROW = {
    "gpu": "NVIDIA H100 80GB HBM3",
    "model": "TAM-Tiny",
    "frames": 8,
    "batch": 72,
    "side_by_side": 1,
    "mps": False,
    "clips_per_s": 100.0,
    "gain": 1.0,
}


def rows(*gains: float, **changes: Any) -> list[dict[str, Any]]:
    """One alone, then two, three, … together."""
    return [
        ROW | {"side_by_side": number, "clips_per_s": 100.0 * gain, "gain": gain} | changes
        for number, gain in enumerate((1.0, *gains), start=1)
    ]


def file_of(folder: Path, content: Any) -> Path:
    path = folder / "packing.json"
    path.write_text(json.dumps(content))
    return path


def packing(folder: Path, *content: list[dict[str, Any]], mps: bool = False) -> Packing:
    return read_packing(file_of(folder, [row for some in content for row in some]), mps=mps)


@pytest.mark.parametrize(
    ("gains", "fitting", "together"),
    [
        ((1.3, 1.5, 1.4), 4, 3),  # the most clips a second, not the most cells
        ((1.3, 1.5, 1.4), 2, 2),  # no more than fit
        ((1.3, 1.3, 1.3), 4, 2),  # the fewer where it makes no difference
        ((1.04, 1.03, 0.9), 4, 1),
        ((1.05,), 4, 2),
        ((0.8, 0.7, 1.2), 4, 4),
        ((0.8, 0.7, 1.2), 3, 1),
    ],
)
def test_as_many_share_a_gpu_as_give_most(
    tmp_path: Path, gains: tuple[float, ...], fitting: int, together: int
) -> None:
    limit = packing(tmp_path, rows(*gains)).limit(TAM8, fitting)
    assert limit is not None
    assert limit.together == together


@given(st.lists(st.floats(0.1, 4.0), min_size=1, max_size=3), st.integers(1, 4))
def test_never_more_than_fit_and_never_for_less_than_it_is_worth(gains: list[float], fitting: int) -> None:
    place = ("tam", "tiny", False, 8)
    samples = [
        SideBySide("GPU", *place, number, False, 100 * gain, gain)
        for number, gain in enumerate((1.0, *gains), start=1)
    ]
    limit = Packing(tuple(samples), "rows").limit(TAM8, fitting)
    assert limit is not None
    assert 1 <= limit.together <= fitting
    possible = gains[: fitting - 1]
    best = max(possible, default=0.0)
    if best < WORTH_GAIN:
        assert limit.together == 1
    else:
        assert gains[limit.together - 2] == best


def test_nothing_is_said_of_models_that_were_not_measured(tmp_path: Path) -> None:
    measured = packing(tmp_path, rows(1.5, frames=16))
    assert measured.limit(Position("tsn", "tiny", False, 16), 4) is None
    assert measured.limit(Position("tam", "resnet18", False, 16), 4) is None
    assert measured.limit(Position("tam", "tiny", False, 8), 4) is None, "shorter ones may gain more"
    assert packing(tmp_path, rows()).limit(TAM8, 4) is None, "one alone tells of none together"


def test_longer_clips_share_no_more_than_the_longest_measured_shorter_ones(tmp_path: Path) -> None:
    measured = packing(tmp_path, rows(1.2, 1.5, 1.8), rows(1.1, 1.0, frames=16))
    assert [
        limit.together
        for frames in (8, 16, 32)
        if (limit := measured.limit(Position("tam", "tiny", False, frames), 4))
    ] == [4, 2, 2]


def test_pooled_models_have_their_own_rows_where_there_are_any(tmp_path: Path) -> None:
    both = packing(tmp_path, rows(1.5), rows(1.0, model="TAM-Tiny-tp"))
    found = [both.limit(Position("tam", "tiny", pooled, 8), 4) for pooled in (False, True)]
    assert [limit and limit.together for limit in found] == [2, 1]
    (limit,) = [packing(tmp_path, rows(1.5)).limit(Position("tam", "tiny", True, 8), 4)]
    assert limit is not None
    assert limit.together == 2


def test_rows_under_mps_count_where_there_is_mps(tmp_path: Path) -> None:
    plain, served = rows(1.01), rows(1.4, mps=True)
    assert packing(tmp_path, plain, served).limit(TAM8, 4).together == 1  # type: ignore[union-attr]
    assert packing(tmp_path, plain, served, mps=True).limit(TAM8, 4).together == 2  # type: ignore[union-attr]
    assert under_mps({MPS_PIPE: "/run/mps"})
    assert not under_mps({})
    assert not under_mps({MPS_PIPE: ""})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "not a list of rows"),
        ([ROW | {"side_by_side": 0}], "side_by_side: input should be greater than or equal to 1"),
        ([ROW | {"model": "VGG-16"}], "unknown model 'VGG-16'"),
        ([{name: value for name, value in ROW.items() if name != "gain"}], "gain: field required"),
        ([ROW, ROW | {"gpu": "NVIDIA L4"}], "on several GPUs (NVIDIA H100 80GB HBM3, NVIDIA L4)"),
    ],
)
def test_an_unusable_file_is_refused_in_one_line(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(RatesError, match=r"packing\.json") as error:
        read_packing(file_of(tmp_path, content), mps=False)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_storage_may_have_its_own_file(tmp_path: Path) -> None:
    assert chosen_packing(tmp_path, None) is None
    file_of(tmp_path, rows(1.5))
    assert Layout(tmp_path).packing == tmp_path / "packing.json"
    own = chosen_packing(tmp_path, None)
    assert own is not None
    other = tmp_path / "other.json"
    other.write_text(json.dumps(rows(1.0)))
    given_one = chosen_packing(tmp_path, other)
    assert given_one is not None
    assert (len(own.samples), given_one.origin) == (
        2,
        "other.json, measured on NVIDIA H100 80GB HBM3 without MPS",
    )


def planned(measured: Packing | None, memory: dict[int, int] | None = None, text: str = AUTO) -> Plan:
    by_frames = memory or ROOMY
    return make_plan(
        parse_study(text, "s.yaml"),
        memory=CardMemory(packing=measured),
        memory_of=lambda cell, classes: by_frames[cell.frames],
    )


def shares(plan: Plan) -> list[float]:
    return [one.cell.resources.gpus_per_worker for one in plan.cells]


def test_what_was_measured_decides_where_memory_leaves_a_choice(tmp_path: Path) -> None:
    measured = packing(tmp_path, rows(1.3, 1.5, 1.4), rows(1.02, frames=32))
    assert shares(planned(None)) == [0.25] * 4
    found = planned(measured)
    assert shares(found) == [0.3333, 0.3333, 1.0, 1.0]
    tight = {8: 10**9, 16: 30 * 10**9, 32: 10**9, 64: 60 * 10**9}
    assert shares(planned(measured, tight)) == [0.3333, 0.5, 1.0, 1.0]
    rules = [one.share.rule for one in planned(measured, tight).cells if one.share]
    origin = "packing.json, measured on NVIDIA H100 80GB HBM3 without MPS"
    assert rules == [
        f"3 side by side 1.50 x: tam tiny f8, {origin}",
        f"2 side by side 1.30 x: tam tiny f8, {origin}",
        f"side by side at best 1.02 x: tam tiny f32, {origin}",
        "memory",
    ]
    assert planned_event(found.cells[0], "s", "driver").config["memory"]["rule"] == rules[0]
    assert [one.key for one in found.cells] == [one.key for one in planned(None).cells]


def test_a_study_that_says_how_many_is_left_alone(tmp_path: Path) -> None:
    fixed = AUTO.replace("auto, gpu_memory_gb: 80", "0.5")
    found = planned(packing(tmp_path, rows(1.0)), text=fixed)
    assert shares(found) == [0.5] * 4
    assert share_lines(found) == []


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_plan_says_which_rule_decided(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv(MPS_PIPE, raising=False)
    study, storage = tmp_path / "s.yaml", tmp_path / "storage"
    study.write_text(AUTO)
    storage.mkdir()

    def text(*options: object) -> str:
        assert run(monkeypatch, "plan", study, "--storage", storage, *options) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "4 cells with 0.25 of a GPU each, decided by memory" in text()
    file_of(storage, rows(1.3, 1.2, 1.1))
    assert "4 cells with 0.5 of a GPU each, decided by 2 side by side 1.30 x: tam tiny f8" in text()
    other = tmp_path / "other.json"
    other.write_text(json.dumps(rows(1.0)))
    assert "4 cells with 1 of a GPU each, decided by side by side at best 1.00 x" in text("--packing", other)
    found = json.loads(text("--packing", other, "--json"))
    assert found["cells"][0]["share"]["gpus"] == 1.0
    assert found["cells"][0]["share"]["rule"].startswith("side by side at best 1.00 x")
    assert run(monkeypatch, "plan", study, "--storage", storage, "--packing", tmp_path / "none") == 2
    assert "rates cannot be read" in capsys.readouterr().err


def test_a_run_places_its_cells_as_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of a submission but Ray: what is journalled, and what the driver is given."""
    monkeypatch.delenv(MPS_PIPE, raising=False)
    storage, study = tmp_path / "storage", parse_study(AUTO, "s.yaml")
    build(storage, AUTO)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(rows(1.3, 1.2, 1.1)))
    options = Options(FolderStorage(storage), "s.yaml", packing=other)
    with (
        Journal.open(storage, "driver") as journal,
        Catalog.open(storage) as catalog,
        shared_cells(FolderStorage(storage), "driver", study.name, 0, catalog) as (shared, _),
    ):
        submission = Submission(study, options, journal, catalog, shared, tmp_path)
        submission.prepare(lambda *_: None, lambda _: None)
        cells = submission.driver(Event()).cells
        catalog.refresh()
        journalled = catalog.query(
            "SELECT config ->> '$.memory.rule' AS rule FROM recorded.cells"
        ).to_pylist()
    assert [run.work.cell.resources.gpus_per_worker for run in cells.values()] == [0.5] * 4
    assert all(row["rule"].startswith("2 side by side 1.30 x: tam tiny f8, other.json") for row in journalled)


def test_an_unusable_file_stops_a_run_before_anything_is_built(tmp_path: Path) -> None:
    storage, study = tmp_path / "storage", parse_study(AUTO, "s.yaml")
    with pytest.raises(RatesError, match=r"none\.json"):
        submit(
            study,
            Options(FolderStorage(storage), "s.yaml", packing=tmp_path / "none.json"),
            lambda *_: None,
            print,
        )
    assert not list(storage.rglob("datasets/*"))
