"""Frames from the frame store or from a copy of it on the machine's own disk; which reader fits a dataset.

The JPEGs that are needed are decoded in the calling thread.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, local

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from catalog.storage.atomic import replaced_atomically, sha256_of
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import SHARDS, dataset_command
from catalog.storage.locks import exclusive
from catalog.storage.outage import retry_reading
from trainables.data.frames.manifest import Manifest, Video, read_manifest
from trainables.data.frames.reader import (
    DecordReader,
    Frame,
    FrameReader,
    KeptFrames,
    ReadError,
    check_numbers,
)
from trainables.data.frames.shard import Shard, ShardError, ShardFrames, open_shard

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
            StoreReadError: the storage is at fault, at several tries.
        """
        check_numbers(video, numbers)
        shard = self._shard(video)
        buffer = self._buffer(video)
        try:
            for number in numbers.tolist():
                try:
                    picture = _decoded(shard, video, number, buffer)
                except OSError:
                    picture = self._decoded_again(video, number, buffer)
                yield picture
        finally:
            self._release(video, shard, len(numbers))

    def _decoded_again(self, video: Video, number: int, buffer: NDArray[np.uint8]) -> Frame:
        """A frame that the storage did not give, from the shard opened anew."""

        def read() -> Frame:
            with self._lock:
                self._shards.pop(video.shard, None)
            return _decoded(self._shard(video), video, number, buffer)

        return retry_reading(read, self._directory / video.shard)

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
        if shard is not None:
            return shard
        try:
            # Without the lock: nobody else waits for a storage that does not answer.
            opened = open_shard(self._directory / video.shard)
        except ShardError as error:
            raise ReadError(error.what, error.where, error.what_to_do) from error
        with self._lock:
            return self._shards.setdefault(video.shard, opened)

    def _buffer(self, video: Video) -> NDArray[np.uint8]:
        size = video.height * video.width * 3
        buffer: NDArray[np.uint8] | None = getattr(self._scratch, "buffer", None)
        if buffer is None or buffer.nbytes < size:
            buffer = self._scratch.buffer = np.empty(size, dtype=np.uint8)
        return buffer


def _decoded(shard: ShardFrames, video: Video, number: int, buffer: NDArray[np.uint8]) -> Frame:
    """One frame of a video, in `buffer`."""
    try:
        jpeg = shard.jpeg(video.first_row + number)
        picture: Frame = simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=True, buffer=buffer)
    except (ValueError, IndexError) as error:
        raise _unreadable(video, str(error)) from error
    if picture.shape != (video.height, video.width, 3):
        raise _unreadable(video, f"frame {number} is {picture.shape[1]} x {picture.shape[0]}")
    return picture


def _unreadable(video: Video, what: str) -> ReadError:
    return ReadError(
        what,
        f"{video.path} in shard {video.shard}",
        "run `actiongrid data verify`, then build the dataset again",
    )


MEMORY_BYTES = 512 << 20


def open_reader(
    manifest: Manifest, path: Path, local_disk: str | None = None, memory_bytes: int = MEMORY_BYTES
) -> FrameReader:
    """Read the frame store that lies beside the manifest's `path`, or the originals where there is none.

    `local_disk`: a folder that the store is copied to first. A dataset whose decoded frames fit into
    `memory_bytes` as a whole is kept in memory; of a larger one nothing is, for the page cache does better.

    Raises:
        LocalCopyError: the store cannot be copied.
    """
    reader = _open(manifest, path, local_disk)
    decoded = sum(video.frames * video.height * video.width * 3 for video in manifest.videos)
    return KeptFrames(reader) if decoded <= memory_bytes else reader


def prepare_frames(path: Path, local_disk: str | None) -> None:
    """Check the frame store of the manifest at `path`, or copy it to the local disk, where that is asked for.

    Raises:
        LocalCopyError: the store cannot be copied.
        ReadError: a shard is damaged or missing.
    """
    from trainables.data.frames.check import first_problem

    manifest = read_manifest(path)
    if local_disk is not None:
        _open(manifest, path, local_disk)
    elif (found := first_problem(manifest, path.parent)) is not None:
        mend = f"build the dataset again: {dataset_command(path.parent, 'build')}"
        raise ReadError(f"shard is {found.problem}", found.path, mend)


def _open(manifest: Manifest, path: Path, local_disk: str | None) -> FrameReader:
    if manifest.frame_format.mode == "direct":
        return DecordReader(manifest.frame_format)
    shards = path.parent / SHARDS
    if local_disk is not None:
        shards = copy_shards(manifest, shards, Path(local_disk))
    return FrameStoreReader(shards)


LOCK_WAIT_SECONDS = 6 * 3600.0
_SPARE_BYTES = 1 << 30


class LocalCopyError(ActionGridError):
    """The frames cannot be copied to the local disk: `what; where; what to do`."""


def copy_shards(manifest: Manifest, source: Path, root: Path) -> Path:
    """Copy the shards in `source` that are not yet under `root`; returns the folder to read from.

    Cells of one machine share the copy: one of them makes it, the others wait. Each shard is checked against
    its checksum once, when it is copied.

    Raises:
        LocalCopyError: a folder that cannot be used, not enough space, or a shard that is missing or damaged.
    """
    target = root / f"{manifest.name}-{manifest.hash('train')[:12]}"
    try:
        _copy_missing(manifest, source, target)
    except OSError as error:
        raise LocalCopyError(
            f"folder cannot be used ({error.strerror or error})",
            target,
            "give frames_on_local_disk a folder that every machine has and can write to",
        ) from error
    return target


def _copy_missing(manifest: Manifest, source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with exclusive(target / "lock", LOCK_WAIT_SECONDS, f"the local copy of {manifest.name}"):
        missing = [shard for shard in manifest.shards if not _stands(target / shard.name, shard)]
        _check_space(sum(shard.bytes for shard in missing), target)
        for shard in missing:
            _copy(shard, source, target)


def _stands(path: Path, shard: Shard) -> bool:
    return path.is_file() and path.stat().st_size == shard.bytes


def _check_space(needed: int, target: Path) -> None:
    free = shutil.disk_usage(target).free
    if needed and needed + _SPARE_BYTES > free:
        raise LocalCopyError(
            f"{needed / 1000000000.0:.1f} GB of frames do not fit into "
            f"{free / 1000000000.0:.1f} GB of free space",
            target,
            "free some, or leave out frames_on_local_disk",
        )


def _copy_content(source: Path, target: Path) -> None:
    """Copy a file; a full disk is the target's, all else that may pass the source's, which is asked again."""

    def copy() -> None:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise LocalCopyError("no space left for a shard", target.parent, "free some space") from error

    retry_reading(copy, source)


def _copy(shard: Shard, source: Path, target: Path) -> None:
    try:
        with replaced_atomically(target / shard.name, durable=False) as temporary:
            _copy_content(source / shard.name, temporary)
            if sha256_of(temporary) != shard.sha256:
                raise LocalCopyError(
                    "shard differs from its checksum", source / shard.name, _mend(source.parent)
                )
    except OSError as error:
        what = f"shard cannot be copied ({error.strerror})"
        raise LocalCopyError(what, source / shard.name, _mend(source.parent)) from error


def _mend(directory: Path) -> str:
    """What to do about frames in a dataset's directory that are not as they were built."""
    return f"run `{dataset_command(directory, 'verify')}`, then `{dataset_command(directory, 'build')}`"
