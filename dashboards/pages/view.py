"""What a page is made from: the catalog, the address, the colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog import Catalog
from catalog.queries.filters import Filters
from dashboards.pages.address import Address
from dashboards.render.theme import Theme


@dataclass(frozen=True)
class View:
    """One look at one page. `storage` is shown in commands that people may copy."""

    catalog: Catalog
    address: Address
    theme: Theme
    storage: Path

    @property
    def filters(self) -> Filters:
        """The filters of the address."""
        return self.address.filters
