"""Journals in a bucket: what was acknowledged is in every mirror, once and in order, whatever died when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import Catalog, Journal, Tail
from catalog.codec import encode
from catalog.events import AttemptEnded, Event
from catalog.journal import open_journal
from catalog.storage import journal_segments as journals
from catalog.storage.bucket import Bucket, BucketError
from catalog.storage.journal_segments import SegmentError, Segments, pull_journals, segment_name, unite
from catalog.storage.mirror import Mirror
from tests.support.buckets import open_mirror, storage_in
from tests.support.paths import ROOT
from tests.support.s3_server import S3Server, Wire


def event(number: int) -> Event:
    return AttemptEnded("k" * 32, number, "failed", "x" * (number % 50))


def numbers(root: Path) -> list[int]:
    found = [one for one in Tail(root).poll() if isinstance(one, AttemptEnded)]
    return [one.attempt for one in found]


def objects(mirror: Mirror) -> list[str]:
    return [one.name for one in mirror.bucket.below("journal")]


def test_another_machine_reads_what_was_acknowledged(mirror: Mirror, elsewhere: Mirror) -> None:
    tail = Tail(elsewhere.root)
    seen: list[int] = []
    with open_journal(storage_in(mirror), "one") as journal:
        for number in range(1, 8):
            journal.append(event(number))
            pull_journals(elsewhere)
            seen += [one.attempt for one in tail.poll()]  # type: ignore[attr-defined]
        assert seen == list(range(1, 8))
        assert len(objects(mirror)) == 7
        journal.append_all([event(number) for number in range(8, 100)])
        assert len(objects(mirror)) == 8, "one object for many lines"
    assert objects(mirror) == ["journal/one.jsonl"], "a journal that ended is one object"
    pull_journals(elsewhere)
    seen += [one.attempt for one in tail.poll()]  # type: ignore[attr-defined]
    assert seen == list(range(1, 100))
    assert same_bytes(mirror, elsewhere)


def test_what_another_machine_copies_is_on_its_disk_at_its_full_length(
    mirror: Mirror, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave a copy of the right length and other bytes that nobody fetches again."""
    copy, flush, flushed = elsewhere.root / "journal" / "one.jsonl", os.fsync, dict[int, int]()

    def noted_flush(descriptor: int) -> None:
        flush(descriptor)
        file = os.fstat(descriptor)
        flushed[file.st_ino] = file.st_size

    monkeypatch.setattr(os, "fsync", noted_flush)
    with open_journal(storage_in(mirror), "one") as journal:
        for number in range(3):
            journal.append(event(number))
            pull_journals(elsewhere)
            assert flushed.get(copy.stat().st_ino) == copy.stat().st_size > 0


def same_bytes(one: Mirror, other: Mirror) -> bool:
    name = "journal/one.jsonl"
    return one.path(name).read_bytes() == other.path(name).read_bytes()


def test_long_journals_are_united_as_they_grow(
    mirror: Mirror, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENTS_AT_MOST", 5)
    with open_journal(storage_in(mirror), "one") as journal:
        for number in range(1, 24):
            journal.append(event(number))
            assert len(objects(mirror)) <= 6
            if number % 7 == 0:
                pull_journals(elsewhere)
        pull_journals(elsewhere)
        assert numbers(elsewhere.root) == list(range(1, 24))
        assert same_bytes(mirror, elsewhere)


def test_what_the_bucket_did_not_take_is_not_written_and_the_next_line_is(
    s3: S3Server, url: str, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        mirror = open_mirror(f"{url}/cut")
        with open_journal(storage_in(mirror), "one") as journal:
            journal.append(event(1))
            wire.cut()
            with pytest.raises(BucketError):
                journal.append(event(2))
            assert numbers(mirror.root) == [1], "nobody here acts on it either"
            wire.mend()
            journal.append(event(2))
            journal.append(event(3))
        monkeypatch.setenv("ACTIONGRID_CACHE", str(tmp_path / "third"))
        third = open_mirror(f"{url}/cut")
        pull_journals(third)
        assert numbers(third.root) == [1, 2, 2, 3], "the bucket may have had it, so it goes first, as it was"


def test_a_put_whose_answer_was_lost_counts_once_it_can_be_asked(
    s3: S3Server, url: str, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        mirror = Mirror(open_mirror(url).root, Bucket(url))
        with Journal.open(mirror.root, "one", Segments(mirror, "one")) as journal:
            journal.append(event(1))
            wire.mute = True
            with pytest.raises(BucketError):
                journal.append(event(2))
            assert len(objects(elsewhere)) == 2, "it was taken all the same"
            wire.mute = False
            journal.append(event(2))  # the driver's second try, with a later time
            journal.append(event(3))
            assert numbers(mirror.root) == [1, 2, 2, 3]
        pull_journals(elsewhere)
        assert numbers(elsewhere.root) == [1, 2, 2, 3] and same_bytes(mirror, elsewhere)
        with Catalog.open(elsewhere.root) as catalog:
            rows = catalog.query("SELECT attempt FROM recorded.attempts_ended ORDER BY 1").to_pylist()
        assert [row["attempt"] for row in rows] == [1, 2, 3], "by their identity each counts once"


def test_a_line_that_the_disk_did_not_take_follows_with_the_next(
    mirror: Mirror, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = os.write, [10]

    def short(file: int, content: bytes) -> int:
        return real(file, content[: taken.pop()] if taken else content)

    with open_journal(storage_in(mirror), "one") as journal:
        journal.append(event(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", short)
            with pytest.raises(OSError, match="short write"):
                journal.append(event(2))
        assert numbers(mirror.root) == [1]
        journal.append(event(3))
        assert numbers(mirror.root) == [1, 2, 3], "it is in the bucket, so it counts"
    pull_journals(elsewhere)
    assert numbers(elsewhere.root) == [1, 2, 3] and same_bytes(mirror, elsewhere)


@pytest.mark.parametrize("keep", [0, 1, 25], ids=["nothing", "one byte", "some bytes"])
def test_a_copy_that_was_torn_is_completed(keep: int, mirror: Mirror, elsewhere: Mirror) -> None:
    """A writer dies after its put, before, or in the middle of, its local line."""
    with open_journal(storage_in(mirror), "one") as journal:
        journal.append(event(1))
    second = segment(mirror, event(2))
    path = mirror.path("journal/one.jsonl")
    with path.open("ab") as file:
        file.write(second[:keep])
    pull_journals(mirror)
    pull_journals(elsewhere)
    assert numbers(mirror.root) == numbers(elsewhere.root) == [1, 2]
    assert same_bytes(mirror, elsewhere)


def segment(mirror: Mirror, one: Event) -> bytes:
    """Puts what a writer puts, and does nothing else."""
    content = encode(replace(one, time=9e9))
    offset = mirror.path("journal/one.jsonl").stat().st_size
    Segments(mirror, "one").keep(offset, content)
    return content


@pytest.mark.parametrize("how", ["deleted", "cut", "flipped", "garbage", "swapped"])
def test_a_damaged_segment_costs_its_own_lines_and_is_named(
    mirror: Mirror, elsewhere: Mirror, how: str
) -> None:
    journal = open_journal(storage_in(mirror), "one")
    for number in range(1, 7):  # with times of one width, so that no two lines are of one length
        journal.append(replace(event(number), time=1000.0 + number))
    third, fourth = objects(mirror)[2:4]
    content, other = mirror.bucket.read(third) or b"", mirror.bucket.read(fourth) or b""
    damaged = {
        "cut": content[: len(content) // 2],
        "flipped": content.replace(b'"attempt":3', b'"attempt":7'),
        "garbage": bytes(range(256)) * 8,
        "swapped": other,
    }
    if how == "deleted":
        mirror.bucket.remove([third])
    else:
        mirror.bucket.put(third, damaged[how])
    if how == "swapped":
        mirror.bucket.put(fourth, content)
    pull_journals(elsewhere)
    tail = Tail(elsewhere.root)
    found = [one.attempt for one in tail.poll() if isinstance(one, AttemptEnded)]
    kept = {"swapped": 3}.get(how, 4)
    assert found == [1, 2, kept, 5, 6] and damaged.get(how) != content
    assert {fault.writer for fault in tail.faults} == {"one"}
    journal.append(event(8))
    pull_journals(elsewhere)
    assert [one.attempt for one in tail.poll() if isinstance(one, AttemptEnded)] == [8]


def test_two_writers_of_one_name_cannot_mix(mirror: Mirror, elsewhere: Mirror) -> None:
    with (
        open_journal(storage_in(mirror), "one") as mine,
        open_journal(storage_in(elsewhere), "one") as theirs,
    ):
        mine.append(event(1))
        with pytest.raises(SegmentError, match="another process writes this journal"):
            theirs.append(event(2))
    assert numbers(mirror.root) == [1]


def test_a_put_that_is_repeated_counts_once(mirror: Mirror) -> None:
    segments = Segments(mirror, "one")
    segments.keep(0, b'{"a": 1}\n')
    segments.keep(0, b'{"a": 1}\n')
    assert objects(mirror) == [segment_name("one", 0)]


def test_a_living_writers_file_is_left_to_it(mirror: Mirror) -> None:
    with Journal.open(mirror.root, "one") as journal:
        segment(mirror, event(5))
        pull_journals(mirror)
        assert numbers(mirror.root) == []
        journal.close()
        pull_journals(mirror)
        assert numbers(mirror.root) == [5]


def test_what_the_dead_left_in_pieces_is_united(mirror: Mirror, elsewhere: Mirror) -> None:
    segments = Segments(mirror, "one")
    offset = 0
    for number in range(3):
        line = f'{{"{number}": 1}}\n'.encode()
        segments.keep(offset, line)
        offset += len(line)
    storage_in(elsewhere).refresh_journals()
    storage_in(elsewhere).compact_journals({"one"})
    assert len(objects(mirror)) == 3, "it lives"
    storage_in(elsewhere).compact_journals(())
    assert objects(mirror) == ["journal/one.jsonl"]
    segments.keep(offset, b'{"late": 1}\n')
    pull_journals(mirror)
    pull_journals(elsewhere)
    assert same_bytes(mirror, elsewhere)
    assert mirror.path("journal/one.jsonl").read_bytes().count(b"\n") == 4


def test_who_takes_a_living_writer_for_dead_takes_nothing_from_it(mirror: Mirror, elsewhere: Mirror) -> None:
    with open_journal(storage_in(mirror), "one") as journal:
        journal.append_all([event(1), event(2)])
        pull_journals(elsewhere)
        short = elsewhere.path("journal/one.jsonl").read_bytes()
        journal.append(event(3))
    assert objects(mirror) == ["journal/one.jsonl"]
    unite(elsewhere.bucket, "one", short, ours=False)
    assert mirror.bucket.read("journal/one.jsonl") == mirror.path("journal/one.jsonl").read_bytes()
    pull_journals(elsewhere)
    assert numbers(elsewhere.root) == [1, 2, 3]


def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(
    mirror: Mirror, elsewhere: Mirror, tmp_path: Path
) -> None:
    """Writers are killed one after the other; what they printed had been acknowledged before."""
    acknowledged: list[int] = []
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.support.journal_writer", str(mirror.root), str(1000 * round_)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        acknowledged += [int(writer.stdout.readline()) for _ in range(5 + 3 * round_)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if "\n" in line]
        writer.wait()
        pull_journals(elsewhere)
    for one in (elsewhere, mirror):
        pull_journals(one)
        root = one.root
        seen = numbers(root)
        assert len(seen) == len(set(seen))
        assert set(acknowledged) <= set(seen)
        assert len(seen) <= len(acknowledged) + 6, "of each writer one line at most was under way"
        for first in range(0, 6000, 1000):
            part = [number for number in seen if first <= number < first + 1000]
            assert part == list(range(first, first + len(part))), "in order, without a gap"
        with Catalog.open(root) as catalog:
            assert catalog.faults == ()
