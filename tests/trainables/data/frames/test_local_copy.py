"""A folder for local copies that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.data.frames.manifest import Manifest
from trainables.data.frames.store_reader import LocalCopyError, copy_shards


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalCopyError, match=r"file/toy.*frames_on_local_disk"):
        copy_shards(Manifest("toy", ("a", "b"), ()), tmp_path, tmp_path / "file")
