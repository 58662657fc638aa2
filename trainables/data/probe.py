"""What a video file really holds: all of it decoded, with PyAV as the arbiter.

Damaged H.264 gives wrong frames without an exception in every decoder; what FFmpeg logs about it is the only
sign. So any error that the file's demuxer or video decoder logs counts as damage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import av
import av.error
import av.logging

from trainables.data.decode import NoVideoStreamError, RgbConverter, open_pyav, pictures

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VERSION = "1"

# decord reads ahead without bound: longer videos are read with PyAV, one frame at a time
DECORD_BYTES = 512 << 20
_FRAMES_A_BEAT = 100


@dataclass(frozen=True)
class Probed:
    """A file that decodes cleanly; sizes as shown, `decoder` the one to read it with."""

    frames: int
    fps: float
    width: int
    height: int
    decoder: Literal["decord", "pyav"]


@dataclass(frozen=True)
class Rejected:
    """A file that is not to be used, and why."""

    reason: str


Probe = Probed | Rejected


def to_json(probe: Probe) -> dict[str, object]:
    """A plain object for a log or a pipe."""
    return asdict(probe)


def from_json(fields: dict[str, Any]) -> Probe:
    """What `to_json` gave."""
    return Rejected(**fields) if "reason" in fields else Probed(**fields)


@dataclass
class _Pass:
    """What PyAV's pass over a file found; `sums` holds a checksum of every picture as shown."""

    fps: float = 0.0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    sums: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def probe_file(path: Path, beat: Callable[[], None] = lambda: None) -> Probe:
    """Decode the whole file and judge it; `beat` is called now and then while frames keep coming."""
    if not path.is_file():
        return Rejected("missing: no such file")
    if path.stat().st_size == 0:
        return Rejected("unreadable: the file is empty")
    try:
        found = _decode_with_pyav(str(path), beat)
    except NoVideoStreamError:
        return Rejected("no video stream")
    except (av.error.FFmpegError, OSError) as error:
        return Rejected(f"unreadable: {getattr(error, 'strerror', None) or error}")
    return _judge(path, found, beat)


def _judge(path: Path, found: _Pass, beat: Callable[[], None]) -> Probe:
    if found.errors:
        first = " ".join(found.errors[0].split())[:120]
        return Rejected(f"damaged: {len(found.errors)} decoder errors; the first: {first}")
    if not found.sums:
        return Rejected("unreadable: no frame in the video stream")
    if len(found.sizes) > 1:
        return Rejected("the picture size changes in mid-stream")
    width, height = next(iter(found.sizes))
    small = len(found.sums) * width * height * 3 <= DECORD_BYTES
    same = small and _decord_sums(str(path), len(found.sums), beat) == found.sums
    return Probed(len(found.sums), found.fps, width, height, "decord" if same else "pyav")


def _decode_with_pyav(path: str, beat: Callable[[], None]) -> _Pass:
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    found = _Pass()
    with av.logging.Capture(local=False) as log, open_pyav(path) as (container, stream):
        sources = {container.format.name, stream.codec_context.name}
        found.fps = float(stream.average_rate or stream.guessed_rate or 0)
        _decode_packets(container, stream, found, beat)
        stream.codec_context.flush_buffers()
    logged = [text for level, source, text in log if level <= av.logging.ERROR and source in sources]
    # the log says more than the exceptions and flags that follow from the same damage
    found.errors = logged or found.errors
    return found


def _decode_packets(
    container: InputContainer, stream: VideoStream, found: _Pass, beat: Callable[[], None]
) -> None:
    convert = RgbConverter()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.FFmpegError as error:
            found.errors.append(str(error))
            if isinstance(error, av.error.EOFError):
                return
            continue
        for frame in frames:
            picture = convert(frame)
            found.sizes.add((picture.shape[1], picture.shape[0]))
            found.sums.append(crc32(picture.data))
            if frame.is_corrupt:
                found.errors.append("corrupt frame")
            if len(found.sums) % _FRAMES_A_BEAT == 0:
                beat()


def _decord_sums(path: str, frames: int, beat: Callable[[], None]) -> list[int]:
    """Checksums of decord's pictures; of no use where it fails or gives another number of frames."""
    sums: list[int] = []
    try:
        with closing(pictures(path, "decord")) as stream:
            for picture in stream:
                sums.append(crc32(picture.data) if picture is not None else 0)
                if len(sums) > frames:
                    break
                if len(sums) % _FRAMES_A_BEAT == 0:
                    beat()
    except Exception:
        # decord raises its own error classes, RuntimeError and StopIteration's offspring: PyAV then reads
        return []
    return sums
