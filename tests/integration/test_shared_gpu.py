"""Two cells at half a GPU each, on a Ray that counts one GPU which is not there: both run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.running import write_study
from tests.support.studies import actiongrid, query

pytestmark = pytest.mark.slow

OVERLAP = """
    SELECT count(*) AS pairs FROM attempts AS one JOIN attempts AS other
    ON one.key < other.key AND one.started < other.ended AND other.started < one.ended
"""


@pytest.mark.long
def test_two_cells_share_a_gpu(tmp_path: Path) -> None:
    study = write_study(tmp_path, "shared", "[tsn, tam]", epochs=8)
    text = study.read_text()
    study.write_text(text + "resources: {default: {gpus_per_worker: auto, gpu_memory_gb: 2}}\n")
    storage = tmp_path / "storage"
    actiongrid("run", study, "--storage", storage, "--cpus", "2", "--gpus", "1")
    cells = query(
        storage,
        "SELECT config ->> '$.resources.gpus_per_worker' AS gpus, estimated_memory_bytes AS bytes, "
        "peak_memory_bytes AS peak FROM results",
    )
    assert [float(cell["gpus"]) for cell in cells] == [0.5, 0.5]
    assert all(0 < cell["bytes"] < cell["peak"] for cell in cells), "on a CPU the peak is the whole process's"
    assert query(storage, OVERLAP) == [{"pairs": 1}]
