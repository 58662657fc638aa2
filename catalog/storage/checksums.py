"""JSON objects that carry a checksum, so that no altered value is taken for a recorded one.

A JSON object begins with `"crc"`, the CRC-32 of all bytes behind it. What earlier versions wrote has none and
is read as it is. CRC-32 finds every change of up to 32 neighbouring bits, of others all but one in 2³²; it
guards against accidents, not against forgery.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from catalog.storage.errors import ActionGridError

_FIELD = "crc"
_HEAD = b'{"crc":"'
_START = len(b'{"crc":"01234567",')
_WRITTEN_ANEW = b'"crc": "'
"""As other programs write a field: an accident seldom does."""


class ChecksumError(ActionGridError, ValueError):
    """Content that differs from what was written."""


def with_checksum(content: bytes) -> bytes:
    """A JSON object as bytes, not empty and without space before its first field, with its checksum."""
    rest = content[1:]
    return b'%s%08x",%s' % (_HEAD, zlib.crc32(rest), rest)


def is_checked(content: bytes) -> bool:
    """Whether a JSON object carries a checksum."""
    return content.startswith(_HEAD)


def lines_hold(lines: Iterable[bytes]) -> bool:
    """Whether each of these lines, its line break included, carries a checksum, and the right one."""
    return all(line.startswith(b'%s%08x",' % (_HEAD, zlib.crc32(line[_START:-1]))) for line in lines)


def load_checked(content: bytes, names: Collection[str], *, with_nan: bool = False) -> dict[str, Any]:
    """The fields of a JSON object after its checksum, if it has one.

    `names` are the fields of which one stands first where there is no checksum: without this a change of the
    checksum's own name would let other changes pass unseen. Who writes an object anew, with spaces as JSON's
    writers put them, takes its checksum out of force; a checksum that stands elsewhere, or behind a space, is
    damage. `with_nan` takes NaN and infinity, which are no JSON.

    Raises:
        ChecksumError: the checksum does not hold, or its place holds something else.
        ValueError: not a JSON object in UTF-8.
    """
    checked = is_checked(content)
    if checked and b'%08x",' % zlib.crc32(memoryview(content)[_START:]) != content[len(_HEAD) : _START]:
        raise ChecksumError("does not match its checksum")
    record = _loaded(content, with_nan=with_nan)
    if not isinstance(record, dict):
        raise ValueError("not an object")
    if not checked and next(iter(record), _FIELD) not in {_FIELD, *names}:
        raise ChecksumError("begins with an unknown field")
    if not checked and _FIELD in record and _WRITTEN_ANEW not in content:
        raise ChecksumError("its checksum is not where it was written")
    record.pop(_FIELD, None)
    return record


def _loaded(content: bytes, *, with_nan: bool) -> Any:  # noqa: ANN401  (any JSON value)
    try:
        # Several times as fast as the standard library's, and strict: no parts of characters either.
        return msgspec.json.decode(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        if not with_nan:
            raise
    return parse_json(content.decode())


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """What a JSON text holds, NaN and infinity among it.

    Raises:
        ValueError: no JSON, not in UTF-8, or nested so deeply that the interpreter gives up.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
