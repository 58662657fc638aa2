"""Where a video's JPEGs wait until their shard is written: one file a batch, one video after the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.atomic import writing
from trainables.data.frames.frame_format import FrameFormat

if TYPE_CHECKING:
    from trainables.data.frames.frame_format import Picture


@dataclass(frozen=True)
class SpoolTarget:
    """Where and how a child process keeps one video's pictures: in `spool`, from byte `offset` on."""

    spool: str
    offset: int
    frame_format: FrameFormat

    def to_json(self) -> dict[str, Any]:
        """A plain object for a pipe."""
        return asdict(self) | {"frame_format": self.frame_format.model_dump(mode="json")}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> SpoolTarget:
        """What `to_json` gave."""
        return cls(**fields | {"frame_format": FrameFormat(**fields["frame_format"])})


def encoded(picture: Picture, frame_format: FrameFormat) -> bytes:
    """One picture, uint8 (H,W,3), as the JPEG that is kept of it."""
    import simplejpeg

    from trainables.data.frames.frame_format import reduced

    width, height = frame_format.size_of(picture.shape[1], picture.shape[0])
    small = reduced(picture, width, height)
    return bytes(simplejpeg.encode_jpeg(small, frame_format.quality, "RGB", frame_format.subsampling))


class SpoolWriter:
    """Encodes pictures into a spool that exists already; `finish` gives the sizes of the JPEGs.

    Raises:
        StoreWriteError: from every method, where the storage takes no more.
    """

    def __init__(self, keep: SpoolTarget) -> None:
        self._keep = keep
        self._path = Path(keep.spool)
        self._sizes: list[int] = []
        with writing(self._path):
            self._file = self._path.open("r+b")
            self._file.seek(keep.offset)

    def add(self, picture: Picture) -> None:
        """The next picture as shown, uint8 (H,W,3)."""
        jpeg = encoded(picture, self._keep.frame_format)
        with writing(self._path):
            self._file.write(jpeg)
        self._sizes.append(len(jpeg))

    def finish(self) -> list[int]:
        """Close the spool; bytes of each JPEG."""
        with writing(self._path):
            self._file.flush()
            self._file.truncate(self._keep.offset + sum(self._sizes))
            self._file.close()
        return self._sizes
