"""Display matrices that turn and mirror: pictures are kept as FFmpeg shows them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.paths import ROOT
from trainables.data.ingest.decode import Picture, _as_shown, pictures
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


class WithMatrix:
    """A frame of which nothing is known but its side data: something else, then the display matrix."""

    def __init__(self, a: float, b: float, c: float, d: float) -> None:
        fixed = [round(65536 * one) for one in (a, b)] + [0] + [round(65536 * one) for one in (c, d)]
        matrix = np.array([*fixed, 0, 0, 0, 1 << 30], np.int32)
        self.side_data = [self.Data("SEI_UNREGISTERED", b"x"), self.Data("DISPLAYMATRIX", matrix.tobytes())]

    class Data:
        """One piece of side data."""

        def __init__(self, kind: str, content: bytes) -> None:
            self.type, self._content = SimpleNamespace(name=kind), content

        def __bytes__(self) -> bytes:
            return self._content


def moved(picture: Picture, a: int, b: int, c: int, d: int) -> Picture:
    """Pixel by pixel from (x, y) to (a x + c y, b x + d y), moved into the picture."""
    height, width, _ = picture.shape
    places = {
        (a * x + c * y, b * x + d * y): picture[y, x] for y in range(height) for x in range(width)
    }  # fmt: skip
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    wide, high = (max(place[axis] for place in places) + 1 for axis in (0, 1))
    found = np.zeros((high - top, wide - left, 3), np.uint8)
    for (x, y), pixel in places.items():
        found[y - top, x - left] = pixel
    return found


PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("straight", [True, False])
@pytest.mark.parametrize("one", [1, -1])
@pytest.mark.parametrize("other", [1, -1])
def test_each_turn_and_mirror_takes_every_pixel_to_its_place(straight: bool, one: int, other: int) -> None:
    matrix = (one, 0, 0, other) if straight else (0, one, other, 0)
    found = _as_shown(PICTURE, WithMatrix(*matrix))  # type: ignore[arg-type]
    assert np.array_equal(found, moved(PICTURE, *matrix))


def test_about_a_degree_is_rounding_and_more_is_refused() -> None:
    nearly = WithMatrix(1, 0.017, -0.017, 1)
    assert np.array_equal(_as_shown(PICTURE, nearly), PICTURE)  # type: ignore[arg-type]
    for wrong in (WithMatrix(1, 0.018, 0, 1), WithMatrix(1, 0, 0.018, 1), WithMatrix(0.018, 1, 1, 0)):
        with pytest.raises(ValueError, match="no multiple of 90 degrees"):
            _as_shown(PICTURE, wrong)  # type: ignore[arg-type]


def test_a_frame_without_a_matrix_is_shown_as_it_is() -> None:
    frame = WithMatrix(-1, 0, 0, -1)
    frame.side_data = frame.side_data[:1]
    assert _as_shown(PICTURE, frame) is PICTURE  # type: ignore[arg-type]
