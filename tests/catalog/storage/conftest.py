from __future__ import annotations

from pathlib import Path

import pytest

from catalog.storage.mirror import Mirror
from tests.support.buckets import open_mirror, s3, url

__all__ = ["s3", "url"]


@pytest.fixture
def mirror(url: str) -> Mirror:
    return open_mirror(url)


@pytest.fixture
def elsewhere(url: str, tmp_path: Path) -> Mirror:
    """The same bucket on another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONGRID_CACHE", str(tmp_path / "elsewhere"))
        return open_mirror(url)
