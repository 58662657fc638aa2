"""One contract of shared files and leases, over a folder and over a bucket."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.storage import bucket_storage
from catalog.storage.bucket import Bucket, BucketError
from catalog.storage.bucket_storage import BucketFiles, BucketProbe
from catalog.storage.folder_storage import FolderFiles, FolderStorage
from catalog.storage.mirror import Mirror
from catalog.storage.storage import SharedFiles
from orchestrator.coordination.drivers import Presence, Watch, this_driver
from orchestrator.coordination.lease import Lease, LeaseLostError, Leases, LeaseState
from orchestrator.ray_runtime.cluster_checks import answer
from tests.support.buckets import storage_in
from tests.support.paths import ROOT
from tests.support.s3_server import S3Server, Wire

MakeFiles = Callable[[str], SharedFiles]


@pytest.fixture(params=["directory", "bucket"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeFiles:
    """Makes notes of a folder, each as a machine of its own would."""
    if request.param == "directory":
        return lambda folder: FolderFiles(tmp_path / folder)
    mirror: Mirror = request.getfixturevalue("mirror")
    return lambda folder: BucketFiles(mirror.bucket, folder)


def old(notes: SharedFiles) -> None:
    """Let the time pass after which everybody's changes are seen."""
    if isinstance(notes, BucketFiles):
        time.sleep(bucket_storage.LISTING_SECONDS + 0.1)


def test_what_is_written_is_read_and_listed_by_others(make: MakeFiles) -> None:
    one, other = make("leases"), make("leases")
    assert one.names() == one.names("a") == frozenset()
    assert one.read("a/1") is None and not one.exists("a/1") and one.mark("a/1") is None
    assert one.create("a/1", b"first")
    one.write("top", b"x")
    one.write("top", b"y")
    one.touch("a/1.free")
    one.touch("a/1.free")
    old(other)
    assert other.names() == {"a", "top"}
    assert other.names("a") == {"1", "1.free"}
    assert other.read("a/1") == b"first" and other.read("top") == b"y" and other.read("a/1.free") == b""
    assert other.exists("a/1.free")
    one.remove("top")
    one.remove("top")
    old(other)
    assert other.names() == {"a"} and other.read("top") is None


def test_nothing_is_made_twice(make: MakeFiles) -> None:
    one, other = make("leases"), make("leases")
    assert one.create("a/1", b"mine")
    assert not other.create("a/1", b"theirs")
    assert not one.create("a/1", b"mine again")
    assert other.read("a/1") == b"mine"


def test_a_mark_changes_with_every_beat(make: MakeFiles) -> None:
    notes = make("drivers")
    notes.write("me.json", b"same")
    marks = [notes.mark("me.json")]
    for _ in range(2):
        time.sleep(1.1)  # the resolution of objects' times
        notes.beat("me.json", b"same")
        marks.append(notes.mark("me.json"))
    assert len(set(marks)) == 3 and None not in marks
    assert notes.mark("me.json") == marks[-1]


def test_of_many_threads_one_wins_each_name(make: MakeFiles) -> None:
    wins: list[tuple[int, int]] = []

    def race(racer: int) -> None:
        notes = make("leases")
        wins.extend((n, racer) for n in range(5) if notes.create(f"a/{n}", f"{racer}".encode()))

    racers = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(number for number, _ in wins) == list(range(5))
    notes = make("leases")
    assert all(notes.read(f"a/{number}") == f"{racer}".encode() for number, racer in wins)


def claimed(leases: Leases, key: str = "k") -> Lease:
    lease = leases.claim(key)
    assert isinstance(lease, Lease)
    return lease


def test_a_lease_has_one_owner_is_taken_over_once_and_fences(make: MakeFiles) -> None:
    dead: set[str] = set()
    old_one, first, second = (Leases(make("leases"), name, dead.__contains__) for name in ("old", "1", "2"))
    lease = claimed(old_one)
    old(make("leases"))
    assert first.claim("k") == LeaseState(1, "old")
    dead.add("old")
    taken = claimed(first)
    assert taken.number == 2
    assert not isinstance(second.claim("k"), Lease)
    assert not old_one.is_held(lease) and first.is_held(taken)
    old_one.release(lease)
    assert first.is_held(taken), "what a dead owner does late frees nothing"
    with pytest.raises(LeaseLostError):
        old_one.advance(lease)
    next_one = first.advance(taken)
    first.release(next_one)
    assert second.read("k") == LeaseState(3, None) or isinstance(make("leases"), BucketFiles)
    time.sleep(bucket_storage.LISTING_SECONDS + 0.1)
    assert second.read("k") == LeaseState(3, None)
    assert claimed(second).number == 4
    assert list(second.known()) == ["k"]


def test_a_lease_whose_answer_was_lost_is_had_after_all(
    s3: S3Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        leases = Leases(BucketFiles(Bucket(url), "leases"), "me", lambda _: False)
        assert leases.read("k") == LeaseState(0, None)
        wire.mute = True
        with pytest.raises(BucketError):
            leases.claim("k")
        wire.mute = False
        time.sleep(bucket_storage.LISTING_SECONDS + 0.1)
        assert leases.read("k") == LeaseState(1, "me"), "it was made all the same"
        assert claimed(leases).number == 2


def test_a_driver_is_seen_while_its_heart_beats_and_not_after(make: MakeFiles) -> None:
    watch = Watch(make("drivers"))
    with Presence(make("drivers"), this_driver("me", "toy", 1), beat_seconds=0.2) as presence:
        presence.publish(running=(2.0, 1.0))
        time.sleep(bucket_storage.LISTING_SECONDS + 0.1)
        assert watch.drivers() == (presence.record,)
        assert not watch.is_dead("me")
    time.sleep(bucket_storage.LISTING_SECONDS + 0.1)
    assert watch.drivers() == () and watch.record("me") is None


@pytest.mark.parametrize("where", ["directory", "bucket"])
def test_of_many_processes_one_wins_each_lease(where: str, tmp_path: Path, url: str) -> None:
    """Each of three machines' processes claims the same sixty keys as fast as it can."""
    storage = str(tmp_path / "storage") if where == "directory" else url
    outputs = [tmp_path / f"racer-{number}" for number in range(3)]
    arguments = [sys.executable, "-m", "tests.support.claimer", storage]
    racers = [subprocess.Popen([*arguments, output], cwd=ROOT) for output in outputs]
    while not all(Path(f"{output}-ready").exists() for output in outputs):
        assert all(racer.poll() is None for racer in racers)
        time.sleep(0.05)
    (tmp_path / "go").touch()
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    won = [line for output in outputs for line in output.read_text().split()]
    assert len(won) == len(set(won)) == 60
    assert sum(bool(output.read_text()) for output in outputs) >= 2, "they did not race"


def test_each_form_of_storage_has_its_own_shared_files(tmp_path: Path, mirror: Mirror) -> None:
    assert isinstance(FolderStorage(tmp_path).shared_files(tmp_path / "leases"), FolderFiles)
    assert isinstance(storage_in(mirror).shared_files(mirror.root / "leases"), BucketFiles)


def test_machines_find_out_whether_they_share_a_storage(tmp_path: Path, mirror: Mirror, url: str) -> None:
    for storage in (FolderStorage(tmp_path / "storage"), storage_in(mirror)):
        probe = storage.probe()
        assert not probe.is_seen(0.1)
        probe.place()
        told = answer("node a", pickle.loads(pickle.dumps(probe)))
        assert told.seen and probe.answers() == {told.wrote}
        probe.clear()
        assert probe.answers() == set() and not probe.is_seen(0.1)
    assert not list((tmp_path / "storage").iterdir()) and mirror.bucket.below("") == []
    lost = answer("node b", BucketProbe("s3://no-such-bucket/x", ".probe-1"))
    assert (lost.wrote is None and "no-such-bucket" in (lost.problem or "")) or not lost.seen
