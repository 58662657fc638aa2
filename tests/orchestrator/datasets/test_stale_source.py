"""A dataset whose source has changed is built again, with keys that follow; what is away is no change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import BUILD_LOG_FILE, SOURCE_FILE, Layout
from orchestrator.datasets.build import Builder, build_missing
from orchestrator.datasets.built import dataset_states, manifest_path
from orchestrator.planning.changes import Known, KnownCell
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import DoneCell, State
from orchestrator.study.datasets import DatasetState
from orchestrator.study.load import load_study
from orchestrator.terminal.plan_page import dataset_line
from tests.damage.test_damage_table import WAYS
from trainables.data.datasets import DatasetError, SyntheticMotion
from trainables.data.frames.manifest import Manifest
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.build_log import write_source

LIST = ["path,label,split", "a1.mp4,x,train", "a2.mp4,x,train", "b1.mp4,x,train", "b2.mp4,y,train"]
LIST += ["a3.mp4,x,val", "b3.mp4,y,val"]
STUDY = """
name: s
axes: {module: [tsn], backbone: [tiny], frames: [8, 16], dataset: [d]}
datasets:
  d: {kind: csv, path: src/list.csv}
recipe: {base: {init: random, batch_size: 2, crop_size: 32, inherit: last}, starter: {epochs: 1}}
evaluation: {crop_size: 32, short_side: 36}
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return build_dataset(
        SyntheticMotion(train_per_class=2, val_per_class=1), "m", tmp_path_factory.mktemp("m")
    )


class Place:
    """A study beside its source, and a storage."""

    def __init__(self, root: Path, videos: Manifest) -> None:
        self.root, self.layout = root, Layout(root / "storage")
        self.src = root / "src"
        self.src.mkdir()
        for number, name in enumerate(("a1", "a2", "a3", "b1", "b2", "b3", "c1")):
            shutil.copy(videos.videos[number].path, self.src / f"{name}.mp4")
        self.write(*LIST)
        (root / "s.yaml").write_text(STUDY)
        self.study = load_study(root / "s.yaml")
        self.said: list[str] = []

    def write(self, *lines: str) -> None:
        (self.src / "list.csv").write_text("\n".join(lines))

    def state(self) -> DatasetState:
        return dataset_states(self.study, self.layout)["d"]

    def build(self) -> DatasetState:
        self.said.clear()
        builder = Builder(lambda *_: None, self.said.append)
        storage = FolderStorage(self.layout.root)
        return build_missing(self.study, dataset_states(self.study, self.layout), storage, builder)["d"]


@pytest.fixture
def place(tmp_path: Path, videos: Manifest) -> Place:
    one = Place(tmp_path, videos)
    assert one.build().built
    assert one.state().built
    return one


def test_a_mended_label_and_a_new_video(place: Place) -> None:
    before = place.state()
    place.write(*LIST[:3], "b1.mp4,y,train", *LIST[4:], "c1.mp4,y,train")
    state = place.state()
    assert (state.built, state.changed) == (False, "1 video added, 1 label changed")
    plan = make_plan(place.study, {"d": state})
    (missing,) = plan.totals.missing_datasets
    assert dataset_line(missing) == "dataset d: 1 video added, 1 label changed: 2 cells to run"
    assert plan.cells[0].reason == "dataset d is built again first: 1 video added, 1 label changed"
    after = place.build()
    assert place.said[0].startswith("dataset d: 1 video added, 1 label changed since it was built")
    assert after.train_hash not in (None, before.train_hash)
    assert after.val_hash == before.val_hash
    assert place.state() == after
    assert place.build() == after
    assert place.said == []


def test_a_class_and_a_split(place: Place) -> None:
    place.write(*LIST, "c1.mp4,z,train")
    assert place.state().changed == "1 video added"
    assert place.state().num_classes == 3
    place.write(*LIST[:2], "a2.mp4,x,val", *LIST[3:])
    assert place.state().changed == "1 split changed"
    place.write(*LIST[:2], *LIST[3:])
    assert place.state().changed == "1 video removed"


def test_a_replaced_video_and_one_that_was_only_touched(place: Place) -> None:
    before = place.state()
    os.utime(place.src / "a1.mp4", ns=(1, 1))
    assert place.state() == before
    shutil.copy(place.src / "c1.mp4", place.src / "a1.mp4")
    assert place.state().changed == "1 video replaced"
    assert place.build().train_hash != before.train_hash


def test_what_is_away_is_no_change(place: Place) -> None:
    before = place.state()
    place.src.rename(place.root / "away")
    assert place.state() == before
    place.src.mkdir()
    place.write(*LIST)
    (place.src / "list.csv").rename(place.root / "list.csv")
    assert place.state() == before


def test_a_storage_of_before_stays_as_it_is(place: Place) -> None:
    before = place.state()
    directory = manifest_path(place.study, "d", place.layout).parent
    (directory / SOURCE_FILE).unlink()
    log = directory / BUILD_LOG_FILE
    kept = [line for line in log.read_bytes().splitlines() if b'"key": "source"' not in line]
    log.write_bytes(b"\n".join(kept))
    place.write(*LIST[:3], "b1.mp4,y,train", *LIST[4:])
    assert place.state() == before


@pytest.mark.parametrize("how", WAYS)
def test_a_damaged_note_of_the_source_changes_nothing_and_hides_no_change(place: Place, how: str) -> None:
    before = place.state()
    note = manifest_path(place.study, "d", place.layout).parent / SOURCE_FILE
    other = note.parent.with_name("e-01234567") / SOURCE_FILE
    other.parent.mkdir()
    write_source({}, other)
    WAYS[how](note, other)
    assert place.state() == before and place.build() == before
    place.write(*LIST[:3], "b1.mp4,y,train", *LIST[4:], "c1.mp4,y,train")
    assert place.state().changed == "1 video added, 1 label changed"
    after = place.build()
    assert place.state() == after and after.train_hash != before.train_hash


def test_a_list_that_has_become_wrong_is_said(place: Place) -> None:
    place.write(*LIST, "c1.mp4,y, z,train")
    with pytest.raises(DatasetError, match="4 cells where the header has 3"):
        place.state()


def test_what_earlier_builds_have_read_tells_what_the_next_will_give(place: Place) -> None:
    first = place.state()
    place.write(*LIST, "c1.mp4,y,train")
    state = place.state()
    assert (state.train_hash, state.unsure) == (None, False), "nobody has read these contents yet"
    second = place.build()
    place.write(*LIST)
    os.utime(place.src / "a2.mp4", ns=(1, 1))
    (place.src / "b2.mp4").write_bytes((place.src / "b2.mp4").read_bytes())
    back = place.state()
    assert (back.built, back.changed) == (False, "1 video removed")
    assert (back.train_hash, back.val_hash) == (first.train_hash, first.val_hash)
    assert (back.train_videos, back.val_videos) == (4, 2)
    place.write(*LIST, "c1.mp4,x,train")
    relabelled = place.state().train_hash
    assert relabelled not in (None, first.train_hash, second.train_hash)
    assert place.build().train_hash == relabelled


def test_a_plan_promises_no_training_of_what_the_rebuilt_dataset_has(place: Place) -> None:
    keys = [one.key for one in make_plan(place.study, {"d": place.state()}).cells]
    done = {key: DoneCell(key) for key in keys}
    place.write(*LIST, "c1.mp4,y,train")
    assert {one.state for one in make_plan(place.study, {"d": place.state()}, done).cells} == {State.TO_RUN}
    place.build()
    place.write(*LIST)
    plan = make_plan(place.study, {"d": place.state()}, done)
    assert [one.key for one in plan.cells] == keys
    assert {one.reason for one in plan.cells} == {
        "trained before; dataset d is built again first: 1 video removed"
    }
    assert {one.state for one in plan.cells} == {State.DONE}
    (missing,) = plan.totals.missing_datasets
    assert dataset_line(missing) == "dataset d: 1 video removed: no cell is trained again"


def test_what_takes_long_to_read_is_left_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.ingest.checked.READ_AGAIN", 10)
    name = make_plan(place.study, {"d": place.state()}).cells[0].cell.name
    known = Known((KnownCell(name, "0" * 32, ("s",), "{}", 0.0),))
    place.write(*LIST, "c1.mp4,y,train")
    state = place.state()
    assert (state.train_hash, state.unsure) == (None, True)
    reasons = [one.reason for one in make_plan(place.study, {"d": state}, known=known).cells]
    first = "dataset d is built again first: 1 video added"
    assert reasons == [f"{first}; unless it then equals an earlier one", first]


def test_videos_that_were_moved_keep_their_keys_and_are_not_decoded(place: Place) -> None:
    before = place.state()
    place.src.rename(place.root / "moved")
    (place.root / "s.yaml").write_text(STUDY.replace("src/", "moved/"))
    place.study = load_study(place.root / "s.yaml")
    assert not place.state().built
    after = place.build()
    assert (after.train_hash, after.val_hash) == (before.train_hash, before.val_hash)
    old = Path(before.manifest or "").parent.name
    assert place.said[0] == f"dataset d: 6 videos are those of {old}: not decoded again"
    assert after.manifest != before.manifest and place.state() == after
