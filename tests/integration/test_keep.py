"""`keep: last` over a real chain: one checkpoint a cell is left, and the child started from the best one."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderStorage
from tests.support.running import write_study
from tests.support.studies import actiongrid, query, results
from trainables.training.checkpoint import stored_epochs

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_only_the_last_checkpoints_are_left(tmp_path: Path) -> None:
    study = write_study(tmp_path, "kept", "[tam]", frames="[8, 16]", epochs=4)
    study.write_text(study.read_text().replace("inherit: last", "inherit: best") + "keep: last\n")
    storage = tmp_path / "storage"
    actiongrid("run", study, "--storage", storage, "--cpus", "2")
    rows = results(storage)
    assert [row["frames"] for row in rows] == [16, 8]
    folders = [Path(row["checkpoint_file"]).parent for row in rows]
    assert [stored_epochs(FolderStorage(folder), folder) for folder in folders] == [{4}, {4}]
    assert rows[0]["parent_top1_rechecked"] is not None, "it started from its parent's checkpoint"
    removed = query(storage, "SELECT key, epoch FROM recorded.checkpoints_removed")
    assert {row["key"] for row in removed} == {row["key"] for row in rows}
    assert not {4} & {row["epoch"] for row in removed}
