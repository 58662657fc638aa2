"""Lines that are read by the column say what they say one by one, and leave the same lines out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.journal import Fault, Tail
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
        name = data.draw(st.sampled_from([*record]))
        if data.draw(st.booleans()):
            del record[name]
        else:
            record[name] = data.draw(ODD)
    text = "".join(json.dumps(record) + "\n" for record in records if record)
    (folder / "w.jsonl").write_text(text)
    expected = Tail(folder.parent)
    wanted = {
        (line.writer, line.offset): {name: getattr(line.event, name) for name in line.event.__slots__}
        | {"time": line.event.time}
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


def by_field(like: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in like}


def told(fault: Fault) -> tuple[int, str, str]:
    return fault.offset, fault.kind, fault.reason
