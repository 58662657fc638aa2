"""What every form of storage keeps (the docstring of `Storage`): each test runs over all of them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from catalog import JournalError, Tail
from catalog.events import AttemptEnded
from catalog.journal import open_journal
from catalog.storage import bucket_storage
from catalog.storage.journal_segments import SegmentError
from catalog.storage.layout import EPOCHS, FENCE_FILE, MANIFEST_FILE, epoch_file
from catalog.storage.storage import FencedError, Storage
from tests.contract.conftest import Machine
from tests.support.paths import ROOT
from tests.support.storage_writer import BYTES, path_in
from trainables.data.datasets.synthetic import SyntheticMotion
from trainables.data.frames.check import shards_stand
from trainables.data.frames.manifest import read_manifest
from trainables.data.frames.transfer import fetch_dataset, fetch_manifests, frames_stand, publish_dataset
from trainables.data.ingest.build import build_dataset

CELL, KEY = "TSN-Tiny-f8@toy", "0123456789abcdef"


def run_dir(storage: Storage) -> Path:
    return storage.layout.run_dir(CELL, KEY)


def event(number: int) -> AttemptEnded:
    return AttemptEnded("k" * 32, number, "failed")


def numbers(storage: Storage) -> list[int]:
    storage.refresh_journals()
    return [one.attempt for one in Tail(storage.root).poll() if isinstance(one, AttemptEnded)]


def start_writer(how: str, storage: Storage) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.storage_writer", how, storage.location]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ACTIONGRID_CACHE": str(storage.root.parent)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


# Files


def test_what_is_written_on_one_machine_is_had_on_another(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    path, far = run_dir(one) / "result.json", run_dir(two) / "result.json"
    assert one.read(path) is None
    for content in (b"first", b"second, and longer"):
        one.write(path, content)
        assert path.read_bytes() == one.read(path) == two.read(far) == content
        two.fetch(far.parent, lambda name: name == far.name)
        assert far.read_bytes() == content
    (path.parent / "more.log").write_text("more")
    one.publish(path.parent / "more.log")
    listed = {stored.path.name: stored.size for stored in two.files(far.parent)}
    assert listed == {"more.log": 4, "result.json": 18}
    assert two.folders(two.layout.runs) == [far.parent]
    two.remove(far)
    two.remove(far)
    assert one.read(path) is None and not far.exists()
    assert [stored.path.name for stored in one.files(path.parent)] == ["more.log"]


def test_a_storage_is_there_once_something_was_stored(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    assert not one.exists() and not two.exists()
    one.write(run_dir(one) / "result.json", b"first")
    assert one.exists() and two.exists() and machine("one").exists()
    assert one.folders(one.root) == [one.layout.runs] and two.folders(two.root) == [two.layout.runs]


def test_the_name_in_the_journal_means_one_file_to_all_machines(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    assert one.named(run_dir(one) / "result.json") == two.named(run_dir(two) / "result.json")
    assert one.location == two.location and machine("one").root == one.root
    assert one.mirrored == (one.root != two.root), "only what is a copy is another machine's own"


def test_readers_never_see_half_a_file_whenever_its_writer_is_killed(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    writer = start_writer("forever", one)
    assert writer.stdout is not None and writer.stdout.readline()
    for _ in range(8):
        assert_whole(two.read(path_in(two.root)))
        assert_whole(path_in(one.root).read_bytes())
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    seen = [contents_here(one, two)]
    while len(set(seen[-1])) > 1 and len(seen) < 50:
        time.sleep(0.1)  # a put that was under way can arrive after its writer's end
        seen.append(contents_here(one, two))
    assert len(set(seen[-1])) == 1


def contents_here(*storages: Storage) -> list[bytes]:
    """What each machine has of the file after a fetch, whole."""
    for storage in storages:
        storage.fetch(path_in(storage.root).parent, lambda name: name.endswith(".pt"))
        assert_whole(path_in(storage.root).read_bytes())
    return [path_in(storage.root).read_bytes() for storage in storages]


def assert_whole(content: bytes | None) -> None:
    assert content is not None and len(content) == BYTES
    assert content in (content[:1] * BYTES,)


@pytest.mark.parametrize("renaming", [1, 2])
def test_a_kill_when_a_file_would_get_its_name_leaves_old_or_new(machine: Machine, renaming: int) -> None:
    one, two = machine("one"), machine("two")
    path, far = path_in(one.root), path_in(two.root)
    one.write(path, b"old")
    killed = start_writer(f"cut{renaming}", one).wait(60) == -signal.SIGKILL
    assert killed or (renaming == 2 and not one.mirrored), "a folder has one file to rename"
    assert path.read_bytes() in (b"old", b"new")
    assert two.read(far) in (b"old", b"new")
    assert [stored.path for stored in two.files(far.parent)] == [far], "nobody is offered the scrap"
    for storage, own in ((one, path), (two, far)):
        storage.fetch(own.parent, lambda name: name == path.name)
        assert own.read_bytes() == two.read(far)
    one.write(path, b"newer")
    assert two.read(far) == path.read_bytes() == b"newer"


# Run directories


def test_a_run_directory_is_the_same_on_the_machine_that_takes_it_over(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    for epoch in (1, 2, 3):
        for suffix in (".pt", ".json"):
            one.write(epoch_file(run_dir(one), epoch, suffix), f"{epoch}{suffix}".encode())
    for suffix in (".json", ".pt"):
        epoch_file(run_dir(one), 1, suffix).unlink()
    one.remove_missing(run_dir(one), EPOCHS)
    two.fetch_exactly(run_dir(two), EPOCHS)
    assert (
        epochs(two) == epochs(one) == ["epoch-0002.json", "epoch-0002.pt", "epoch-0003.json", "epoch-0003.pt"]
    )
    one.remove(epoch_file(run_dir(one), 2, ".pt"))
    two.fetch_exactly(run_dir(two), EPOCHS)
    assert epochs(two) == epochs(one) == ["epoch-0002.json", "epoch-0003.json", "epoch-0003.pt"]
    assert epoch_file(run_dir(two), 3, ".pt").read_bytes() == b"3.pt"


def epochs(storage: Storage) -> list[str]:
    return sorted(path.name for path in run_dir(storage).glob(EPOCHS))


def test_a_single_file_comes_when_it_is_asked_for(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    one.write(epoch_file(run_dir(one), 1, ".parquet"), b"predictions")
    for _ in range(2):
        two.fetch_missing(epoch_file(run_dir(two), 1, ".parquet"))
        assert epoch_file(run_dir(two), 1, ".parquet").read_bytes() == b"predictions"
    two.fetch_missing(epoch_file(run_dir(two), 2, ".parquet"))
    assert not epoch_file(run_dir(two), 2, ".parquet").exists()


# The fence


def test_a_fence_shuts_out_earlier_attempts_on_all_machines(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    assert one.read_fence(run_dir(one)) == 0
    one.raise_fence(run_dir(one), 1)
    two.require_fence(run_dir(two), 1)
    two.raise_fence(run_dir(two), 3)
    assert one.read_fence(run_dir(one)) == 3
    for late in (lambda: one.require_fence(run_dir(one), 1), lambda: one.raise_fence(run_dir(one), 2)):
        with pytest.raises(FencedError, match="attempt 3 of another driver"):
            late()
    two.require_fence(run_dir(two), 3)
    one.require_fence(run_dir(one), None)
    one.raise_fence(run_dir(one), 3)
    assert two.read_fence(run_dir(two)) == 3


def test_a_fence_that_cannot_be_read_lets_in_who_raises_it(machine: Machine) -> None:
    one = machine("one")
    one.write(run_dir(one) / FENCE_FILE, b"\xff not a number")
    assert one.read_fence(run_dir(one)) == 0
    one.raise_fence(run_dir(one), 1)
    assert machine("two").read_fence(run_dir(machine("two"))) == 1


# Journals


def test_a_journal_is_read_by_all_machines_while_it_is_written(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    with open_journal(one, "writer") as journal:
        for number in range(1, 4):
            journal.append(event(number))
            assert numbers(two) == list(range(1, number + 1))
        journal.append_all([event(4), event(5)])
    with open_journal(machine("one"), "writer") as journal:
        journal.append(event(6))
    assert numbers(two) == numbers(one) == [1, 2, 3, 4, 5, 6]
    two.compact_journals(())
    assert numbers(machine("three")) == [1, 2, 3, 4, 5, 6]


def test_a_journal_has_one_writer(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    with open_journal(one, "writer") as journal:
        journal.append(event(1))
        with (
            pytest.raises((JournalError, SegmentError)),
            open_journal(two, "writer") as other,
        ):
            journal.append(event(2))
            other.append(event(3))
    assert numbers(one) == [1, 2] if two.mirrored else [1]


def test_killed_writers_lose_nothing_that_was_acknowledged(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    acknowledged: list[int] = []
    for first in (0, 1000):
        command = [sys.executable, "-m", "tests.support.journal_writer", one.location, str(first)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "ACTIONGRID_CACHE": str(one.root.parent)}
        writer = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged += [int(writer.stdout.readline()) for _ in range(7)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if "\n" in line]
        writer.wait()
    for storage in (one, two):
        seen = numbers(storage)
        assert set(acknowledged) <= set(seen) and len(seen) == len(set(seen)) <= len(acknowledged) + 2


# Sharing


def test_of_many_that_make_a_shared_file_one_does(machine: Machine) -> None:
    wins: list[bytes] = []

    def make(name: bytes) -> None:
        storage = machine(name.decode())
        if storage.shared_files(storage.layout.leases).create("key/1", name):
            wins.append(name)

    makers = [threading.Thread(target=make, args=(f"machine-{number}".encode(),)) for number in range(6)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    one = machine("one")
    files = one.shared_files(one.layout.leases)
    assert [files.read("key/1")] == wins
    time.sleep(bucket_storage.LISTING_SECONDS + 0.1)
    assert files.names("key") == {"1"}
    files.remove("key/1")
    assert not files.exists("key/1")


def test_machines_find_out_that_they_share_it(machine: Machine) -> None:
    probe = machine("one").probe()
    assert not probe.is_seen(0.0)
    probe.place()
    far = pickle.loads(pickle.dumps(probe))
    assert far.is_seen(1.0)
    told = far.answer("hello")
    assert probe.answers() == {told}
    probe.clear()
    assert not far.is_seen(0.0) and probe.answers() == set()


def test_what_only_asks_leaves_nothing_behind(machine: Machine) -> None:
    one = machine("one")
    one.root.mkdir(parents=True, exist_ok=True)
    one.connect()
    one.require_usable()
    one.check_writes()
    assert one.files(one.root / "runs") == [] and not list(one.root.glob(".room*"))


# Datasets


def test_a_dataset_that_was_built_on_one_machine_is_read_on_another(machine: Machine) -> None:
    one, two = machine("one"), machine("two")
    own, far = one.layout.dataset_dir("toy", "0123456789"), two.layout.dataset_dir("toy", "0123456789")
    manifest = build_dataset(SyntheticMotion(train_per_class=2, val_per_class=1), "toy", own)
    publish_dataset(one, own)
    fetch_manifests(two)
    assert two.layout.manifests("toy") == [far / MANIFEST_FILE]
    assert frames_stand(two, read_manifest(far / MANIFEST_FILE), far)
    fetch_dataset(two, far / MANIFEST_FILE)
    assert shards_stand(manifest, far)
