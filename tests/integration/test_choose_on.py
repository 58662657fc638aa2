"""A whole study whose epochs are chosen on training videos that were held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.running import write_study
from tests.support.studies import actiongrid, query

pytestmark = pytest.mark.slow


@pytest.mark.long
def test_a_study_that_holds_videos_out_says_so_everywhere(tmp_path: Path) -> None:
    file = write_study(tmp_path, "held-out", "[tam]", "[8, 16]")
    plain = actiongrid("plan", file, "--storage", tmp_path / "storage")
    file.write_text(file.read_text().replace("inherit: last", "inherit: best") + "choose_on: 25%\n")
    actiongrid("run", file, "--storage", tmp_path / "storage", "--cpus", "2")
    rows = query(
        tmp_path / "storage",
        "SELECT train_videos, eval_videos, choose_on, choose_videos, chosen_on, best_epoch, caveats, key "
        "FROM results ORDER BY frames",
    )
    assert len(rows) == 2
    for row in rows:
        assert (row["train_videos"], row["eval_videos"], row["choose_videos"]) == (12, 8, 4)
        assert (row["choose_on"], row["chosen_on"]) == (0.25, "25 % of the training videos")
        assert row["caveats"] == ""
        epochs = query(
            tmp_path / "storage", f"SELECT choose_top1 FROM epochs WHERE key = '{row['key']}' ORDER BY epoch"
        )
        chosen = [one["choose_top1"] for one in epochs]
        assert row["best_epoch"] == chosen.index(max(chosen)) + 1
    explained = actiongrid("explain", "TAM-Tiny-f16@synthetic-motion", "--storage", tmp_path / "storage")
    assert "best epoch, chosen on 25 % of the training videos, held out of training" in explained
    assert "best epochs are chosen on the validation videos that are reported" in plain
    planned = actiongrid("plan", file, "--storage", tmp_path / "storage")
    assert "best epochs are chosen on 25 % of the training videos, held out of training" in planned
    assert "2 done, 0 to run" in planned
