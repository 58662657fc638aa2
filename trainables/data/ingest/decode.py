"""Decoding a video file from its first frame on, one thread, with decord or PyAV.

Never a seek: both decoders give wrong frames after seeks in open-GOP H.264 and in AVI with B-frames; read in
sequence they do not. PyAV is the arbiter. decord is imported where it is used: it loads every NVIDIA library
it finds (some 350 MB resident), and its readers read ahead without bound, so none outlives a function here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from catalog.storage.errors import ActionGridError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from trainables.data.frames.frame_format import Decoder

Picture = NDArray[np.uint8]
Pictures = Generator[Picture | None, None, None]

# Files are not trusted: playlists and scripts that make FFmpeg open other files or addresses stay closed.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mpegvideo,h264,hevc,"
    "gif,yuv4mpegpipe,mxf,ivf,nut,dv,rm"
)


class NoVideoStreamError(ActionGridError):
    """A media file without a picture."""


@contextmanager
def open_pyav(path: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the file's main video stream, with one decoding thread.

    Raises:
        av.error.FFmpegError: not a video file.
        NoVideoStreamError: no video in it.
    """
    with av.open(path, options={"format_whitelist": _FORMATS}, metadata_errors="replace") as container:
        stream: Any = container.streams.best("video")
        if stream is None:
            raise NoVideoStreamError("no video in the file", path, "leave it out")
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        yield container, stream


class RgbConverter:
    """Turns decoded frames into RGB pictures as shown, (H, W, 3): the file's display matrix is applied.

    Turned and mirrored as FFmpeg's players do (`fftools`, autorotation). Pixels that are not square are left
    as they are stored.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Picture:
        """One picture; a copy that outlives the frame.

        Raises:
            ValueError: the matrix turns by no multiple of 90 degrees: no rectangle of pixels is that picture.
        """
        rgb = cast("Picture", self._reformatter.reformat(frame, format="rgb24").to_ndarray())
        return np.ascontiguousarray(_as_shown(rgb, frame))


_ONE_DEGREE = 0.0175


def _as_shown(rgb: Picture, frame: VideoFrame) -> Picture:
    """The picture under the display matrix, which takes (x, y) to (a·x + c·y, b·x + d·y)."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return rgb
    a, b, c, d = (float(matrix[place]) for place in (0, 1, 3, 4))
    for one, other in ((a, b), (c, d)):
        if min(abs(one), abs(other)) > _ONE_DEGREE * max(abs(one), abs(other)):
            raise ValueError("the display matrix turns the pictures by no multiple of 90 degrees")
    if abs(a) >= abs(b):
        return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return rgb.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32] | None:
    side_data: Any = frame.side_data
    for place in range(len(side_data)):
        data = side_data[place]
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32)
    return None


def pictures(path: str, decoder: Decoder, wanted: frozenset[int] | None = None) -> Pictures:
    """Every picture of the file in order; None in the place of one that is not in `wanted`.

    Close the generator (or exhaust it) to close the file. Whatever the decoder raises passes through.
    """
    return _decord_pictures(path, wanted) if decoder == "decord" else _pyav_pictures(path, wanted)


def _pyav_pictures(path: str, wanted: frozenset[int] | None) -> Pictures:
    convert = RgbConverter()
    with open_pyav(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            yield convert(frame) if wanted is None or number in wanted else None


def _decord_pictures(path: str, wanted: frozenset[int] | None) -> Pictures:
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(path, num_threads=1)
    try:
        for number in range(len(reader)):
            frame = reader.next()
            yield _three_channels(frame.asnumpy()) if wanted is None or number in wanted else None
    finally:
        del reader


def _three_channels(picture: Picture) -> Picture:
    """Undo decord2 taking the padding at the end of each row for a fourth channel (seen at 48 px width)."""
    height, width, channels = picture.shape
    if channels == 3:
        return picture
    return np.ascontiguousarray(picture.reshape(height, -1)[:, : 3 * width]).reshape(height, width, 3)
