"""Predictions in SQL: loaded from Parquet when a query asks for them, each file once."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import Catalog, predictions
from catalog.definitions import tables_read
from catalog.events import CellEvaluated, CellFinished, CellPlanned, DatasetBuilt, Event
from catalog.journal import Journal
from catalog.maintenance import check
from dashboards.figures.class_accuracy import class_accuracy_data
from dashboards.statistics import accuracy_interval
from tests.support.grid_events import DEMO, HARDWARE, VERSIONS, grid_events, key_of, write_quickly
from tests.support.prediction_storage import make_storage

CELL = "TAM-Tiny-f8@synthetic-motion"
KEY = key_of("demo", "tam", "tiny", False, "synthetic-motion", 0, 8)
CLASSES = ["fall", "hop", "rise", "slide"]
# label, then the classes by score: three of six right, five of six among the first two
RANKED = [(0, [0, 1]), (0, [0, 2]), (0, [1, 0]), (1, [3, 1]), (1, [1, 0]), (3, [2, 1])]


def parquet(path: Path, ranked: list[tuple[int, list[int]]] = RANKED, **extra: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = {
        "index": list(range(len(ranked))),
        "label": [label for label, _ in ranked],
        "top": pa.array([top for _, top in ranked], pa.list_(pa.int64())),
        "loss": [0.5] * len(ranked),
    }
    pq.write_table(pa.table(rows | extra), path)
    return str(path)


def evaluated(predictions: str, evaluation: str = "e" * 32, **changes: Any) -> CellEvaluated:
    event = CellEvaluated(
        key=KEY,
        evaluation=evaluation,
        checkpoint="best",
        epoch=2,
        checkpoint_sha256="0" * 64,
        sampling="dense",
        sampling_rate=2,
        clips=2,
        crops=3,
        crop_size=32,
        short_side=36,
        average="logits",
        split="val",
        videos_hash="v" * 64,
        top1=50.0,
        top5=83.3,
        loss=0.5,
        videos=6,
        views=6,
        seconds=1.5,
        predictions=predictions,
        versions=VERSIONS,
        hardware=HARDWARE,
    )
    return dataclasses.replace(event, **changes)


def built(train_hash: str = "abc", classes: list[str] = CLASSES, **changes: Any) -> DatasetBuilt:
    event = DatasetBuilt(
        dataset="synthetic-motion",
        manifest="datasets/m/manifest.parquet",
        train_hash=train_hash,
        val_hash="v" * 64,
        classes=classes,
        videos={"train": 8, "val": 6},
        frames=448,
        frame_format="f",
        quarantined=0,
    )
    return dataclasses.replace(event, **changes)


def with_predictions(storage: Path, cells: dict[str, list[tuple[int, list[int]]]]) -> list[Event]:
    """The demo's events; the named cells' predictions are real files, the others' are none."""
    names: dict[str, str] = {}

    def with_files(event: Event) -> Event:
        if isinstance(event, CellPlanned):
            names[event.key] = event.cell
            return dataclasses.replace(event, key_parts={"data": {"train": "abc"}})
        if isinstance(event, CellFinished):
            ranked = cells.get(names[event.key])
            path = storage / "runs" / event.key[:12] / "epoch-0003.parquet"
            return dataclasses.replace(event, predictions=ranked and parquet(path, ranked))
        return event

    return [with_files(event) for event in grid_events(DEMO)]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    events = [*with_predictions(tmp_path, {CELL: RANKED}), built(time=1.0)]
    write_quickly(tmp_path, iter(events))
    return tmp_path


def rows(catalog: Catalog, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = catalog.query(sql).to_pylist()
    return found


def test_predictions_of_a_training_have_a_row_a_video(storage: Path) -> None:
    found = rows(Catalog.open(storage), "FROM predictions ORDER BY index")
    assert len(found) == 6
    assert found[3] == {
        "cell": CELL,
        "key": KEY,
        "evaluation": "training:last",
        "checkpoint": "last",
        "split": "val",
        "index": 3,
        "video": None,
        "label": 1,
        "class": "hop",
        "predicted": 3,
        "predicted_class": "slide",
        "correct": False,
        "top": [3, 1],
        "scores": None,
        "loss": 0.5,
    }


def test_accuracy_by_class_and_confusion_are_counted(storage: Path) -> None:
    catalog = Catalog.open(storage)
    by_class = rows(catalog, "SELECT class, videos, top1, top5 FROM per_class_accuracy ORDER BY label")
    assert by_class == [
        {"class": "fall", "videos": 3, "top1": pytest.approx(200 / 3), "top5": 100.0},
        {"class": "hop", "videos": 2, "top1": 50.0, "top5": 100.0},
        {"class": "slide", "videos": 1, "top1": 0.0, "top5": 0.0},
    ]
    sql = "SELECT class, predicted_class, videos FROM confusion WHERE cell = ? ORDER BY label, predicted"
    confusion = [tuple(row.values()) for row in catalog.query(sql, [CELL]).to_pylist()]
    assert confusion == [
        ("fall", "fall", 2),
        ("fall", "hop", 1),
        ("hop", "hop", 1),
        ("hop", "slide", 1),
        ("slide", "rise", 1),
    ]


def test_accuracy_by_class_has_the_interval_that_pages_show(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        catalog.query("FROM predictions")  # the files are loaded before intervals are asked for
        named = ["class", "correct", "top1", "videos", "top1_low", "top1_high"]
        found = rows(catalog, f"SELECT {', '.join(named)} FROM per_class_accuracy ORDER BY label")
        assert [(row["class"], row["correct"]) for row in found] == [("fall", 2), ("hop", 1), ("slide", 0)]
        for row in found:
            ends = accuracy_interval(row["top1"], row["videos"])
            assert (row["top1_low"], row["top1_high"]) == pytest.approx((ends.low, ends.high), abs=1e-9)
        shown = class_accuracy_data(catalog, KEY).sort_by("label").to_pylist()
        assert [{name: row[name] for name in named} for row in shown] == found


def test_class_names_are_those_of_the_videos_that_the_cell_was_trained_on(storage: Path) -> None:
    write_quickly(storage, iter([built("other", ["a", "b", "c", "d"], time=3e9)]), "driver-2")
    catalog = Catalog.open(storage)
    assert rows(catalog, "SELECT name FROM classes ORDER BY label")[0] == {"name": "a"}
    assert rows(catalog, "SELECT DISTINCT class FROM confusion WHERE label = 0") == [{"class": "fall"}]


def test_an_evaluation_stands_beside_the_trainings_own_measure(storage: Path) -> None:
    path = parquet(
        storage / "runs" / "x" / "evaluations" / "e.parquet",
        video=[f"{number}.mp4" for number in range(6)],
        scores=pa.array([[3.0, 1.5]] * 6, pa.list_(pa.float32())),
        view_top=pa.array([[0, 1]] * 6, pa.list_(pa.int32())),
        view_scores=pa.array([[2.5, 0.5]] * 6, pa.list_(pa.float32())),
    )
    write_quickly(storage, iter([evaluated(path, time=2e9)]), "evaluate-1")
    catalog = Catalog.open(storage)
    sql = "SELECT level, measured_by, checkpoint, views, videos FROM evaluations WHERE cell = ? ORDER BY ALL"
    assert [tuple(row.values()) for row in catalog.query(sql, [CELL]).to_pylist()] == [
        ("clip", "training", "best", None, 101),
        ("clip", "training", "last", None, 101),
        ("video", "evaluate", "best", 6, 6),
    ]
    (row,) = rows(catalog, f"SELECT * FROM predictions WHERE evaluation = '{'e' * 32}' AND index = 4")
    assert row["video"] == "4.mp4" and row["scores"] == [3.0, 1.5]
    views = rows(catalog, "SELECT view, predicted, score FROM view_predictions WHERE index = 4 ORDER BY view")
    assert views == [{"view": 0, "predicted": 0, "score": 2.5}, {"view": 1, "predicted": 1, "score": 0.5}]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been read, in their order."""
    found: list[Path] = []
    original = predictions.read_rows

    def counting(path: Path, *others: Any) -> pa.Table | None:
        found.append(path)
        return original(path, *others)

    monkeypatch.setattr(predictions, "read_rows", counting)
    return found


def test_each_file_is_read_once_and_again_when_it_is_measured_again(storage: Path, read: list[Path]) -> None:
    catalog = Catalog.open(storage)
    catalog.query("SELECT predictions FROM results")
    catalog.query("SELECT predictions AS confusion FROM results")
    assert read == [], "a column's name is no reason to load"
    path = storage / "runs" / "x" / "e.parquet"
    write_quickly(storage, iter([evaluated(parquet(path), time=2e9)]), "evaluate-1")
    for _ in range(2):
        catalog.query("FROM predictions")
        catalog.query("SELECT * FROM (SELECT key FROM confusion JOIN predictions USING (key))")
    assert len(read) == 1
    catalog.refresh()
    assert catalog.query("FROM predictions").num_rows == 12 and len(read) == 2
    parquet(path, RANKED[:2])
    write_quickly(storage, iter([evaluated(str(path), time=3e9)]), "evaluate-2")
    catalog.refresh()
    assert catalog.query("FROM predictions").num_rows == 8 and len(read) == 3


def test_a_question_about_some_cells_reads_their_files_alone(
    tmp_path: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_storage(tmp_path / "storage")
    with Catalog.open(folder) as whole, Catalog.open(folder) as catalog:
        everything = whole.query("FROM predictions ORDER BY ALL").to_pylist()
        keys = sorted({row["key"] for row in everything})
        files = len(read)
        assert len(keys) > 2 and files >= len(keys)
        for wanted in (keys[:1], keys[1:3]):
            read.clear()
            rows = catalog.query("FROM predictions ORDER BY ALL", keys=wanted).to_pylist()
            there = [row for row in rows if row["key"] in wanted]
            assert there == [row for row in everything if row["key"] in wanted]
            assert 0 < len(read) < files
            with monkeypatch.context() as patch:
                patch.setattr(predictions, "_files", None)  # what is loaded is not even looked for again
                assert catalog.query("SELECT count(*) AS n FROM predictions", keys=wanted).num_rows == 1
        # Nothing is thought to be complete because a part was asked for.
        assert catalog.query("FROM predictions ORDER BY ALL").to_pylist() == everything
    for path in folder.rglob("*.parquet"):
        path.unlink()
    caplog.clear()
    monkeypatch.setattr(predictions, "_MOST_NAMED", 2)
    with caplog.at_level(logging.WARNING), Catalog.open(folder) as catalog:
        assert catalog.query("FROM predictions").num_rows == 0
        assert len(catalog.faults) == 4
    assert len(caplog.records) == 3, "of a storage that was copied without its runs not a line a file"
    assert "names them" in caplog.records[-1].message


def test_a_missing_or_damaged_file_is_a_fault_and_no_error(
    storage: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (storage / "bad.parquet").write_text("no parquet")
    bad = evaluated(str(storage / "bad.parquet"), "b" * 32, time=2e9)
    gone = evaluated(str(storage / "gone.parquet"), time=2e9)
    write_quickly(storage, iter([bad, gone]), "evaluate-1")
    catalog = Catalog.open(storage)
    assert catalog.faults == ()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert catalog.query("FROM predictions").num_rows == 6
    assert sorted(fault.reason.split(";")[1].strip() for fault in catalog.faults) == [
        str(storage / "bad.parquet"),
        str(storage / "gone.parquet"),
    ]
    assert {fault.kind for fault in catalog.faults} == {"missing"} and len(caplog.records) == 2
    parquet(storage / "gone.parquet")
    assert catalog.query("FROM predictions").num_rows == 12 and len(catalog.faults) == 1


def with_manifest(storage: Path, folder: str, labels: list[int]) -> str:
    """A dataset's manifest as the ones that are built: six videos of training and the labelled ones."""
    path = storage / "datasets" / folder / "manifest.parquet"
    path.parent.mkdir(parents=True)
    rows = {
        "path": [
            *(f"train/{place}.mp4" for place in range(6)),
            *(f"val/{place}.mp4" for place in range(len(labels))),
        ],
        "label": [*(0 for _ in range(6)), *labels],
        "split": [*("train" for _ in range(6)), *("val" for _ in labels)],
    }
    pq.write_table(pa.table(rows), path)
    return str(path)


def videos(storage: Path) -> list[str | None]:
    with Catalog.open(storage) as catalog:
        return catalog.query("FROM predictions ORDER BY index").column("video").to_pylist()


def test_videos_of_older_files_are_found_in_the_manifest(storage: Path) -> None:
    """Files of training that older versions wrote do not name their videos."""
    labels = [label for label, _ in RANKED]
    manifest = with_manifest(storage, "motion-1", labels)
    write_quickly(storage, iter([built(manifest=manifest, time=2.0)]), "build-1")
    own = [str(Path(manifest).parent / f"val/{place}.mp4") for place in range(6)]
    assert videos(storage) == own
    other = with_manifest(storage, "motion-2", [1 - label for label in labels if label < 2])
    write_quickly(storage, iter([built(manifest=other, val_hash="w" * 64, time=3.0)]), "build-2")
    assert videos(storage) == own, "the other one has other labels"
    alike = with_manifest(storage, "motion-3", labels)
    write_quickly(storage, iter([built(manifest=alike, val_hash="x" * 64, time=3.0)]), "build-3")
    assert videos(storage) == [None] * 6, "nobody can tell which of the two"


def test_videos_follow_a_moved_storage(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    manifest = with_manifest(storage, "motion-1", [label for label, _ in RANKED])
    write_quickly(storage, iter([built(manifest=manifest, time=2.0)]), "build-1")
    moved = tmp_path_factory.mktemp("moved") / "storage"
    storage.rename(moved)
    assert videos(moved)[0] == str(moved / "datasets" / "motion-1" / "val" / "0.mp4")


def test_predictions_follow_a_moved_storage(storage: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "storage"
    storage.rename(moved)
    assert Catalog.open(moved).query("FROM predictions").num_rows == 6


def test_a_copy_is_never_read_as_its_original(
    storage: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "storage"
    shutil.copytree(storage, copy)
    for file in copy.glob("runs/**/*.parquet"):
        file.unlink()
    with Catalog.open(copy) as catalog:
        assert catalog.query("FROM predictions").num_rows == 0
        (fault,) = catalog.faults
    assert f"; {copy}/runs/" in fault.reason, "the file that is missing is the copy's"
    assert Catalog.open(storage).query("FROM predictions").num_rows == 6


def test_a_snapshot_holds_no_predictions_and_agrees_with_the_journals(storage: Path) -> None:
    catalog = Catalog.open(storage)
    catalog.query("FROM predictions")
    snapshot = catalog.snapshot()
    assert check(storage).ok
    with duckdb.connect(str(snapshot), read_only=True) as file:
        for view in ("predictions", "confusion", "per_class_accuracy", "view_predictions", "predictions_all"):
            for question in (
                f"FROM {view}",
                f"SELECT count(*) FROM {view}",
                f"SELECT 1 WHERE EXISTS (FROM {view})",
            ):
                with pytest.raises(duckdb.Error, match="holds no predictions"):
                    file.execute(question).fetchall()
        assert len(file.execute("DESCRIBE predictions").fetchall()) > 10
    with Journal.open(storage, "evaluate-1") as journal:
        journal.append(evaluated("x.parquet"))
    assert check(storage).tables["evaluations"].only_in_journal == 1


BOTH = {"predictions", "view_predictions"}


@pytest.mark.parametrize(
    ("sql", "needed"),
    [
        ("FROM predictions", {"predictions"}),
        ('SELECT 1 FROM main."Predictions"', {"predictions"}),
        ("FROM MEMORY.MAIN.PREDICTIONS", {"predictions"}),
        ("SELECT p.correct FROM predictions p JOIN results r ON p.key = r.key", {"predictions"}),
        ("SUMMARIZE confusion", {"predictions"}),
        ("FROM loaded.predictions", {"predictions"}),
        ("SELECT * FROM query_table('per_class_accuracy')", {"predictions"}),
        ("SELECT * FROM query_table('per_class' || '_accuracy')", {"predictions"}),
        ("FROM query('FROM confusion')", {"predictions"}),
        ("PIVOT confusion ON predicted USING sum(videos)", {"predictions"}),
        ("FROM view_predictions", {"view_predictions"}),
        ("FROM predictions, view_predictions", BOTH),
        ("WITH x AS (FROM predictions JOIN view_predictions USING (key)) SELECT count(*) FROM x", BOTH),
        ("WITH predictions AS (FROM view_predictions) FROM predictions", {"view_predictions"}),
        ("WITH predictions AS (SELECT 1 AS key) FROM predictions", set()),
        ("WITH unused AS (FROM predictions) FROM results", set()),
        ("SELECT count(*) FROM results WHERE false AND EXISTS (FROM predictions)", {"predictions"}),
        ("DESCRIBE predictions", set()),
        ("SELECT predictions FROM results", set()),
        ("SELECT 'confusion' AS what FROM results", set()),
        ("FROM results", set()),
        ("FROM evaluations", set()),
    ],
)
def test_only_queries_that_need_predictions_load_them(tmp_path: Path, sql: str, needed: set[str]) -> None:
    with Catalog(tmp_path) as catalog:
        bound = catalog._bound.of(sql)
        assert bound is not None
        assert {name for name in BOTH if f"loaded.{name}" in bound} == needed


def test_what_reads_a_view_is_found_by_its_statement() -> None:
    texts = [
        "-- FROM loaded.predictions\nCREATE VIEW a AS SELECT predictions FROM results;",
        "CREATE VIEW b AS FROM loaded.predictions;",
        "CREATE MACRO c(x) AS TABLE SELECT * FROM a\nJOIN b USING (k), loaded.view_predictions;",
        "CREATE VIEW d AS FROM loaded.view_predictions JOIN b USING (file);",
    ]
    assert tables_read(texts) == {
        "a": set(),
        "b": {"loaded.predictions"},
        "c": {"loaded.predictions"},
        "d": {"loaded.predictions", "loaded.view_predictions"},
    }
