"""`actiongrid evaluate` up to the point where Ray starts, and what it does with what stands already."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import AttemptStarted, CheckpointRemoved, StudySubmitted
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.cli import main
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.evaluation.cells import CellChoiceError, VideoSets, choose_cells
from orchestrator.evaluation.driver import EvaluationDriver, Terms
from orchestrator.evaluation.jobs import (
    EvaluationError,
    EvaluationJob,
    Wanted,
    check_checkpoint,
    evaluation_identity,
    make_job,
    standing_result,
)
from orchestrator.scheduling.schedule import Free
from tests.support.finished_cell import CELL, KEY, append, planned
from trainables.data.frames.manifest import read_manifest, write_manifest
from trainables.recipe.cell_spec import CellSpec, Evaluation, ProtocolError, resolved_protocol
from trainables.training.evaluate_cell import measure, read_evaluation, result_path

VIEWS = ("--sampling", "dense", "--clips", "2", "--crops", "3")
WANTED = Wanted({"sampling": "dense", "clips": 2, "crops": 3})


@pytest.fixture(scope="module")
def spec(trained_cell: CellSpec) -> CellSpec:
    return trained_cell


@pytest.fixture
def storage(spec: CellSpec, tmp_path: Path) -> Path:
    """A copy of the trained storage, to be broken at will."""
    root = Path(spec.run_dir).parent.parent
    shutil.copytree(root, tmp_path / "storage")
    return tmp_path / "storage"


def job_of(storage: Path, wanted: Wanted = WANTED) -> EvaluationJob:
    with Catalog.open(storage) as catalog:
        (cell,) = choose_cells(catalog, CELL, None).cells
    layout = Layout(storage)
    return make_job(cell, wanted, FolderStorage(storage), VideoSets(layout))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def second_cell(storage: Path, name: str, key: str) -> None:
    """A planned cell that is not finished."""
    spec = job_of(storage).spec.cell.model_copy(update={"cell": name, "key": key})
    append(storage, planned(spec, "h"), AttemptStarted(key, 1, "driver-2", "h", "r"))


def test_what_is_not_given_is_the_cells_own(storage: Path) -> None:
    job = job_of(storage)
    assert job.spec.cell.evaluation == Evaluation(
        sampling="dense", clips=2, crops=3, crop_size=32, short_side=36, batch_size=4
    )
    assert (job.spec.which, job.spec.epoch, job.same_videos) == ("last", 1, True)
    assert job_of(storage, Wanted(workers=3)).resources.workers == 3
    assert job.spec.cell.frames_on_local_disk is None
    append(storage, StudySubmitted("toy", "s1", 1, "toy.yaml", {"frames_on_local_disk": "fast"}))
    assert job_of(storage).spec.cell.frames_on_local_disk == "fast"


def test_the_identity_names_everything_that_decides_the_numbers(storage: Path) -> None:
    wants = (
        WANTED,
        Wanted(),
        Wanted(WANTED.protocol, average="softmax"),
        Wanted(WANTED.protocol, checkpoint="best"),
        Wanted(WANTED.protocol, split="train"),
        Wanted({**WANTED.protocol, "sampling_rate": 3}),
    )
    assert len({job_of(storage, wanted).spec.identity for wanted in wants}) == len(wants)
    same = (
        Wanted({**WANTED.protocol, "batch_size": 9}),
        Wanted(WANTED.protocol, checkpoint="last"),
        Wanted(WANTED.protocol, workers=2, again=True),
    )
    assert {job_of(storage, wanted).spec.identity for wanted in same} == {job_of(storage).spec.identity}
    assert evaluation_identity("base", "logits", "last") != "base", "a training's own measure keeps its name"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"crops": 4}, "--crops should be 1, 3, 5 or 10"),
        ({"crop_size": 64}, "a crop of 64 pixels is larger than a shorter side of 36"),
        ({"short_side": 8}, "--short-side"),
    ],
)
def test_a_wrong_protocol_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        resolved_protocol(Evaluation(crop_size=32, short_side=36), given)


def test_cells_are_found_by_name_by_key_and_by_pattern(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        for text in (CELL, KEY[:6], "TAM-*@toy", "*"):
            assert [cell.key for cell in choose_cells(catalog, text, None).cells] == [KEY]
        assert choose_cells(catalog, CELL, "toy").cells[0].study == "toy"
        with pytest.raises(CellChoiceError, match=f"did you mean {CELL}"):
            choose_cells(catalog, "TAM-Tiny-f9@toy", None)
        with pytest.raises(CellChoiceError, match="in study other"):
            choose_cells(catalog, CELL, "other")
        with pytest.raises(CellChoiceError, match="no such cell; TSN-\\*"):
            choose_cells(catalog, "TSN-*", None)


def test_an_unfinished_cell_is_refused_and_left_out_of_a_pattern(storage: Path) -> None:
    second_cell(storage, "TSN-Tiny-f8@toy", "n" * 32)
    with Catalog.open(storage) as catalog:
        with pytest.raises(CellChoiceError, match="TSN-Tiny-f8@toy is running; run its study to the end"):
            choose_cells(catalog, "TSN-Tiny-f8@toy", None)
        choice = choose_cells(catalog, "*@toy", None)
    assert [cell.cell for cell in choice.cells] == [CELL] and choice.unfinished == ("TSN-Tiny-f8@toy",)


def test_one_name_of_several_finished_cells_asks_for_a_key(storage: Path) -> None:
    import dataclasses

    from catalog.queries.planner import done_cells

    with Catalog.open(storage) as catalog:
        finished = done_cells(catalog)[KEY]
    other = "m" * 32
    spec = job_of(storage).spec.cell.model_copy(update={"key": other})
    append(storage, planned(spec, "h", study="edited"), dataclasses.replace(finished, key=other, time=None))
    with Catalog.open(storage) as catalog:
        with pytest.raises(
            CellChoiceError, match=r"2 finished cells are meant; .*mmmmmmmmmmmm of study edited"
        ):
            choose_cells(catalog, CELL, None)
        assert choose_cells(catalog, CELL, "edited").cells[0].key == other
        assert choose_cells(catalog, "mmm", None).cells[0].key == other
    # An edited study's older plan does not make the name ambiguous.
    append(
        storage, StudySubmitted("edited", "s2", 0, "e.yaml", {}), StudySubmitted("edited", "s3", 0, "e", {})
    )
    with Catalog.open(storage) as catalog:
        assert choose_cells(catalog, CELL, None).cells[0].key == KEY


@pytest.mark.parametrize("report", ["last", "best"])
def test_the_checkpoint_that_the_study_reports_is_measured(storage: Path, report: str) -> None:
    append(storage, StudySubmitted("toy", "s9", 9, "toy.yaml", {"report": report}))
    assert job_of(storage).spec.which == report
    other: Any = "best" if report == "last" else "last"
    assert job_of(storage, Wanted(checkpoint=other)).spec.which == other


def test_both_checkpoints_are_two_measurements() -> None:
    asked = Wanted(WANTED.protocol, checkpoint="both").of_checkpoints()
    assert [one.checkpoint for one in asked] == ["last", "best"] and {str(one.protocol) for one in asked} == {
        str(WANTED.protocol)
    }
    assert WANTED.of_checkpoints() == (WANTED,)


def test_a_checkpoint_that_was_not_kept_is_said_so(storage: Path) -> None:
    assert job_of(storage).spec.which == "last"
    append(storage, CheckpointRemoved(KEY, 1, "best"))
    says = r"the last checkpoint of TAM-Tiny-f8@toy was not kept; epoch 1, .*--checkpoint best"
    with pytest.raises(EvaluationError, match=says):
        job_of(storage)


def test_files_that_are_gone_or_damaged_are_named(storage: Path) -> None:
    job = job_of(storage)
    check_checkpoint(job.spec)
    path = Path(job.spec.checkpoint)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(EvaluationError, match=r"is damaged .*epoch-0001\.pt; restore the file"):
        check_checkpoint(job.spec)
    path.unlink()
    with pytest.raises(EvaluationError, match="the last checkpoint of TAM-Tiny-f8@toy is gone"):
        check_checkpoint(job.spec)
    (job.run_dir / "result.json").unlink()
    with pytest.raises(EvaluationError, match=r"the result of .* is gone or damaged; .*result\.json"):
        job_of(storage)


def test_a_changed_or_missing_dataset_is_refused(storage: Path) -> None:
    path = storage / "datasets" / "toy-00000000" / "manifest.parquet"
    manifest = read_manifest(path)
    import dataclasses

    relabelled = [dataclasses.replace(video, label=0) for video in manifest.videos]
    write_manifest(dataclasses.replace(manifest, videos=tuple(relabelled)), path)
    with pytest.raises(EvaluationError, match="no manifest there has its training videos"):
        job_of(storage)
    path.write_bytes(b"torn")
    with pytest.raises(EvaluationError, match="not a readable manifest"):
        job_of(storage)
    shutil.rmtree(path.parent)
    with pytest.raises(EvaluationError, match="build it again as its study declares it"):
        job_of(storage)


def test_other_validation_videos_are_another_evaluation_and_said_so(storage: Path) -> None:
    import dataclasses

    path = storage / "datasets" / "toy-00000000" / "manifest.parquet"
    before = job_of(storage)
    manifest = read_manifest(path)
    write_manifest(dataclasses.replace(manifest, videos=manifest.videos[:-1]), path)
    after = job_of(storage)
    assert not after.same_videos and after.spec.identity != before.spec.identity


def test_what_stands_is_shown_and_journalled_without_ray(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a kill between the result and its event: it is taken in, and nothing is computed."""
    monkeypatch.setattr("orchestrator.ray_runtime.dispatch.ray_session", None)
    job = job_of(storage)
    result = measure(job.spec, rank=0, world=1, local_rank=0)
    assert result is not None
    arguments = ("evaluate", CELL, *VIEWS, "--storage", storage)
    assert run(monkeypatch, *arguments, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["computed"], row["top1"], row["level"], row["views"]) == (False, result.top1, "video", 6)
    assert row["training"]["level"] == "clip"
    journals = len(list((storage / "journal").iterdir()))
    assert run(monkeypatch, *arguments) == 0
    out = capsys.readouterr().out
    assert f"{CELL}: top-1 {result.top1:.2f} %" in out and "(measured before)" in out
    assert "in training: top-1" in out
    assert len(list((storage / "journal").iterdir())) == journals, "nothing new, nothing written"
    with Catalog.open(storage) as catalog:
        sql = "SELECT class, top1 FROM per_class_accuracy WHERE evaluation = ?"
        assert catalog.query(sql, [result.identity]).num_rows == 4
    assert run(monkeypatch, "explain", CELL, "--storage", storage) == 0
    assert f"video level: top-1 {result.top1:.2f} %" in capsys.readouterr().out


def test_a_result_of_another_checkpoint_does_not_count(storage: Path) -> None:
    spec = job_of(storage).spec
    path = result_path(Path(spec.cell.run_dir), spec.identity)
    assert measure(spec, rank=0, world=1, local_rank=0) is not None
    values = json.loads(path.read_text())
    values["spec"]["sha256"] = "0" * 64
    path.write_text(json.dumps(values))
    assert read_evaluation(Path(spec.cell.run_dir), spec.identity) is not None
    assert standing_result(job_of(storage)) is None


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("TAM-Tiny-f9@toy",), 2, "did you mean TAM-Tiny-f8@toy?"),
        ((CELL, "--crops", "4"), 2, "--crops should be 1, 3, 5 or 10"),
        ((CELL, "--sampling", "random"), 2, "'random' is not one of 'uniform', 'dense'"),
        (("nothing-*",), 2, "no such cell"),
    ],
)
def test_bad_input_is_one_line(
    storage: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    assert run(monkeypatch, "evaluate", *arguments, "--storage", storage) == code
    *phases, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and says in error
    assert all(re.match(r" +\d:\d\d  ", line) for line in phases), phases


def test_a_damaged_checkpoint_fails_before_ray_starts_and_stops_no_other_cell(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("orchestrator.ray_runtime.dispatch.ray_session", None)
    Path(job_of(storage).spec.checkpoint).write_bytes(b"torn")
    assert run(monkeypatch, "evaluate", CELL, "--storage", storage) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: the last checkpoint of {CELL} is damaged")
    assert run(monkeypatch, "evaluate", "*", "--json", "--storage", storage) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert "is damaged" in row["error"] and not row["computed"]


class Ended:
    """Takes what the driver tells of, and journals nothing."""

    def take_in(self, job: EvaluationJob) -> bool:
        return False

    def ended(self, job: EvaluationJob, error: str | None) -> None:
        pass


def test_each_evaluation_says_when_it_starts_and_ends(storage: Path) -> None:
    times = iter(range(0, 1000, 10))
    said: list[str] = []
    other = FolderStorage(storage)
    with Catalog.open(storage) as catalog, shared_cells(other, "w", "", 0, catalog) as (shared, _):
        driver = EvaluationDriver(
            [job_of(storage), job_of(storage, Wanted({"sampling": "dense", "clips": 3}))],
            shared,
            Ended(),
            Terms(storage / "train", local=True),
            threading.Event(),
            clock=lambda: float(next(times)),
            say=said.append,
        )
        first = driver.next_trial(Free(cpus=1))
        assert first is not None
        line = driver.progress_line(12.0)
        assert re.fullmatch(
            rf"0 of 2 measured, 1 running: {CELL} \(last checkpoint\) \d+ s; 12 s since Ray is up", line
        )
        driver.trial_ended(first, None)
        second = driver.next_trial(Free(cpus=1))
        assert second is not None
        driver.trial_ended(second, "RuntimeError: no")
    videos = len(job_of(storage).videos.manifest.split("val"))
    assert said[0] == f"started {CELL} (last checkpoint): {videos} videos, 6 views of each"
    assert said[2] == f"started {CELL} (last checkpoint): {videos} videos, 3 views of each"
    assert [re.sub(r"\d+ s", "N s", line) for line in said[1::2]] == [
        f"done    {CELL} (last checkpoint): N s with its start (1/2)",
        f"failed  {CELL} (last checkpoint): N s with its start (2/2)",
    ]
