r"""File names as text that every file, screen and database takes, and back.

On Linux a name is bytes. Those that are no UTF-8 reach Python as lone surrogates (`os.fsdecode`), which
neither JSON's readers nor Parquet, DuckDB or a terminal take. They are written `\xNN`, as Python writes
bytes, and so are control characters, which could break a line or a terminal. A backslash that would read as
such an escape is written `\x5c`; all other names stay as they are.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})")
_BYTE = 0xDC00  # what `os.fsdecode` adds to a byte that is no UTF-8


def escaped(name: str) -> str:
    """A name as text in UTF-8 without control characters; `unescaped` gives the name again."""
    return name if name.isprintable() and "\\" not in name else _UNSAFE.sub(_escape, name)


def unescaped(text: str) -> str:
    """The name that `escaped` was given."""
    return text if "\\" not in text else _ESCAPE.sub(_unescape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - _BYTE:02x}"
    # C1 controls are two bytes in UTF-8: their own form keeps them apart from the bytes themselves
    return f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}"


def _unescape(found: re.Match[str]) -> str:
    if found[2] is not None:
        return chr(int(found[2], 16))
    code = int(found[1], 16)
    return chr(code + _BYTE) if code > 0x7F else chr(code)
