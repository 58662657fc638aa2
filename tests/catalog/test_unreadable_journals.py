"""Lines and journals that cannot be read are left out, named and counted; nothing unreadable is written."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalog import Catalog, Journal
from catalog.codec import DamagedEventError, EventError, decode, encode
from catalog.events import CellFailed, CellFinished, StudySubmitted, VideosQuarantined
from catalog.journal import JournalError, Tail, read_events
from catalog.storage.layout import unescaped
from orchestrator.cli import app
from tests.support.finished_study import STUDY, build, finish
from tests.support.grid_events import DEMO, grid_events, write_events
from tests.support.paths import ROOT

DEEP = "[" * 100_000
FINISHED = next(event for event in grid_events(DEMO) if isinstance(event, CellFinished))


def record_of(event: Any, **changes: Any) -> bytes:
    """A line as earlier versions wrote it, with other values."""
    record = json.loads(encode(event))
    del record["crc"]
    return json.dumps(record | changes, separators=(",", ":")).encode()


HOSTILE = {
    "nested deeply": DEEP.encode(),
    "nested deeply in a field": record_of(StudySubmitted("s", "1", 1, "f", {}, time=1.0))[:-3]
    + (DEEP + "]" * len(DEEP) + "}}").encode(),
    "part of a character": record_of(StudySubmitted("\ud800", "1", 1, "f", {}, time=1.0), study="\ud800"),
    "part of a character in an object": record_of(
        StudySubmitted("s", "1", 1, "f", {}, time=1.0), config={"name": "caf\udce9"}
    ),
    "no UTF-8": record_of(CellFailed("k", 1, "e", time=1.0)).replace(b'"e"', b'"\xe9"'),
    "a part of a character as bytes": record_of(CellFailed("k", 1, "e", time=1.0)).replace(
        b'"e"', b'"\xed\xa0\x80"'
    ),
    "an integer of a float beyond 64 bits": record_of(FINISHED, loss=10**20),
    "an integer beyond all floats": record_of(FINISHED, loss=10**400),
    "an integer of 5,000 digits": record_of(FINISHED).replace(b'"loss":0.7', b'"loss":' + b"9" * 5000),
    "a time beyond all calendars": record_of(FINISHED, time=1e300),
    "a time that is an integer beyond all floats": record_of(FINISHED, time=10**400),
    "a time that is a truth value": record_of(FINISHED, time=True),
    "NaN in an object": record_of(FINISHED).replace(b'"cores":2', b'"cores":NaN'),
    "a number beyond all floats in an object": record_of(FINISHED).replace(b'"cores":2', b'"cores":1e999'),
    "no object": b"3",
    "an empty object": b"{}",
    "bytes": bytes(range(11, 256)),
}


HOSTILE |= {
    path.stem: path.read_bytes().strip(b"\n")
    for path in sorted((ROOT / "tests" / "cases" / "hostile-journals").glob("*.jsonl"))
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_a_line_that_no_catalog_holds_is_left_out_named_and_counted(
    tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    write_events(tmp_path, grid_events(DEMO))
    with Catalog.open(tmp_path) as catalog:
        before = catalog.query("SELECT cell, top1, loss, finished FROM results ORDER BY cell").to_pylist()
    (tmp_path / "journal" / "other.jsonl").write_bytes(
        line + b"\n" + encode(CellFailed("k", 1, "e", time=1.0))
    )
    with caplog.at_level(logging.WARNING), Catalog.open(tmp_path) as catalog:
        assert (
            catalog.query("SELECT cell, top1, loss, finished FROM results ORDER BY cell").to_pylist()
            == before
        )
        assert [fault.writer for fault in catalog.faults] == ["other"]
        assert catalog.query("SELECT key FROM recorded.failed WHERE key = 'k'").num_rows == 1
    assert caplog.text.count("left out; other.jsonl, byte 0") == 1


def make_unreadable(path: Path, how: str) -> None:
    path.unlink(missing_ok=True)
    if how == "a folder":
        path.mkdir()
    elif how == "a queue":
        os.mkfifo(path)
    elif how == "a link to nothing":
        path.symlink_to("nowhere")
    else:
        path.symlink_to(path.name)


KINDS = ("a folder", "a queue", "a link to nothing", "a link to itself")


@pytest.mark.parametrize("how", KINDS)
def test_a_journal_that_cannot_be_read_is_left_out_until_it_can(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_events(tmp_path, grid_events(DEMO))
    path = tmp_path / "journal" / "other.jsonl"
    make_unreadable(path, how)
    tail = Tail(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert len(tail.poll()) > 0 and tail.poll() == []
    assert [(fault.writer, fault.kind) for fault in tail.faults] == [("other", "unreadable")]
    assert caplog.text.count("journal left out") == 1 and "other.jsonl" in caplog.text
    path.rmdir() if how == "a folder" else path.unlink()
    path.write_bytes(encode(CellFailed("k", 1, "e", time=1.0)))
    assert len(tail.poll()) == 1 and tail.faults == ()


def test_a_journal_that_this_user_may_not_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything: the refusal is the operating system's, put in place of its answer."""
    write_events(tmp_path, grid_events(DEMO))
    really_open = Path.open

    def refuse(self: Path, *args: Any, **named: Any) -> Any:
        if self.suffix == ".jsonl":
            raise PermissionError(13, "Permission denied", str(self))
        return really_open(self, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    tail = Tail(tmp_path)
    assert tail.poll() == [] and [fault.kind for fault in tail.faults] == ["unreadable"]
    assert "Permission denied" in tail.faults[0].reason


def test_a_folder_of_journals_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no folder")
    with pytest.raises(JournalError, match="journals cannot be read"):
        Tail(tmp_path).poll()


def test_every_command_goes_on_beside_a_line_and_a_journal_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path)
    finish(tmp_path)
    (tmp_path / "journal" / "other.jsonl").write_bytes(HOSTILE["nested deeply"] + b"\n")
    (tmp_path / "journal" / "folder.jsonl").mkdir()
    study = tmp_path / "lengths.yaml"
    study.write_text(STUDY)
    monkeypatch.setenv("ACTIONGRID_STORAGE", str(tmp_path))
    done = {"plan": "4 cells", "status": "4 done of 4 cells", "results": "TAM-Tiny-f8", "catalog": "catalog"}
    for words in (["plan", str(study)], ["status"], ["results"], ["catalog", "rebuild"], ["data", "list"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        assert done.get(words[0], "") in result.output
    result = CliRunner().invoke(app, ["catalog", "check"])
    assert result.exit_code == 1 and "left out: 1 torn, 1 unreadable" in result.output


def test_a_storage_of_which_nothing_can_be_read_does_not_say_that_nothing_is_there(tmp_path: Path) -> None:
    (tmp_path / "journal" / "driver.jsonl").mkdir(parents=True)
    result = CliRunner().invoke(app, ["status", "--storage", str(tmp_path)])
    assert result.exit_code != 0 and "no study can be read" in str(result.exception)
    (tmp_path / "journal" / "driver.jsonl").rmdir()
    (tmp_path / "journal" / "driver.jsonl").write_text("torn\n")
    result = CliRunner().invoke(app, ["status", "--storage", str(tmp_path)])
    assert result.exit_code == 0 and "no study can be read: 1 journal or lines" in result.output


def test_names_that_are_no_text_are_written_so_that_they_can_be_read_and_undone(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.mp4")
    with Journal.open(tmp_path, "w") as journal:
        journal.append(VideosQuarantined("toy", 1, [{"path": name, "reason": "damaged"}]))
        journal.append(StudySubmitted("s", "1", 1, "f", {name: 1}))
    quarantined, submitted = read_events(tmp_path)
    assert isinstance(quarantined, VideosQuarantined) and isinstance(submitted, StudySubmitted)
    assert unescaped(quarantined.videos[0]["path"]) == name
    assert [unescaped(key) for key in submitted.config] == [name]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"inside": value}
    return value


def test_what_could_not_be_read_again_is_not_written() -> None:
    event = StudySubmitted("s", "1", 1, "f", nested(50), time=1.0)
    assert decode(encode(event)) == event
    for refused in (
        StudySubmitted("s", "1", 1, "f", nested(5000), time=1.0),
        CellFailed("k", 1, "e", time=1e300),
    ):
        with pytest.raises(EventError):
            encode(refused)


@pytest.mark.parametrize("event", list(grid_events(DEMO))[:40:5], ids=lambda event: type(event).__name__)
def test_every_flipped_bit_of_a_line_leaves_it_out_or_changes_nothing(event: Any) -> None:
    """Also in the checksum itself and its name, where a change touches nothing that counts."""
    line = encode(event)
    for place in range(len(line) - 1):
        for bit in range(8):
            damaged = line[:place] + bytes([line[place] ^ (1 << bit)]) + line[place + 1 :]
            try:
                assert decode(damaged) == event
            except EventError:
                continue


def test_random_changes_of_a_line_leave_it_out_or_change_nothing() -> None:
    line, source = encode(FINISHED), random.Random(13)
    for _ in range(20_000):
        damaged = bytearray(line[:-1])
        for _ in range(source.randint(1, 4)):
            first, last = sorted(source.randrange(len(damaged) + 1) for _ in range(2))
            how = source.randrange(3)
            if how == 0 and first < len(damaged):
                damaged[first] = source.choice(b'0123456789",:{}e.')
            elif how == 1:
                del damaged[first : min(last, first + 8)]
            else:
                damaged[first:first] = damaged[first : min(last, first + 8)]
        try:
            assert decode(bytes(damaged)) == FINISHED
        except EventError:
            continue


def test_a_changed_digit_is_no_result_and_is_told(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "w") as journal:
        journal.append(FINISHED)
    path = tmp_path / "journal" / "w.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"loss":0.7', b'"loss":0.1'))
    with pytest.raises(DamagedEventError):
        decode(path.read_bytes())
    with Catalog.open(tmp_path) as catalog:
        assert [fault.kind for fault in catalog.faults] == ["damaged"]
        assert catalog.query("SELECT * FROM recorded.finished").num_rows == 0


def test_lines_of_earlier_versions_count_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    events = list(grid_events(DEMO))
    lines = [record_of(event) for event in events]
    (tmp_path / "journal" / "w.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    tail = Tail(tmp_path)
    assert tail.poll() == events and tail.unchecked == len(events) and not tail.faults
