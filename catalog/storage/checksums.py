"""JSON objects and Parquet files that carry a checksum, so that no altered value is taken for a recorded one.

A JSON object begins with `"crc"`, the CRC-32 of all bytes behind it. What earlier versions wrote has none and
is read as it is. CRC-32 finds every change of up to 32 neighbouring bits, of others all but one in 2³²; it
guards against accidents, not against forgery. In a Parquet file it stands between the pages and the footer,
where no reader looks.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.storage.atomic import write_atomically
from catalog.storage.errors import ActionGridError

if TYPE_CHECKING:
    import pyarrow as pa

_FIELD = "crc"
_HEAD = b'{"crc":"'
_START = len(b'{"crc":"01234567",')


class ChecksumError(ActionGridError, ValueError):
    """Content that differs from what was written."""


def with_checksum(content: bytes) -> bytes:
    """A JSON object as bytes, not empty and without space before its first field, with its checksum."""
    rest = content[1:]
    return b'%s%08x",%s' % (_HEAD, zlib.crc32(rest), rest)


def is_checked(content: bytes) -> bool:
    """Whether a JSON object carries a checksum."""
    return content.startswith(_HEAD)


def load_checked(content: bytes, names: Collection[str], *, with_nan: bool = False) -> dict[str, Any]:
    """The fields of a JSON object after its checksum, if it has one.

    `names` are the fields of which one stands first where there is no checksum: without this a change of the
    checksum's own name would let other changes pass unseen. Who writes an object anew, with spaces as JSON's
    writers put them, takes its checksum out of force. `with_nan` takes NaN and infinity, which are no JSON.

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
    try:
        return json.loads(content.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


_MARK = b"actiongrid crc32 "
_SUM_BYTES = len(_MARK) + 8
_TAIL_BYTES = 8  # the footer's length and Parquet's own mark
_SAYS_SO = b"actiongrid.checksum"
_OWNER = b"actiongrid.of"


def write_parquet(table: pa.Table, path: Path, key: str = "") -> None:
    """Write a table as a Parquet file with a checksum; a reader sees the old file or the whole new one.

    With the `key` of the cell that it is of it also notes that and its own name.
    """
    import io

    import pyarrow.parquet as pq

    stream = io.BytesIO()
    notes = {_SAYS_SO: b"crc32"} | ({_OWNER: _owner(key, path)} if key else {})
    pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | notes), stream)
    content = stream.getvalue()
    cut = _footer_start(content)
    check = b"%s%08x" % (_MARK, zlib.crc32(content))
    write_atomically(path, content[:cut] + check + content[cut:])


def read_parquet(path: Path, columns: list[str] | None = None, key: str = "") -> pa.Table:
    """The table of a Parquet file after its checksum, if it has one; of `columns` those that are there.

    With a `key` it has to be that cell's file of this name, where it says whose it is.

    Raises:
        OSError: it cannot be read.
        ChecksumError: it is not what was written.
        ValueError: not a Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = path.read_bytes()
    checked = _verify(content)
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            names = file.schema_arrow.names
            table = file.read(None if columns is None else [name for name in columns if name in names])
    except (pa.ArrowException, OSError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"not a Parquet file ({error})") from error
    notes = table.schema.metadata or {}
    if not checked and _SAYS_SO in notes:
        raise ChecksumError("lacks its checksum")
    if key and notes.get(_OWNER, _owner(key, path)) != _owner(key, path):
        raise ChecksumError("is of another cell or another epoch")
    return table


def _owner(key: str, path: Path) -> bytes:
    return f"{key} {path.name}".encode()


def _footer_start(content: bytes) -> int:
    return len(content) - _TAIL_BYTES - int.from_bytes(content[-_TAIL_BYTES : -_TAIL_BYTES + 4], "little")


def _verify(content: bytes) -> bool:
    """Whether a file has a checksum; ChecksumError where it does not hold."""
    cut = _footer_start(content)
    check = content[cut - _SUM_BYTES : cut] if cut >= _SUM_BYTES else b""
    if not check.startswith(_MARK):
        return False
    if check[len(_MARK) :] != b"%08x" % zlib.crc32(content[cut:], zlib.crc32(content[: cut - _SUM_BYTES])):
        raise ChecksumError("does not match its checksum")
    return True
