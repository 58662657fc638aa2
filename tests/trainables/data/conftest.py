from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.clips import SHARED_VIDEOS, make_clips
from trainables.data.datasets import SyntheticAppearance, SyntheticMotion
from trainables.data.frames.manifest import Manifest
from trainables.data.ingest.build import build_dataset

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real clips beside the checkout, or of made ones of the same kinds where it is missing."""
    if SHARED_VIDEOS.is_dir():
        return SHARED_VIDEOS
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def motion_config() -> SyntheticMotion:
    return SyntheticMotion(train_per_class=4, val_per_class=3)


@pytest.fixture(scope="session")
def motion(tmp_path_factory: pytest.TempPathFactory, motion_config: SyntheticMotion) -> Manifest:
    return build_dataset(motion_config, "motion", tmp_path_factory.mktemp("motion"))


@pytest.fixture(scope="session")
def appearance(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    config = SyntheticAppearance(train_per_class=4, val_per_class=3)
    return build_dataset(config, "appearance", tmp_path_factory.mktemp("appearance"))
