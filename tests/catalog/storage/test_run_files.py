"""A cell's files and datasets between machines: what stands, what is fenced, what was damaged on its way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.storage.bucket import Bucket, BucketError
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import BUCKET_MARK, EPOCHS, SHARDS
from catalog.storage.mirror import Mirror
from catalog.storage.storage import FencedError, Storage
from orchestrator.datasets.build import Builder, build_declared, built_before
from orchestrator.datasets.built import declared_path, fetch_frames, verification_lines, verify_dataset
from orchestrator.running.attempt_files import RunReader, fetch_results
from tests.support.buckets import open_mirror, storage_in
from tests.support.s3_server import S3Server, Wire
from trainables.data.datasets import SPLITS
from trainables.data.datasets.synthetic import SyntheticMotion
from trainables.data.frames.check import shards_stand, verify
from trainables.data.frames.manifest import read_manifest
from trainables.data.frames.transfer import (
    DownloadError,
    fetch_dataset,
    fetch_manifests,
    frames_stand,
    publish_dataset,
)
from trainables.data.ingest.build import build_dataset
from trainables.recipe.cell_spec import CellSpec, Evaluation, ParentCheckpoint, Recipe, StorageAddress
from trainables.recipe.local_files import fetch_parent, fetch_records, fetch_run, localise_paths
from trainables.training.checkpoint import (
    is_intact,
    latest_intact,
    prune,
    records,
    remove,
    save_checkpoint,
    stored_epochs,
)
from trainables.training.result import read_history

RUN = Path("runs") / "TSN-Tiny-f8_toy-0123456789ab"


def write_epochs(storage: Storage, run_dir: Path, epochs: int) -> None:
    import torch

    run_dir.mkdir(parents=True, exist_ok=True)
    history: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        history.append({"epoch": epoch, "top1": float(epoch)})
        predictions = run_dir / f"epoch-{epoch:04d}.parquet"
        predictions.write_text(f"predictions of {epoch}")
        storage.publish(predictions)
        save_checkpoint(storage, run_dir, {"model": {"w": torch.full((3,), epoch)}}, predictions, history)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("epoch", "result")))


def in_bucket(mirror: Mirror, folder: Path) -> list[str]:
    return [one.name.rpartition("/")[2] for one in mirror.bucket.below(folder.as_posix())]


def test_a_cell_goes_on_from_where_another_machine_left_it(mirror: Mirror, elsewhere: Mirror) -> None:
    here, there = mirror.root / RUN, elsewhere.root / RUN
    one, two = storage_in(mirror), storage_in(elsewhere)
    write_epochs(one, here, 3)
    prune(here, {2, 3})
    one.remove_missing(here, EPOCHS)
    assert names(here) == in_bucket(mirror, RUN)
    fetch_records(two, there)
    assert [row["epoch"] for row in read_history(there)] == [1, 2, 3]
    assert names(there) == ["epoch-0002.json", "epoch-0003.json"], "no weights only to see how far it is"
    fetch_run(two, there)
    newest = latest_intact(there)
    assert newest is not None and newest.epoch == 3 and newest.path.startswith(str(elsewhere.root))
    assert all(is_intact(record) for record in records(there))
    remove(one, here, [2])
    assert stored_epochs(one, here) == {3}
    assert "epoch-0002.pt" not in in_bucket(mirror, RUN)
    assert "epoch-0002.parquet" in in_bucket(mirror, RUN), "what it predicted stays"


def test_no_epoch_stands_that_the_bucket_does_not_have(
    s3: S3Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        mirror = open_mirror(f"{url}/away")
        storage, run_dir = storage_in(mirror), mirror.root / RUN
        write_epochs(storage, run_dir, 1)
        wire.cut()
        with pytest.raises(BucketError):
            write_epochs(storage, run_dir, 2)
        assert [row["epoch"] for row in read_history(run_dir)] == [1]
        with pytest.raises(BucketError):
            storage.write(run_dir / "result.json", b"{}")
        assert not (run_dir / "result.json").exists(), "a driver here would believe it"
        wire.mend()
        write_epochs(storage, run_dir, 2)
        assert len(read_history(run_dir)) == 2


def test_a_fence_holds_on_all_machines(mirror: Mirror, elsewhere: Mirror) -> None:
    here, there = mirror.root / RUN, elsewhere.root / RUN
    one, two = storage_in(mirror), storage_in(elsewhere)
    one.raise_fence(here, 1)
    two.require_fence(there, 1)
    two.raise_fence(there, 2)
    assert one.read_fence(here) == 2
    with pytest.raises(FencedError, match="attempt 2 of another driver"):
        one.require_fence(here, 1)


def test_a_driver_elsewhere_sees_results_and_history(mirror: Mirror, elsewhere: Mirror) -> None:
    one = storage_in(mirror)
    write_epochs(one, mirror.root / RUN, 2)
    (mirror.root / RUN / "result.json").write_text("{}")
    one.publish(mirror.root / RUN / "result.json")
    fetch_results(storage_in(elsewhere))
    assert names(elsewhere.root / RUN) == ["result.json"]
    now = [0.0]
    reader = RunReader(storage_in(elsewhere), together=False, clock=lambda: now[0])
    request: Any = type("Request", (), {"cell": "TSN-Tiny-f8@toy", "key": "0123456789ab"})()
    assert len(reader.history(request)) == 2
    write_epochs(storage_in(mirror), mirror.root / RUN, 3)
    assert len(reader.history(request)) == 2, "looks every few seconds"
    now[0] = 10.0
    assert len(reader.history(request)) == 3
    write_epochs(storage_in(mirror), mirror.root / RUN, 4)
    assert reader.result(request) is None
    assert len(reader.history(request)) == 4, "at the end of an attempt nothing is missing"
    together = RunReader(storage_in(elsewhere), together=True, clock=lambda: now[0])
    write_epochs(storage_in(mirror), mirror.root / RUN, 5)
    now[0] = 20.0
    assert len(together.history(request)) == 4, "what is not written on this machine does not come"


def test_a_parents_checkpoint_that_was_damaged_on_its_way_comes_again(
    mirror: Mirror, elsewhere: Mirror
) -> None:
    write_epochs(storage_in(mirror), mirror.root / RUN, 1)
    there = elsewhere.root / RUN
    record = records(mirror.root / RUN)[0]
    parent = ParentCheckpoint(
        key="0123456789ab",
        cell="TSN-Tiny-f8@toy",
        path=str(there / "epoch-0001.pt"),
        sha256=record.sha256,
        frames=8,
        epoch=1,
        evaluation=Evaluation(),
        predictions_path=str(there / "epoch-0001.parquet"),
        recheck_videos=0,
    )
    fetch_parent(storage_in(elsewhere), parent)
    assert is_intact(replace(record, path=parent.path))
    Path(parent.path).write_bytes(b"half of it")
    fetch_parent(storage_in(elsewhere), parent)
    assert is_intact(replace(record, path=parent.path))


def test_a_worker_finds_its_files_in_its_own_mirror(
    url: str, elsewhere: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = CellSpec(
        cell="TSN-Tiny-f8@toy",
        key="k",
        module="tsn",
        backbone="tiny",
        temporal_pooling=False,
        frames=8,
        dataset="toy",
        seed=0,
        num_classes=4,
        recipe=Recipe(),
        evaluation=Evaluation(),
        manifest="/driver/mirror/datasets/toy/manifest.parquet",
        run_dir=f"/driver/mirror/{RUN}",
        frames_on_local_disk="/scratch",
    )
    assert localise_paths(spec) == spec, "one storage for all machines"
    spec = spec.model_copy(update={"storage": StorageAddress(url=url, root="/driver/mirror")})
    monkeypatch.setenv("ACTIONGRID_CACHE", str(tmp_path / "elsewhere"))
    moved = localise_paths(spec)
    assert moved.run_dir == str(elsewhere.root / RUN)
    assert moved.manifest == str(elsewhere.root / "datasets/toy/manifest.parquet")
    assert moved.frames_on_local_disk is None
    assert (elsewhere.root / BUCKET_MARK).exists()


@pytest.fixture
def dataset(mirror: Mirror) -> Path:
    directory = mirror.root / "datasets" / "toy-01234567"
    config = SyntheticMotion(train_per_class=2, val_per_class=1)
    build_dataset(config, "toy", directory)
    publish_dataset(storage_in(mirror), directory)
    return directory


def test_a_dataset_comes_to_who_trains_on_it(dataset: Path, mirror: Mirror, elsewhere: Mirror) -> None:
    two = storage_in(elsewhere)
    fetch_manifests(two)
    there = elsewhere.root / "datasets" / dataset.name
    assert sorted(path.name for path in there.iterdir() if path.name[0] != ".") == [
        "build.jsonl",
        "manifest.parquet",
    ]
    manifest = read_manifest(there / "manifest.parquet")
    assert frames_stand(two, manifest, there) is True and not shards_stand(manifest, there)
    fetch_dataset(two, there / "manifest.parquet")
    assert shards_stand(manifest, there)
    for shard in manifest.shards:
        assert (there / SHARDS / shard.name).read_bytes() == (dataset / SHARDS / shard.name).read_bytes()
    mirror.bucket.remove([mirror.name(dataset / SHARDS / manifest.shards[0].name)])
    assert frames_stand(two, manifest, there) is False
    publish_dataset(storage_in(mirror), dataset)
    assert frames_stand(two, manifest, there) is True, "only what is missing goes up again"


def test_frames_that_are_damaged_in_the_bucket_are_refused(
    dataset: Path, mirror: Mirror, elsewhere: Mirror
) -> None:
    there = elsewhere.root / "datasets" / dataset.name
    shard = read_manifest(dataset / "manifest.parquet").shards[0].name
    mirror.bucket.put(mirror.name(dataset / SHARDS / shard), b"x" * (dataset / SHARDS / shard).stat().st_size)
    with pytest.raises(DownloadError, match=rf"differs from its checksum; s3://.*{shard}"):
        fetch_dataset(storage_in(elsewhere), there / "manifest.parquet")
    assert not (there / SHARDS / shard).exists()


def test_frames_that_are_damaged_in_the_bucket_are_told_by_verify_and_mended_by_build(
    dataset: Path, mirror: Mirror, elsewhere: Mirror
) -> None:
    here, two = storage_in(mirror), storage_in(elsewhere)
    shard = read_manifest(dataset / "manifest.parquet").shards[0].name
    whole = (dataset / SHARDS / shard).read_bytes()
    mirror.bucket.put(mirror.name(dataset / SHARDS / shard), b"x" * len(whole))
    (dataset / SHARDS / shard).unlink()
    fetch_manifests(here)
    fetch_frames(here, "toy")
    manifest = read_manifest(dataset / "manifest.parquet")
    row = verify_dataset(dataset / "manifest.parquet", manifest, lambda *_: None)
    assert [Path(one["path"]).name for one in row["problems"]] == [shard]
    assert verification_lines(row)[-1].endswith(f"actiongrid data build toy --storage {mirror.bucket.url}")
    assert not frames_stand(here, manifest, dataset)
    (config,) = built_before("toy", here.layout)
    directory = declared_path(config, "toy", here.layout).parent
    dataset.rename(directory)  # where the declaration says, as the command's own builds lie
    publish_dataset(here, directory)
    mirror.bucket.put(mirror.name(directory / SHARDS / shard), b"x" * len(whole))
    time.sleep(2)  # a bucket's times are whole seconds: what is built within the same one looks published
    build_declared(config, "toy", here, Builder(lambda *_: None, lambda _: None))
    assert mirror.bucket.read(mirror.name(directory / SHARDS / shard)) == whole
    assert frames_stand(here, manifest, directory)
    far = elsewhere.root / "datasets" / directory.name
    fetch_manifests(two)
    fetch_dataset(two, far / "manifest.parquet")
    assert (far / SHARDS / shard).read_bytes() == whole


@pytest.mark.parametrize("damaged", [False, True])
def test_frames_of_an_earlier_build_come_from_the_bucket_and_are_not_decoded_again(
    damaged: bool, dataset: Path, mirror: Mirror, elsewhere: Mirror
) -> None:
    shard = read_manifest(dataset / "manifest.parquet").shards[0]
    if damaged:
        mirror.bucket.put(mirror.name(dataset / SHARDS / shard.name), b"x" * shard.bytes)
    two, said = storage_in(elsewhere), list[str]()
    fetch_manifests(two)
    more = SyntheticMotion(train_per_class=2, val_per_class=2)
    manifest = build_declared(more, "toy", two, Builder(lambda *_: None, said.append))
    assert len(manifest.videos) == 16
    taken, decoded = (11, 5) if damaged else (12, 4)
    assert said[0] == (
        f"dataset toy: {taken} videos are those of {dataset.name}: not decoded again; {decoded} are decoded"
    )
    directory = declared_path(more, "toy", two.layout).parent
    assert all(one.problem is None for one in verify(manifest, directory, 1))
    assert frames_stand(two, manifest, directory)
    assert (elsewhere.root / "datasets" / dataset.name / SHARDS / shard.name).exists() is not damaged


@pytest.mark.parametrize("who", ["another machine", "the machine that built it"])
def test_a_damaged_manifest_and_damaged_frames_in_the_bucket_are_mended_by_build(
    who: str, dataset: Path, mirror: Mirror, elsewhere: Mirror
) -> None:
    here, two = storage_in(mirror), storage_in(elsewhere)
    whole = read_manifest(dataset / "manifest.parquet")
    (config,) = built_before("toy", here.layout)
    directory = declared_path(config, "toy", here.layout).parent
    dataset.rename(directory)
    publish_dataset(here, directory)
    shard = mirror.name(directory / SHARDS / whole.shards[0].name)
    content = mirror.bucket.read(shard) or b""
    mirror.bucket.put(shard, b"x" * len(content))
    mirror.bucket.put(mirror.name(directory / "manifest.parquet"), b"no manifest")
    time.sleep(2)  # a bucket's times are whole seconds
    storage = two if who == "another machine" else here
    fetch_manifests(storage)
    manifest = build_declared(config, "toy", storage, Builder(lambda *_: None, lambda _: None))
    assert [manifest.hash(split) for split in SPLITS] == [whole.hash(split) for split in SPLITS]
    assert mirror.bucket.read(shard) == content
    fetch_manifests(two)
    far = elsewhere.root / "datasets" / directory.name
    fetch_dataset(two, far / "manifest.parquet")
    assert shards_stand(read_manifest(far / "manifest.parquet"), far)


def test_nothing_of_this_happens_on_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Bucket, url: str) -> None:
        raise AssertionError("asked a bucket")

    monkeypatch.setattr(Bucket, "__init__", refuse)
    storage, run_dir = FolderStorage(tmp_path), tmp_path / RUN
    write_epochs(storage, run_dir, 2)
    prune(run_dir, {2})
    actions: list[Callable[[], object]] = [
        lambda: storage.remove_missing(run_dir, EPOCHS),
        lambda: fetch_run(storage, run_dir),
        lambda: fetch_records(storage, run_dir),
        lambda: storage.raise_fence(run_dir, 1),
        lambda: fetch_results(storage),
    ]
    for action in actions:
        action()
    assert names(run_dir) == ["epoch-0002.json", "epoch-0002.parquet", "epoch-0002.pt"]
