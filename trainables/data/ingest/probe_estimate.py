"""How much a video will take in the frame store, from its key frames alone."""

from __future__ import annotations

from pathlib import Path

import av.error

from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.spool import encoded
from trainables.data.ingest.decode import NoVideoStreamError, RgbConverter, open_pyav

_KEY_FRAMES = 8


def estimate_bytes(path: Path, frame_format: FrameFormat) -> int | None:
    """Bytes of all the video's JPEGs: its packets, counted, times the mean of its first key frames.

    Takes a fraction of decoding the video. None where it cannot be read.
    """
    sizes: list[int] = []
    packets = 0
    try:
        with open_pyav(str(path)) as (container, stream):
            stream.codec_context.skip_frame = "NONKEY"
            convert = RgbConverter()
            for packet in container.demux(stream):
                packets += packet.size > 0
                if len(sizes) < _KEY_FRAMES:
                    sizes += [len(encoded(convert(frame), frame_format)) for frame in packet.decode()]
    except (NoVideoStreamError, av.error.FFmpegError, OSError, ValueError):
        return None
    return packets * sum(sizes) // len(sizes) if sizes else None
