"""Tiny videos in many containers and codecs, with the frame's number burnt in as black and white blocks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FRAMES, FPS = 96, 64, 60, 25
_ROWS, _COLUMNS, _BITS = 3, 4, 6

Picture = NDArray[np.uint8]


def burnt(number: int) -> Picture:
    """The number's bits and, beside them, their complement, as 4 × 3 blocks."""
    bits = [number >> place & 1 for place in range(_BITS)]
    cells = np.array(bits + [1 - bit for bit in bits], dtype=np.uint8).reshape(_ROWS, _COLUMNS)
    rows = np.arange(HEIGHT) * _ROWS // HEIGHT
    columns = np.arange(WIDTH) * _COLUMNS // WIDTH
    grey = cells[rows][:, columns] * np.uint8(200) + np.uint8(28)
    return np.repeat(grey[..., None], 3, axis=2)


def number_in(picture: Picture) -> int | None:
    """The number that a picture shows; None where its blocks contradict each other."""
    grey = picture.astype(np.float64).mean(axis=2)
    bits = []
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, left = round((row + 0.5) * HEIGHT / _ROWS), round((column + 0.5) * WIDTH / _COLUMNS)
            bits.append(int(grey[top - 4 : top + 4, left - 4 : left + 4].mean() > 128))
    if any(bits[place] == bits[place + _BITS] for place in range(_BITS)):
        return None
    return sum(bit << place for place, bit in enumerate(bits[:_BITS]))


def steady(number: int) -> int:
    return number * 40


def uneven(number: int) -> int:
    """Milliseconds at which frames of a variable rate are shown."""
    return number * 40 + (number % 3) * 13 + (400 if number > 30 else 0)


def late(number: int) -> int:
    return 3_000 + steady(number)


@dataclass(frozen=True)
class Case:
    """One kind of file; `shown` are the numbers it shows, in order."""

    name: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"
    times: Callable[[int], int] = steady
    container: dict[str, str] = field(default_factory=dict)
    shown: Sequence[int] = range(FRAMES)
    turned: bool = False
    cut: int = 0  # frames that an edit list hides at the start


_X264 = {"preset": "veryfast", "bf": "3", "threads": "1"}
_LONG = _X264 | {"g": "250"}
_OPEN = _X264 | {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0"}
_SHORT = _X264 | {"g": "12"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "30"}
_AV1 = {"preset": "10", "g": "30", "crf": "10"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=24:bframes=3:pools=1"}

CASES = (
    *(Case(f"h264 gop 250.{end}", "libx264", _LONG) for end in ("mp4", "mov", "mkv", "avi", "flv", "ts")),
    *(Case(f"h264 gop 12.{end}", "libx264", _SHORT) for end in ("mp4", "mkv", "flv", "ts")),
    *(Case(f"h264 open gop.{end}", "libx264", _OPEN) for end in ("mp4", "mkv", "ts")),
    Case("h264 10 bit.mp4", "libx264", _SHORT, "yuv420p10le"),
    *(Case(f"h264 vfr.{end}", "libx264", _SHORT, times=uneven) for end in ("mp4", "mkv", "flv")),
    Case("h264 edit list.mp4", "libx264", _SHORT, shown=range(15, FRAMES), cut=15),
    Case("h264 edit list long gop.mp4", "libx264", _LONG, shown=range(15, FRAMES), cut=15),
    Case("h264 rotated.mp4", "libx264", _SHORT, turned=True),
    Case("h264 fragmented.mp4", "libx264", _SHORT, container=_FRAGMENTS),
    *(Case(f"h264 late start.{end}", "libx264", _SHORT, times=late) for end in ("mp4", "mkv", "ts")),
    *(Case(f"hevc.{end}", "libx265", _HEVC) for end in ("mp4", "mkv", "ts")),
    *(Case(f"av1.{end}", "libsvtav1", _AV1) for end in ("mp4", "mkv", "webm")),
    Case("vp8.webm", "libvpx", _VP9),
    Case("vp9.webm", "libvpx-vp9", _VP9),
    Case("vp9.mp4", "libvpx-vp9", _VP9),
    Case("vp9 vfr.webm", "libvpx-vp9", _VP9, times=uneven),
    *(Case(f"mpeg4 no b.{end}", "mpeg4", {"bf": "0", "g": "12"}) for end in ("mp4", "avi", "mkv")),
    *(Case(f"mpeg4 b.{end}", "mpeg4", {"bf": "2", "g": "12"}) for end in ("mp4", "avi", "mkv")),
    *(Case(f"mpeg2 b.{end}", "mpeg2video", {"bf": "2", "g": "12"}) for end in ("mpg", "ts", "vob")),
    Case("flv1.flv", "flv", {"g": "12"}),
)


def write(case: Case, path: Path) -> None:
    """Write the case's file; its codec must be there."""
    with av.open(str(path), "w", options=case.container) as container:
        stream = container.add_stream(case.codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, case.pixels
        context = stream.codec_context
        context.options, context.thread_count = case.options, 1
        context.bit_rate = 0 if "crf" in case.options else 400_000
        if case.times is not steady:
            context.time_base = Fraction(1, 1000)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(burnt(number), format="rgb24")
            if case.times is not steady:
                frame.pts, frame.time_base = case.times(number), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if case.cut:
        _hide_first(path, case.cut)
    if case.turned:
        turn(path, HEIGHT)


def _hide_first(path: Path, frames: int) -> None:
    """Copy the packets with earlier times: the muxer hides what lies before zero with an edit list."""
    whole = path.rename(path.with_suffix(".whole.mp4"))
    with (
        av.open(str(whole)) as source,
        av.open(str(path), "w", options={"use_editlist": "1", "avoid_negative_ts": "disabled"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        shift = int(Fraction(frames, FPS) / stream.time_base)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    whole.unlink()


def turn(path: Path, height: int) -> None:
    """Set the matrix of an MP4's track, `height` pixels high as stored, to a quarter turn clockwise."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, height << 16, 0, 1 << 30)
    content[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
