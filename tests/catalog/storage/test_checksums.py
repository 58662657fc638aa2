"""Objects with a checksum: what was written is read, what an accident changed is not, wherever it fell."""

from __future__ import annotations

import json

import pytest

from catalog.storage.checksums import ChecksumError, is_checked, load_checked, with_checksum

FIELDS = {"name": "one", "count": 3}
WRITTEN = with_checksum(json.dumps(FIELDS, separators=(",", ":")).encode())


def test_what_was_written_is_read() -> None:
    assert is_checked(WRITTEN) and load_checked(WRITTEN, ("name",)) == FIELDS


@pytest.mark.parametrize("place", range(len(WRITTEN) + 1))
@pytest.mark.parametrize("put_in", [b" ", b"\n", b"\t", b"\x00", b"0", b'"', b"{"])
def test_a_byte_put_in_anywhere_hides_no_change(place: int, put_in: bytes) -> None:
    """The count is another one, and a byte more stands somewhere, so that the checksum may not be seen."""
    changed = WRITTEN.replace(b'"count":3', b'"count":4')
    content = changed[:place] + put_in + changed[place:]
    if content.startswith(b'{"crc": "') and put_in == b" ":
        assert load_checked(content, ("name",))["count"] == 4, "as other programs write"
        return
    with pytest.raises(ValueError):
        load_checked(content, ("name",))


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_who_writes_an_object_anew_takes_its_checksum_out_of_force(indent: int | None) -> None:
    fields = json.loads(WRITTEN) | {"count": 5}
    anew = json.dumps(fields, indent=indent).encode()
    assert not is_checked(anew) and load_checked(anew, ("name",)) == FIELDS | {"count": 5}


def test_what_earlier_versions_wrote_has_none() -> None:
    older = json.dumps(FIELDS).encode()
    assert load_checked(older, ("name",)) == FIELDS
    with pytest.raises(ChecksumError, match="begins with an unknown field"):
        load_checked(older, ("count",))
