"""Parquet files that carry a checksum and say whose they are.

The CRC-32 of all other bytes stands between the pages and the footer, where no reader looks. What earlier
versions wrote has none and is read as it is.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import write_atomically
from catalog.storage.checksums import ChecksumError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MARK = b"actiongrid crc32 "
_SUM_BYTES = len(_MARK) + 8
_TAIL_BYTES = 8  # the footer's length and Parquet's own mark
_OWNER = b"actiongrid.of"
_LARGE = 4 << 20
"""Bytes from which threads are worth it: a process that ends while Arrow still starts them is aborted."""


def write_parquet(table: pa.Table, path: Path, key: str = "") -> None:
    """Write a table as a Parquet file with a checksum; a reader sees the old file or the whole new one.

    With the `key` of the cell that it is of it also notes that and its own name.
    """
    import io

    import pyarrow.parquet as pq

    stream = io.BytesIO()
    notes = {_OWNER: _owner(key, path)} if key else {}
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
            wanted = None if columns is None else [name for name in columns if name in names]
            table = file.read(wanted, use_threads=len(content) > _LARGE)
            has_room = _end_of_pages(file.metadata) + _SUM_BYTES == _footer_start(content)
    except (pa.ArrowException, OSError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"not a Parquet file ({error})") from error
    notes = table.schema.metadata or {}
    if has_room and not checked:
        raise ChecksumError("lacks its checksum")
    if key and notes.get(_OWNER, _owner(key, path)) != _owner(key, path):
        raise ChecksumError("is of another cell or another epoch")
    return table


def _owner(key: str, path: Path) -> bytes:
    return f"{key} {path.name}".encode()


def _end_of_pages(metadata: pq.FileMetaData) -> int:
    """Where the last page ends. Behind it stands a checksum, or, in a file of another writer, the footer."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return max((_start(column) + column.total_compressed_size for column in columns), default=len(b"PAR1"))


def _start(column: pq.ColumnChunkMetaData) -> int:
    first = column.dictionary_page_offset
    return int(column.data_page_offset if first is None else min(first, column.data_page_offset))


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
