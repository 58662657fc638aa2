"""Writing pictures as an H.264 .mp4, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from catalog.storage.atomic import replaced_atomically

QP = 12  # of 51: hardly any loss


def write_h264(frames: NDArray[np.uint8], fps: int, gop: int, path: Path) -> None:
    """Write frames, uint8 (T,H,W,3) with even sizes, as H.264 in mp4 (yuv420p, no B-frames).

    Every `gop` frames a closed group of pictures starts, and the quantiser is constant: what a frame looks
    like after compression depends on no frame outside its group.
    """
    with (
        replaced_atomically(path, durable=False) as temporary,
        av.open(temporary, "w", container_options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # another number of threads would give other bytes
        context.gop_size = gop
        context.options = {
            "qp": str(QP),
            "preset": "veryfast",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:threads=1",
        }
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
