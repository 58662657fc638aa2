"""Display matrices that turn and mirror: pictures are kept as FFmpeg shows them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.support.paths import ROOT
from trainables.data.ingest.decode import Picture, pictures
from trainables.data.ingest.probe import Probed, probe_file

FOLDER = ROOT / "tests" / "cases" / "mirrored-display-matrix"


def shown(name: str) -> list[Picture]:
    return [picture for picture in pictures(str(FOLDER / name), "pyav") if picture is not None]


@pytest.mark.parametrize(
    ("name", "as_ffmpeg"),
    [
        ("hflip.mp4", np.fliplr),
        ("vflip.mp4", np.flipud),
        ("transpose.mp4", lambda picture: picture.transpose(1, 0, 2)),
    ],
)
def test_pictures_are_mirrored_as_ffmpeg_does(name: str, as_ffmpeg: Callable[[Picture], Picture]) -> None:
    plain, found = shown("plain.mp4"), shown(name)
    assert len(found) == len(plain) > 0
    for one, other in zip(plain, found, strict=True):
        assert np.array_equal(as_ffmpeg(one), other)
    assert isinstance(probe_file(FOLDER / name), Probed)
