from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trainables.recipe.cell_spec import CellSpec


@pytest.fixture(scope="session")
def trained_cell(tmp_path_factory: pytest.TempPathFactory) -> CellSpec:
    """A finished cell on a storage of its own, for reading; who changes something copies the storage."""
    from tests.support.finished_cell import train_cell

    return train_cell(tmp_path_factory.mktemp("trained") / "storage")
