"""From a video and frame numbers to pixels: the interface, and reading the original files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from catalog.storage.atomic import sha256_of
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import unescaped
from catalog.storage.outage import is_outage, retry_reading
from trainables.data.frames.frame_format import ORIGINALS, FrameFormat, reduced
from trainables.data.frames.manifest import Video

Frame = NDArray[np.uint8]
Frames = NDArray[np.uint8]


class ReadError(ActionGridError):
    """A video of the manifest could not be read: `what; where; what to do`."""

    failure_kind = FailureKind.DATA


class FrameReader(ABC):
    """Gives frames of a video; safe to call from several threads."""

    @abstractmethod
    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        """The frames `numbers` (sorted, unique), uint8 (H,W,3); each holds until the next is asked for.

        Raises:
            ReadError: a number out of range, or a video that cannot be read.
        """

    def read(self, video: Video, indices: NDArray[np.int64]) -> Frames:
        """Frames `indices` (any order, repeats allowed), uint8 (T,H,W,3); the caller owns the array.

        Raises:
            ReadError: a number out of range, or a video that cannot be read.
        """
        check_numbers(video, indices)
        unique, places = np.unique(indices, return_inverse=True)
        out = np.empty((len(unique), video.height, video.width, 3), dtype=np.uint8)
        for target, frame in zip(out, self.frames(video, unique), strict=True):
            target[:] = frame
        return out[places]


def check_numbers(video: Video, numbers: NDArray[np.int64]) -> None:
    """Frame numbers lie within the video.

    Raises:
        ReadError: one does not, or none is given.
    """
    if numbers.size == 0 or numbers.min() < 0 or numbers.max() >= video.frames:
        raise ReadError(
            f"frames {numbers.tolist()} of a video of {video.frames} frames",
            video.path,
            "ask for frames within the video",
        )


class KeptFrames(FrameReader):
    """Keeps every video decoded once it was read: for datasets that are known to fit into memory whole."""

    def __init__(self, reader: FrameReader) -> None:
        """Read with `reader` what is not yet kept."""
        self._reader = reader
        self._kept: dict[str, Frames] = {}

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        """The frames `numbers`, uint8 (H,W,3); they must not be written to.

        Raises:
            ReadError: a number out of range, or a video that cannot be read.
        """
        check_numbers(video, numbers)
        kept = self._kept.get(video.path)
        if kept is None:
            # Two threads that meet here decode one video twice; both get the same frames.
            kept = self._kept[video.path] = self._reader.read(video, np.arange(video.frames))
        return iter(kept[numbers])


class DecordReader(FrameReader):
    """Decodes with the decoder that the manifest names for each video: from the start, then closes the file.

    Only the frames asked for are made into pixels; nothing is kept.
    """

    def __init__(self, frame_format: FrameFormat = ORIGINALS) -> None:
        """Give pictures in the size that `frame_format` asks for."""
        self._frame_format = frame_format

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        """The frames `numbers`, uint8 (H,W,3).

        Raises:
            ReadError: a number out of range, or a file that no longer decodes as when the manifest was built.
            StoreReadError: the storage is at fault, at several tries.
        """
        check_numbers(video, numbers)
        path = Path(unescaped(video.path))
        return iter(retry_reading(lambda: self._decode_or_blame(video, numbers, path), path))

    def _decode_or_blame(self, video: Video, numbers: NDArray[np.int64], path: Path) -> Frames:
        """As `_decode`; an OSError where a file that does not decode cannot be read either.

        Decoders do not tell the two apart, so the file is read, and once it was, decoded again.
        """
        try:
            return self._decode(video, numbers)
        except ReadError as error:
            if is_outage(error.__cause__ or error):
                raise cast("OSError", error.__cause__) from error
            if path.is_file():
                sha256_of(path)
            return self._decode(video, numbers)

    def _decode(self, video: Video, numbers: NDArray[np.int64]) -> Frames:
        """The frames `numbers` (sorted, unique); where all are asked for they are counted too."""
        from trainables.data.ingest.decode import pictures

        out = np.empty((len(numbers), video.height, video.width, 3), dtype=np.uint8)
        wanted = {int(number): place for place, number in enumerate(numbers)}
        # reading on past the expected end tells a file that has grown since the manifest was built
        last = video.frames if len(numbers) == video.frames else int(numbers[-1])
        found = decoded = 0
        try:
            with closing(pictures(unescaped(video.path), video.decoder, frozenset(wanted))) as stream:
                for picture in islice(stream, last + 1):
                    if picture is not None:
                        self._check_size(picture, video)
                        out[wanted[decoded]] = reduced(picture, video.width, video.height)
                        found += 1
                    decoded += 1
        except Exception as error:
            lines = str(error).splitlines() or [""]
            raise _unreadable(video, f"{type(error).__name__}: {lines[0][:200]}") from error
        if found != len(numbers) or decoded > video.frames:
            raise _unreadable(video, f"{decoded} frames decoded where {video.frames} were expected")
        return out

    def _check_size(self, picture: Frame, video: Video) -> None:
        kept = self._frame_format.size_of(picture.shape[1], picture.shape[0])
        if kept != (video.width, video.height):
            raise ValueError(f"{kept[0]} x {kept[1]} pixels, expected {video.width} x {video.height}")


def _unreadable(video: Video, what: str) -> ReadError:
    return ReadError(what, video.path, "restore the file or build the dataset again")
