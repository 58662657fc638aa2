"""Frames from the frame store: the JPEGs that are needed, decoded in the calling thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock, local

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from trainables.data.frames.manifest import Video
from trainables.data.frames.reader import Frame, FrameReader, ReadError, check_numbers
from trainables.data.frames.shard import ShardError, ShardFrames

RESIDENT_BYTES = 64 << 20
_PAGES_A_FRAME = 64 << 10  # what the system maps around each place that is read


class FrameStoreReader(FrameReader):
    """Reads the shards of one dataset. Keeps no frame: the page cache does, for all cells of the machine."""

    def __init__(self, directory: Path) -> None:
        """Read from the shards in `directory`."""
        self._directory = directory
        self._shards: dict[str, ShardFrames] = {}
        self._touched: dict[str, ShardFrames] = {}
        self._touched_bytes = 0
        self._lock = Lock()
        self._scratch = local()

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        """The frames `numbers`, uint8 (H,W,3); each is overwritten when the thread asks for the next.

        Raises:
            ReadError: a number out of range, a shard that cannot be read or a JPEG that cannot be decoded.
        """
        check_numbers(video, numbers)
        shard = self._shard(video)
        buffer = self._buffer(video)
        try:
            for number in numbers.tolist():
                jpeg = shard.jpeg(video.first_row + number)
                picture = simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=True, buffer=buffer)
                if picture.shape != (video.height, video.width, 3):
                    raise _unreadable(video, f"frame {number} is {picture.shape[1]} x {picture.shape[0]}")
                yield picture
        except (ValueError, IndexError) as error:
            raise _unreadable(video, str(error)) from error
        finally:
            self._release(video, shard, len(numbers))

    def _release(self, video: Video, shard: ShardFrames, frames: int) -> None:
        """Let go of mapped memory now and then: a call for every clip would cost a tenth of its decoding."""
        with self._lock:
            self._touched[video.shard] = shard
            self._touched_bytes += frames * _PAGES_A_FRAME
            if self._touched_bytes < RESIDENT_BYTES:
                return
            touched, self._touched, self._touched_bytes = self._touched, {}, 0
        for one in touched.values():
            one.release()

    def _shard(self, video: Video) -> ShardFrames:
        with self._lock:
            shard = self._shards.get(video.shard)
            if shard is None:
                try:
                    shard = ShardFrames(self._directory / video.shard)
                except ShardError as error:
                    raise ReadError(str(error)) from error
                self._shards[video.shard] = shard
            return shard

    def _buffer(self, video: Video) -> NDArray[np.uint8]:
        size = video.height * video.width * 3
        buffer: NDArray[np.uint8] | None = getattr(self._scratch, "buffer", None)
        if buffer is None or buffer.nbytes < size:
            buffer = self._scratch.buffer = np.empty(size, dtype=np.uint8)
        return buffer


def _unreadable(video: Video, what: str) -> ReadError:
    return ReadError(
        f"{what}; {video.path} in shard {video.shard}; "
        "run `actiongrid data verify`, then build the dataset again"
    )
