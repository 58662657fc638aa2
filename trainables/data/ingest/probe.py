"""What a video file really holds: all of it decoded, with PyAV as the arbiter.

Damaged H.264 gives wrong frames without an exception in every decoder; what FFmpeg logs about it is the only
sign. So any error that the file's demuxer or video decoder logs counts as damage. HEVC, VP8 and VP9 have no
redundancy inside a frame: there a few changed bytes can make another valid video, and nothing can tell. A
file that was cut off is damaged too, but for a transport stream, which has no end: that is a shorter video.

A lossless cut of open-GOP H.264 begins with a picture that is no IDR. It then tells the decoder to forget
pictures that lie before the cut; what is logged of that before the first picture is shown is no damage.

Which decoder may read the file later is measured, never told from its name: decord then reads all of it too
and must give the same pictures (it loses frames of MPEG transport streams, counts frames that an edit list
hides, and so on). The arbiter's pictures are handed on as they come, so that a frame store costs no pass of
its own, and has the right frames whatever decord does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from zlib import crc32

import av
import av.error
import av.logging

from trainables.data.ingest.decode import NoVideoStreamError, Picture, RgbConverter, open_pyav, pictures

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

VERSION = "4"

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


def to_json(probe: Probe) -> dict[str, object]:
    """A plain object for a log or a pipe."""
    return asdict(probe)


def from_json(fields: dict[str, Any]) -> Probe:
    """What `to_json` gave."""
    return Rejected(**fields) if "reason" in fields else Probed(**fields)


@dataclass
class _Pass:
    """What PyAV's pass over a file has found so far; `sums` has a checksum of every picture as shown."""

    beat: Callable[[str], None]
    sink: Sink | None
    fps: float = 0.0
    sums: list[int] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    early: int = 0  # of the lines logged, those before the first picture of a file that begins with no IDR

    def show(self, picture: Picture) -> None:
        """The next picture, as shown."""
        if len(self.sums) % _FRAMES_A_BEAT == 0:
            self.beat("pyav")
        self.sizes.add((picture.shape[1], picture.shape[0]))
        self.sums.append(crc32(picture.data))
        if self.sink is not None and not self.errors:
            self.sink.add(picture)


def probe_file(
    path: Path,
    beat: Callable[[str], None] = lambda _: None,
    sink: Sink | None = None,
    use_decord: bool = True,
) -> Probe:
    """Decode the whole file and judge it; the pictures go to `sink`, to be forgotten if it is rejected.

    `beat` is called now and then while frames keep coming, with the name of the decoder at work.

    Raises:
        StoreWriteError: whatever `sink` cannot store.
    """
    if not path.is_file():
        return Rejected("missing: no such file")
    if path.stat().st_size == 0:
        return Rejected("unreadable: the file is empty")
    try:
        found = _decode_with_pyav(str(path), _Pass(beat, sink))
    except NoVideoStreamError:
        return Rejected("no video stream")
    except (av.error.FFmpegError, OSError) as error:
        return Rejected(f"unreadable: {getattr(error, 'strerror', None) or error}")
    return _judged(str(path), found, use_decord)


def _judged(path: str, found: _Pass, use_decord: bool) -> Probe:
    if found.errors:
        first = " ".join(found.errors[0].split())[:120]
        return Rejected(f"damaged: {len(found.errors)} decoder errors; the first: {first}")
    if not found.sums:
        return Rejected("unreadable: no frame in the video stream")
    if len(found.sizes) > 1:
        return Rejected("the picture size changes in mid-stream")
    width, height = next(iter(found.sizes))
    small = len(found.sums) * width * height * 3 <= DECORD_BYTES
    same = small and use_decord and _decord_agrees(path, found)
    return Probed(len(found.sums), found.fps, width, height, "decord" if same else "pyav")


def _decord_agrees(path: str, found: _Pass) -> bool:
    """Whether decord gives the same pictures, no more and no fewer."""
    found.beat("decord")
    number = 0
    try:
        with closing(pictures(path, "decord")) as stream:
            for picture in stream:
                if picture is None or found.sums[number : number + 1] != [crc32(picture.data)]:
                    return False
                number += 1
                if number % _FRAMES_A_BEAT == 0:
                    found.beat("decord")
    except Exception:
        # decord raises its own error classes, RuntimeError and StopIteration's offspring: PyAV then reads
        return False
    return number == len(found.sums)


def _decode_with_pyav(path: str, found: _Pass) -> _Pass:
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture(local=False) as log, open_pyav(path) as (container, stream):
        sources = {container.format.name, stream.codec_context.name}
        found.fps = float(stream.average_rate or stream.guessed_rate or 0)
        _decode_packets(container, stream, found, log)
        stream.codec_context.flush_buffers()
    logged = [
        text
        for place, (level, source, text) in enumerate(log)
        if level <= av.logging.ERROR
        and source in sources
        and not (place < found.early and text.strip() in _FORGET)
    ]
    # the log says more than the exceptions and flags that follow from the same damage
    found.errors = logged or found.errors
    return found


_FORGET = frozenset({"mmco: unref short failure"})
_IDR = 5  # ITU-T H.264, table 7-1: the type of a NAL unit


def _begins_inside(packet: Packet[Any], codec: str) -> bool:
    """Whether an H.264 stream's first packet has no IDR picture, after which nothing before it counts."""
    if codec != "h264":
        return False
    content, place = bytes(packet), 0
    if content.startswith((b"\0\0\1", b"\0\0\0\1")):
        return all(unit[:1] and unit[0] & 31 != _IDR for unit in content.split(b"\0\0\1")[1:])
    while place + 4 < len(content):  # units led by their length, in four bytes as all writers have it
        if content[place + 4] & 31 == _IDR:
            return False
        place += 4 + int.from_bytes(content[place : place + 4], "big")
    return place == len(content)


def _decode_packets(
    container: InputContainer, stream: VideoStream, found: _Pass, log: Sequence[object]
) -> None:
    convert = RgbConverter()
    packets = container.demux(stream)
    inside: bool | None = None
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            if inside is None:
                inside = _begins_inside(packet, stream.codec_context.name)
            if inside and not found.sums:
                found.early = len(log)
            frames = packet.decode()
        except av.error.FFmpegError as error:
            found.errors.append(str(error))
            if isinstance(error, av.error.EOFError):
                return
            continue
        if packet.is_corrupt:  # e.g. packets of a transport stream are missing before it
            found.errors.append("corrupt packet")
        for frame in frames:
            if frame.is_corrupt:
                found.errors.append("corrupt frame")
            found.show(convert(frame))
