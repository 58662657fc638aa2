from __future__ import annotations

import json
import logging
import math
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catalog.codec import EventError, decode, encode
from catalog.events import EVENT_TYPES, CellFailed, EpochFinished, StudySubmitted
from catalog.journal import Journal, JournalError, Tail, read_events
from tests.support.grid_events import DEMO, grid_events, write_events
from tests.support.paths import ROOT


def epoch(number: int, key: str = "k", loss: float = 1.5) -> EpochFinished:
    return EpochFinished(key, number, 1, loss, 40.0, 0.01, 1.0, 50.0, 80.0, 100.0, 2.0)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    events = list(grid_events(DEMO))
    write_events(tmp_path, iter(events))
    assert list(read_events(tmp_path)) == events
    assert {type(event) for event in events} <= set(EVENT_TYPES)


def noted_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The writes and flushes of the journal's module in their order, and whether each is of a directory."""
    calls: list[tuple[str, bool]] = []
    write, flush = os.write, os.fsync

    def is_folder(descriptor: int) -> bool:
        return stat.S_ISDIR(os.fstat(descriptor).st_mode)

    def noted_write(descriptor: int, content: bytes) -> int:
        calls.append(("write", False))
        return write(descriptor, content)

    def noted_flush(descriptor: int) -> None:
        calls.append(("fsync", is_folder(descriptor)))
        flush(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_flush)
    return calls


def test_a_line_is_on_the_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after `append` must not lose a result: each write is flushed, and the file's name too."""
    calls = noted_calls(monkeypatch)
    with Journal.open(tmp_path, "w") as journal:
        assert ("fsync", True) in calls, "the name of a new journal"
        del calls[:]
        journal.append(epoch(1))
        assert calls == [("write", False), ("fsync", False)]
        journal.append_all([epoch(2), epoch(3)])
        assert calls == [("write", False), ("fsync", False)] * 2


def test_what_cannot_be_flushed_does_not_count_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError("the disk is gone")

    with Journal.open(tmp_path, "w") as journal:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", refuse)
            with pytest.raises(OSError, match="the disk is gone"):
                journal.append(epoch(1))
        journal.append(epoch(2))
    assert [event.id for event in read_events(tmp_path)][-1] == "EpochFinished:k:2"


def test_the_end_of_a_torn_line_is_on_the_disk_before_another_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(1))
    path = tmp_path / "journal" / "w.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn')
    calls = noted_calls(monkeypatch)
    with Journal.open(tmp_path, "w") as journal:
        assert [one for one in calls if not one[1]] == [("write", False), ("fsync", False)]
        journal.append(epoch(2))
    assert [event.id for event in read_events(tmp_path)] == ["EpochFinished:k:1", "EpochFinished:k:2"]


class KeptLines:
    """A keeper in memory."""

    def __init__(self) -> None:
        self.content = b""

    def keep(self, start: int, content: bytes) -> None:
        self.content = self.content[:start] + content

    def close(self, end: int) -> None:
        assert end == len(self.content)


def test_with_a_keeper_a_line_is_kept_there_before_it_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = KeptLines()
    with Journal.open(tmp_path, "w", keeper) as journal:
        calls = noted_calls(monkeypatch)
        journal.append(epoch(1))
        assert calls == [("write", False), ("fsync", False)]
    assert keeper.content == (tmp_path / "journal" / "w.jsonl").read_bytes() != b""


def test_the_journal_stamps_times_that_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 50.0, 200.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    with Journal.open(tmp_path, "w") as journal:
        times = [journal.append(epoch(number)).time for number in (1, 2, 3)]
    assert times == sorted(times) and times[0] == 100.0 and times[2] == 200.0
    assert [event.time for event in read_events(tmp_path)] == times


def test_non_finite_floats_survive_in_valid_json(tmp_path: Path) -> None:
    event = epoch(1, loss=math.nan)
    with Journal.open(tmp_path, "w") as journal:
        journal.append(event)
    text = (tmp_path / "journal" / "w.jsonl").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (read,) = read_events(tmp_path)
    assert isinstance(read, EpochFinished) and read.train_loss is not None and math.isnan(read.train_loss)


def test_a_string_that_spells_nan_stays_a_string() -> None:
    event = CellFailed("k", 1, "NaN", time=1.0)
    assert decode(encode(event)) == event


def test_ill_typed_events_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "w") as journal:
        with pytest.raises(EventError, match=r"EpochFinished\.epoch"):
            journal.append(epoch("3"))  # type: ignore[arg-type]
        with pytest.raises(EventError, match=r"EpochFinished\.epoch"):
            journal.append(epoch(2**63))
        with pytest.raises(EventError, match="JSON"):
            journal.append(StudySubmitted("s", "1", 1, "f", {"path": Path("x")}))
    assert (tmp_path / "journal" / "w.jsonl").read_bytes() == b""


def test_a_torn_last_line_is_left_out_and_sealed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(1))
    path = tmp_path / "journal" / "w.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    tail = Tail(tmp_path)
    assert len(tail.poll()) == 1 and not tail.faults
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(2))
    with caplog.at_level(logging.WARNING):
        assert [event.id for event in tail.poll()] == ["EpochFinished:k:2"]
    assert [fault.kind for fault in tail.faults] == ["torn"] and "torn line left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('{"v":2,"event":"EpochFinished","time":1.0}', "unknown"),
        ('{"v":1,"event":"CometSighted","time":1.0}', "unknown"),
        ('{"v":1,"event":"CellFailed","time":1.0,"key":"k"}', "torn"),
        ('{"v":1,"event":"CellFailed","time":1.0,"key":"k","attempt":true,"error":"e"}', "torn"),
        ('{"v":1,"event":"CellFailed","time":null,"key":"k","attempt":1,"error":"e"}', "torn"),
        ("[1, 2]", "torn"),
        ('{"event": 3}', "torn"),
        ("\udcff", "torn"),
    ],
)
def test_lines_that_are_not_known_events_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, kind: str
) -> None:
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(1))
    with (tmp_path / "journal" / "w.jsonl").open("ab") as file:
        file.write(
            line.encode("utf-8", "surrogateescape") + b"\n" + encode(CellFailed("k", 1, "e", time=2.0))
        )
    tail = Tail(tmp_path)
    assert [type(event).__name__ for event in tail.poll()] == ["EpochFinished", "CellFailed"]
    assert [fault.kind for fault in tail.faults] == [kind]
    assert f"{kind} line left out" in caplog.text


def test_fields_of_the_future_are_ignored() -> None:
    record = json.loads(encode(CellFailed("k", 1, "e", time=1.0))) | {"colour": "red"}
    assert decode(json.dumps(record).encode()) == CellFailed("k", 1, "e", time=1.0)


def test_one_process_a_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "w"), pytest.raises(JournalError, match="another writer's name"):
        Journal.open(tmp_path, "w")
    Journal.open(tmp_path, "w").close()


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "a b"])
def test_writers_names_are_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match="file name"):
        Journal.open(tmp_path, name)


def test_a_tail_returns_each_event_once_from_any_offset(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "a") as one, Journal.open(tmp_path, "b") as two:
        one.append(epoch(1))
        tail = Tail(tmp_path)
        assert len(tail.poll()) == 1 and tail.poll() == []
        one.append(epoch(2))
        two.append(epoch(3))
        later = Tail(tmp_path, tail.offsets)
        assert [event.id for event in tail.poll()] == [event.id for event in later.poll()]
        assert later.offsets == tail.offsets


def test_a_journal_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(1))
    tail = Tail(tmp_path)
    tail.poll()
    (tmp_path / "journal" / "w.jsonl").write_bytes(b"")
    with pytest.raises(JournalError, match="shorter"):
        tail.poll()


def test_a_short_write_does_not_count_and_is_sealed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with Journal.open(tmp_path, "w") as journal:
        journal.append(epoch(1))
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
        with pytest.raises(OSError, match="short write"):
            journal.append(epoch(2))
        monkeypatch.setattr(os, "write", write)
        journal.append(epoch(3))
    assert [event.id for event in read_events(tmp_path)] == ["EpochFinished:k:1", "EpochFinished:k:3"]


WRITER = """
import sys
from catalog.events import EpochFinished
from catalog.journal import Journal
journal = Journal.open(sys.argv[1], "victim")
number = int(sys.argv[2])
while True:
    journal.append(EpochFinished("k", number, 1, *[1.0] * 8))
    print(number, flush=True)
    number += 1
"""


def test_kill_9_loses_no_acknowledged_event(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    tail = Tail(tmp_path)
    seen: set[int] = set()
    for round_number in range(12):
        first = round_number * 1_000_000
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as victim:
            assert victim.stdout is not None
            victim.stdout.readline()
            acknowledged.add(first)
            time.sleep(0.01 * (round_number % 5))
            victim.send_signal(signal.SIGKILL)
            whole = [line for line in victim.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
            acknowledged.update(int(line) for line in whole)
        seen.update(event.epoch for event in tail.poll() if isinstance(event, EpochFinished))
    assert len(acknowledged) >= 12
    assert acknowledged <= seen
    assert acknowledged <= {
        event.epoch for event in read_events(tmp_path) if isinstance(event, EpochFinished)
    }
