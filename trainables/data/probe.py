"""What a video file really holds: all of it decoded, with PyAV as the arbiter.

Damaged H.264 gives wrong frames without an exception in every decoder; what FFmpeg logs about it is the only
sign. So any error that the file's demuxer or video decoder logs counts as damage. HEVC, VP8 and VP9 have no
redundancy inside a frame: there a few changed bytes can make another valid video, and nothing can tell. A
file that was cut off is damaged too, but for a transport stream, which has no end: that is a shorter video.

Which decoder to trust is measured, never told from a file's name: decord loses frames of MPEG transport
streams, counts frames that an edit list hides, and so on. While the second pass compares, it can hand the
pictures on, so that a frame store costs no third pass.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from zlib import crc32

import av
import av.error
import av.logging

from trainables.data.decode import NoVideoStreamError, Picture, RgbConverter, open_pyav, pictures
from trainables.data.store_spool import StoreWriteError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from trainables.data.manifest import Decoder

VERSION = "2"

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


class Sink(Protocol):
    """Takes a video's pictures in order."""

    def add(self, picture: Picture) -> None:
        """The next picture as shown, uint8 (H,W,3)."""
        ...

    def restart(self) -> None:
        """Forget all pictures: they come again from the first one on."""
        ...


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


def probe_file(
    path: Path,
    beat: Callable[[str], None] = lambda _: None,
    sink: Sink | None = None,
    use_decord: bool = True,
) -> Probe:
    """Decode the whole file and judge it; a clean file's pictures go to `sink`.

    `beat` is called now and then while frames keep coming, with the name of the decoder at work.

    Raises:
        StoreWriteError: whatever `sink` cannot store.
    """
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
    return _bad(found) or _judge(str(path), found, _Watched(beat, sink), use_decord)


def _bad(found: _Pass) -> Rejected | None:
    if found.errors:
        first = " ".join(found.errors[0].split())[:120]
        return Rejected(f"damaged: {len(found.errors)} decoder errors; the first: {first}")
    if not found.sums:
        return Rejected("unreadable: no frame in the video stream")
    if len(found.sizes) > 1:
        return Rejected("the picture size changes in mid-stream")
    return None


@dataclass(frozen=True)
class _Watched:
    """Who follows the second pass."""

    beat: Callable[[str], None]
    sink: Sink | None


def _judge(path: str, found: _Pass, watched: _Watched, use_decord: bool) -> Probe:
    width, height = next(iter(found.sizes))
    small = len(found.sums) * width * height * 3 <= DECORD_BYTES
    decoder: Decoder = "pyav"
    if small and use_decord and _shows_the_same(path, "decord", found.sums, watched):
        decoder = "decord"
    elif watched.sink is not None:
        watched.sink.restart()
        if not _shows_the_same(path, "pyav", found.sums, watched):
            return Rejected("unreadable: read twice, it gives other frames the second time")
    return Probed(len(found.sums), found.fps, width, height, decoder)


def _shows_the_same(path: str, decoder: Decoder, sums: list[int], watched: _Watched) -> bool:
    """Whether the decoder gives the pictures of these checksums, no more and no fewer."""
    watched.beat(decoder)
    number = 0
    try:
        with closing(pictures(path, decoder)) as stream:
            for picture in stream:
                if picture is None or number == len(sums) or crc32(picture.data) != sums[number]:
                    return False
                if watched.sink is not None:
                    watched.sink.add(picture)
                number += 1
                if number % _FRAMES_A_BEAT == 0:
                    watched.beat(decoder)
    except StoreWriteError:
        raise
    except Exception:
        # decord raises its own error classes, RuntimeError and StopIteration's offspring: PyAV then reads
        return False
    return number == len(sums)


def _decode_with_pyav(path: str, beat: Callable[[str], None]) -> _Pass:
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
    container: InputContainer, stream: VideoStream, found: _Pass, beat: Callable[[str], None]
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
        if packet.is_corrupt:  # e.g. packets of a transport stream are missing before it
            found.errors.append("corrupt packet")
        for frame in frames:
            picture = convert(frame)
            found.sizes.add((picture.shape[1], picture.shape[0]))
            found.sums.append(crc32(picture.data))
            if frame.is_corrupt:
                found.errors.append("corrupt frame")
            if len(found.sums) % _FRAMES_A_BEAT == 0:
                beat("pyav")
