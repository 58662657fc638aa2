"""Lines that are read by the column say what they say one by one, and leave the same lines out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.codec import FIELD_TYPES
from catalog.events import Event
from catalog.journal import Fault, Tail
from catalog.storage.checksums import with_checksum
from tests.support.grid_events import DEMO, grid_events, quarantine_event

ODD = st.sampled_from(
    (
        None,
        True,
        0,
        1,
        2**53 + 1,
        2**63,
        -(2**63),
        0.5,
        1e20,
        10**20,
        1e308,
        "NaN",
        "-Infinity",
        "x",
        [],
        {},
        [None],
        {"a": 2},
    )
)


def lines() -> list[dict[str, Any]]:
    from catalog.codec import encode

    events = [*grid_events(DEMO)]
    some = [*events[:3], *events[-6:], quarantine_event()]
    return [json.loads(encode(event)) for event in some]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_columns_say_what_lines_say(data: st.DataObject, tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.mktemp("storage") / "journal"
    folder.mkdir()
    records = lines()
    for _ in range(data.draw(st.integers(0, 6))):
        record = data.draw(st.sampled_from(records))
        name = data.draw(st.sampled_from([*record, "another"]))
        if data.draw(st.booleans()):
            record.pop(name, None)
        else:
            record[name] = data.draw(ODD)
    written = st.sampled_from((as_written, as_written, as_earlier_versions_wrote, by_hand))
    text = b"".join(data.draw(written)(record) for record in records if record)
    (folder / "w.jsonl").write_bytes(text)
    expected = Tail(folder.parent)
    wanted = {
        (line.writer, line.offset): {
            name: as_column(type(line.event), name, getattr(line.event, name))
            for name in (*FIELD_TYPES[type(line.event)], "time")
        }
        for line in expected.lines()
    }
    tail, found = Tail(folder.parent), {}
    for chunk in tail.columns(data.draw(st.sampled_from((1, 3, 100)))):
        for columns in chunk.values():
            for place, origin in enumerate(columns.origins):
                found[origin] = {name: values[place] for name, values in columns.fields.items()}
    assert repr(sorted(found.items())) == repr(
        sorted((key, by_field(found[key], wanted[key])) for key in wanted)
    )
    assert sorted(map(told, tail.faults)) == sorted(map(told, expected.faults))
    assert tail.unchecked == expected.unchecked


def as_written(record: dict[str, Any]) -> bytes:
    """With the right checksum."""
    rest = {name: value for name, value in record.items() if name != "crc"}
    return with_checksum(compact(rest)) + b"\n"


def as_earlier_versions_wrote(record: dict[str, Any]) -> bytes:
    """Without a checksum."""
    return compact({name: value for name, value in record.items() if name != "crc"}) + b"\n"


def by_hand(record: dict[str, Any]) -> bytes:
    """With spaces: the checksum, if there is one, is out of force."""
    return json.dumps(record).encode() + b"\n"


def compact(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def as_column(event_type: type[Event], name: str, value: object) -> object:
    """Lists and objects as the catalog has them: as JSON, also where there is none."""
    kind = FIELD_TYPES[event_type].get(name)
    return msgspec.json.encode(value).decode() if kind and kind.base in (list, dict) else value


def test_lines_that_no_column_could_hold_do_not_end_the_reading(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    whole = as_written(lines()[0])
    (tmp_path / "journal" / "w.jsonl").write_bytes(whole + b"{}\n" * 5 + whole)
    tail = Tail(tmp_path)
    assert sum(len(columns.origins) for chunk in tail.columns(2) for columns in chunk.values()) == 2
    assert len(tail.faults) == 5


def by_field(like: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in like}


def told(fault: Fault) -> tuple[int, str, str]:
    return fault.offset, fault.kind, fault.reason


def test_what_one_field_may_hold_is_wrong_in_another_all_the_same(tmp_path: Path) -> None:
    records = {record["event"]: record for record in lines()}
    finished, quarantined = records["CellFinished"], records["VideosQuarantined"]
    finished["checkpoints"] = None  # an object, or nothing
    quarantined["videos"] = None  # a list, always
    folder = tmp_path / "journal"
    folder.mkdir()
    text = b"".join(as_earlier_versions_wrote(record) for record in (finished, quarantined))
    (folder / "w.jsonl").write_bytes(text)
    tail = Tail(tmp_path)
    found = [columns.origins for chunk in tail.columns(100) for columns in chunk.values()]
    assert [len(origins) for origins in found] == [1]
    assert "VideosQuarantined.videos" in str(tail.faults[0])
