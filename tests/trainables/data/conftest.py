from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.paths import SHARED
from trainables.data.datasets import SyntheticAppearance, SyntheticMotion
from trainables.data.frames.manifest import Manifest
from trainables.data.ingest.build import build_dataset

torch.set_num_threads(1)

SHARED_VIDEOS = SHARED / "videos"


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """The folder of real clips beside the checkout."""
    if not SHARED_VIDEOS.is_dir():
        pytest.skip("the shared real clips are not here")
    return SHARED_VIDEOS


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
