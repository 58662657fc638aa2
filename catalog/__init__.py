"""What is known: journals of events, the DuckDB catalog projected from them, exports.

The journal is the only truth; the catalog can be deleted and rebuilt from it at any time.
Importing this package is cheap: DuckDB and pyarrow are loaded at the first use of the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.catalog import Catalog, CatalogError, QueryError
    from catalog.journal import Journal, JournalError, Tail, read_events

_HOMES = {
    "Catalog": "catalog.catalog",
    "CatalogError": "catalog.catalog",
    "QueryError": "catalog.catalog",
    "Journal": "catalog.journal",
    "JournalError": "catalog.journal",
    "Tail": "catalog.journal",
    "read_events": "catalog.journal",
}

__all__ = [
    "Catalog",
    "CatalogError",
    "Journal",
    "JournalError",
    "QueryError",
    "Tail",
    "read_events",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (the module protocol's own signature)
    """Load a public name from its module at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'catalog' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
