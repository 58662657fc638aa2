"""Videos that people are shown: film strips from the frame store, and the files that browsers can play.

Which file that is follows from a storage's manifests alone: whoever asks names a cell, a measurement and a
number.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import unescaped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from catalog.queries.predictions import VideoPlace
    from catalog.storage.storage import Storage
    from trainables.data.frames.manifest import Manifest, Video

HEIGHT = 72
"""Of a film strip, in pixels."""
MOST_FRAMES = 16
_QUALITY = 80
PLAYED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg"}
"""Endings of files that browsers play, with their types."""


class NotShownError(ActionGridError):
    """A video of which nothing can be shown here, and why."""


class ShownVideos:
    """The videos of one storage's datasets, as far as they are on this machine."""

    def __init__(self, storage: Storage) -> None:
        self._layout = storage.layout

    def strip(self, place: VideoPlace, most: int = MOST_FRAMES) -> bytes:
        """The frames of the video's first clip side by side, at most `most` of them, as one JPEG.

        Raises:
            NotShownError: its manifest or its frames are not here, or are damaged.
        """
        path, manifest, video = self._video(place)
        numbers = _numbers(place, video, most)
        try:
            return _joined(_frames(path, manifest, video, numbers))
        except (ActionGridError, OSError, ValueError) as error:
            raise NotShownError(f"its frames are not here ({error})", video.path) from error

    def file(self, place: VideoPlace) -> tuple[Path, str]:
        """The file of the video, and its type, where browsers play it.

        Raises:
            NotShownError: it is not here, is not what the dataset was built from, or no browser plays it.
        """
        _, _, video = self._video(place)
        path = Path(unescaped(video.path))
        kind = PLAYED.get(path.suffix.lower())
        if kind is None or not path.is_file():
            raise NotShownError("no file here that a browser plays", video.path)
        status = path.stat()
        if _sha256(path, status.st_size, status.st_mtime_ns) != video.sha256:
            raise NotShownError("the file changed since the dataset was built", video.path)
        return path, kind

    def not_played(self, place: VideoPlace) -> str:
        """Why no browser plays the video's file; empty where it can be. Its content is not looked at."""
        try:
            _, _, video = self._video(place)
        except NotShownError as error:
            return error.what
        path = Path(unescaped(video.path))
        if path.suffix.lower() not in PLAYED:
            return f"browsers do not play {path.suffix or 'such files'}; they play {', '.join(PLAYED)}"
        return "" if path.is_file() else "its file is not on this machine"

    def _video(self, place: VideoPlace) -> tuple[Path, Manifest, Video]:
        """The manifest that has the video at this place under this name."""
        named = {Path(one).parent.name for one in place.manifests}
        for path in self._layout.manifests():
            if path.parent.name in named and (manifest := _manifest(path)) is not None:
                videos = _split(path, path.stat().st_mtime_ns, place.split)
                if place.index < len(videos) and Path(videos[place.index].path).name == place.name:
                    return path, manifest, videos[place.index]
        raise NotShownError("the manifest of its dataset is not here", place.name)


def _manifest(path: Path) -> Manifest | None:
    from trainables.data.frames.manifest import ManifestError

    try:
        return _read(path, path.stat().st_mtime_ns)
    except (ManifestError, OSError):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> Manifest:
    """A manifest; read again once the file was written anew."""
    from trainables.data.frames.manifest import read_manifest

    return read_manifest(path)


@lru_cache(maxsize=8)
def _split(path: Path, changed: int, split: str) -> tuple[Video, ...]:
    return tuple(video for video in _read(path, changed).videos if video.split == split)


@lru_cache(maxsize=1024)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    return sha256_of(path)


def _numbers(place: VideoPlace, video: Video, most: int) -> NDArray[np.int64]:
    """The frames of the first clip that the evaluation looked at, evenly thinned out."""
    import numpy as np

    from trainables.data.clips.sampling import EvalMode, eval_indices

    mode: EvalMode = "dense" if place.sampling == "dense" else "uniform"
    first = eval_indices(video.frames, place.frames, mode, place.rate, place.clips)[0]
    thinned = np.linspace(0, len(first) - 1, min(most, len(first))).round().astype(np.int64)
    return np.asarray(first[thinned])


def _frames(path: Path, manifest: Manifest, video: Video, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Frames, uint8 (T, H, W, 3)."""
    from trainables.data.frames.store_reader import open_reader

    return open_reader(manifest, path, memory_bytes=0).read(video, numbers)


def _joined(frames: NDArray[np.uint8]) -> bytes:
    """Frames side by side as one JPEG."""
    import io

    from PIL import Image

    width = max(1, round(HEIGHT * frames.shape[2] / frames.shape[1]))
    strip = Image.new("RGB", (width * len(frames), HEIGHT))
    for place, frame in enumerate(frames):
        strip.paste(Image.fromarray(frame).resize((width, HEIGHT)), (place * width, 0))
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
