"""Every form of storage in turn, with as many machines as a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.storage.storage import Storage, open_storage
from tests.support.buckets import s3, url

__all__ = ["s3", "url"]

Machine = Callable[[str], Storage]


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What a user would write: of a new storage of each form."""
    return str(request.getfixturevalue("url") if request.param == "bucket" else tmp_path / "storage")


@pytest.fixture
def machine(address: str, tmp_path: Path) -> Machine:
    """Opens the storage on a machine of this name: with a cache folder of its own."""

    def on(name: str) -> Storage:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACTIONGRID_CACHE", str(tmp_path / name))
            return open_storage(address)

    return on
