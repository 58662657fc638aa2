"""Sizes of files as people read them."""

from __future__ import annotations


def bytes_text(count: float) -> str:
    """`count` bytes with a binary prefix, e.g. `4.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"
