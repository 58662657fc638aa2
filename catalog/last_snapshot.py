"""The snapshot that a command leaves for other readers: what it is made from stands without it."""

from __future__ import annotations

from collections.abc import Callable

from catalog import Catalog


def leave_snapshot(catalog: Catalog, say: Callable[[str], None]) -> None:
    """Publish a snapshot; where the storage does not take it, say so: that makes no result fail."""
    try:
        catalog.snapshot()
    except OSError as error:
        say(f"warning: readers of the snapshot do not see the latest results: {error}")
