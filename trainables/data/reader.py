"""From a video and frame numbers to pixels, behind one small interface."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import closing
from itertools import islice
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainables.data.manifest import Video

Frames = NDArray[np.uint8]

DEFAULT_CACHE_BYTES = 512 << 20
_LARGEST_SHARE = 8  # a video is kept only where at least this many of its size fit into the cache


class ReadError(Exception):
    """A video of the manifest could not be read: `what; where; what to do`."""


class FrameReader(Protocol):
    """Gives frames of a video; safe to call from several threads."""

    def read(self, video: Video, indices: NDArray[np.int64]) -> Frames:
        """Frames `indices` (any order, repeats allowed), uint8 (T,H,W,3); the caller owns the array."""
        ...


class DecordReader:
    """Decodes with the decoder that the manifest names for each video: from the start, then closes the file.

    Small videos are kept decoded, least recently used out first, within `cache_bytes`; of longer ones only
    the frames asked for are decoded to pixels, and nothing is kept.
    """

    def __init__(self, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._cache_bytes = cache_bytes
        self._cached: OrderedDict[tuple[str, str], Frames] = OrderedDict()
        self._used = 0
        self._lock = Lock()

    @property
    def cached_bytes(self) -> int:
        """Bytes of pixels held now."""
        return self._used

    def read(self, video: Video, indices: NDArray[np.int64]) -> Frames:
        """Frames `indices`, uint8 (T,H,W,3).

        Raises:
            ReadError: an index out of range, or a file that no longer decodes as when the manifest was built.
        """
        if indices.size == 0 or indices.min() < 0 or indices.max() >= video.frames:
            raise ReadError(
                f"frames {indices.tolist()} of a video of {video.frames} frames; {video.path}; "
                "ask for frames within the video"
            )
        frames = self._lookup(video)
        if frames is not None:
            return frames[indices]
        if _bytes(video) * _LARGEST_SHARE <= self._cache_bytes:
            frames = _decode(video, np.arange(video.frames))
            self._keep(video, frames)
            return frames[indices]
        unique, places = np.unique(indices, return_inverse=True)
        return _decode(video, unique)[places]

    def _lookup(self, video: Video) -> Frames | None:
        with self._lock:
            frames = self._cached.get((video.path, video.sha256))
            if frames is not None:
                self._cached.move_to_end((video.path, video.sha256))
            return frames

    def _keep(self, video: Video, frames: Frames) -> None:
        with self._lock:
            replaced = self._cached.pop((video.path, video.sha256), None)
            self._used -= 0 if replaced is None else replaced.nbytes
            self._cached[video.path, video.sha256] = frames
            self._used += frames.nbytes
            while self._used > self._cache_bytes:
                self._used -= self._cached.popitem(last=False)[1].nbytes


def _bytes(video: Video) -> int:
    return video.frames * video.height * video.width * 3


def _decode(video: Video, numbers: NDArray[np.int64]) -> Frames:
    """The frames `numbers` (sorted, unique); where all are asked for the file's frames are counted too."""
    from trainables.data.decode import pictures

    out = np.empty((len(numbers), video.height, video.width, 3), dtype=np.uint8)
    wanted = {int(number): place for place, number in enumerate(numbers)}
    # reading on past the expected end tells a file that has grown since the manifest was built
    last = video.frames if len(numbers) == video.frames else int(numbers[-1])
    found = decoded = 0
    try:
        with closing(pictures(video.path, video.decoder, frozenset(wanted))) as stream:
            for picture in islice(stream, last + 1):
                if picture is not None:
                    out[wanted[decoded]] = picture
                    found += 1
                decoded += 1
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise _unreadable(video, f"{type(error).__name__}: {lines[0][:200]}") from error
    if found != len(numbers) or decoded > video.frames:
        raise _unreadable(video, f"{decoded} frames decoded where {video.frames} were expected")
    return out


def _unreadable(video: Video, what: str) -> ReadError:
    return ReadError(f"{what}; {video.path}; restore the file or build the dataset again")
