"""What a result says of its epochs together: times, rates, the largest memory, in what they were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.storage.folder_storage import FolderStorage
from tests.support.toy import toy_spec
from trainables.training.checkpoint import CheckpointRecord
from trainables.training.result import CellResult, Provenance, read_result, write_result

BF16, TF32, FP32, CPU = (
    {"gpu": float(gpu), "bf16": float(bf16), "tf32": float(tf32)}
    for gpu, bf16, tf32 in ((1, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 0))
)
HARDWARE = {"device": "H100", "workers": 2}


def result_of(folder: Path, *epochs: dict[str, Any], choose_videos: int = 0) -> CellResult:
    """The result of epochs of 10 clips in 2 s and 6 videos in 3 s, but for what is said of one."""
    plain = {"train_seconds": 2.0, "eval_seconds": 3.0, "train_clips": 10, "eval_videos": 6, "top1": 50.0}
    history = tuple(
        {"epoch": number, "peak_memory_bytes": 100, **plain, **said} for number, said in enumerate(epochs, 1)
    )
    kept = {
        number: CheckpointRecord(
            number, f"hash {number}", f"{number}.pt", f"{number}.parquet", history[:number]
        )
        for number in range(1, len(history) + 1)
    }
    spec, known = toy_spec(folder, folder), Provenance({"torch": "2"}, HARDWARE, 7, 9)
    written = write_result(FolderStorage(folder), spec, history, kept, None, known, 16, choose_videos)
    assert read_result(folder, spec.key) == written
    return written


def test_epochs_in_different_precisions_are_counted(tmp_path: Path) -> None:
    """A cell that went on elsewhere: what `hardware` says holds for its last machine alone."""
    result = result_of(tmp_path, BF16, CPU, TF32, BF16, FP32)
    counts = {"bf16 on a GPU": 2, "fp32 on a CPU": 1, "tf32 on a GPU": 1, "fp32 on a GPU": 1}
    assert result.hardware == {**HARDWARE, "epochs_in": counts}
    two = result_of(tmp_path, BF16, CPU)
    assert two.hardware["epochs_in"] == {"bf16 on a GPU": 1, "fp32 on a CPU": 1}


@pytest.mark.parametrize("epochs", [[BF16], [CPU, CPU], [{}, {}], [{}, CPU]])
def test_epochs_that_are_alike_or_of_which_nothing_is_known_are_not(
    epochs: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert result_of(tmp_path, *epochs).hardware == HARDWARE


def test_numbers_are_of_all_epochs_together(tmp_path: Path) -> None:
    result = result_of(
        tmp_path,
        {"accumulation": 4, "peak_memory_bytes": 300, "train_seconds": 4.0},
        {"accumulation": 2, "top1": 60.0},
        {"peak_memory_bytes": 200, "eval_seconds": 9.0},
        choose_videos=4,
    )
    assert (result.accumulation, result.peak_memory_bytes) == (4, 300)
    assert (result.train_seconds, result.eval_seconds) == (8.0, 15.0)
    assert result.train_clips_per_second == 30 / 8
    assert result.eval_clips_per_second == 3 * (6 + 4) / 15
    assert (result.last_epoch, result.best_epoch, result.eval_videos, result.train_videos) == (3, 2, 6, 16)
    assert [result.checkpoint(which)["sha256"] for which in ("last", "best")] == ["hash 3", "hash 2"]


def test_the_evaluated_videos_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    assert result_of(tmp_path, {}, {"eval_videos": 8}).eval_videos == 8
