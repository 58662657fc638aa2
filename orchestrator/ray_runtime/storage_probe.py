"""The file by which driver and machines find out whether they share a storage: in a directory or a bucket."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from catalog.storage.bucket import Bucket
from catalog.storage.mirror import mirror_at

_PAUSE_SECONDS = 0.2


class Probe(Protocol):
    """Small and plain, because Ray pickles it.

    Raises:
        OSError: from every method, where the storage cannot be reached or written.
    """

    def place(self) -> None:
        """Write the driver's file."""

    def is_seen(self, seconds: float) -> bool:
        """Whether the driver's file is there, after so long at the latest."""

    def answer(self, text: str) -> str:
        """Write a file of one's own beside it; its name."""

    def answers(self) -> set[str]:
        """The names of the files that machines have written."""

    def clear(self) -> None:
        """Remove all of them."""


def probe_in(storage: Path) -> Probe:
    """A new one in this storage."""
    mirror = mirror_at(storage)
    name = f".probe-{uuid.uuid4().hex}"
    return DirectoryProbe(str(storage / name)) if mirror is None else BucketProbe(mirror.bucket.url, name)


@dataclass(frozen=True)
class DirectoryProbe:
    """See `Probe`; `path` is the driver's file."""

    path: str

    def place(self) -> None:
        """See `Probe`."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    def is_seen(self, seconds: float) -> bool:
        """See `Probe`."""
        deadline = time.monotonic() + seconds
        while not Path(self.path).exists() and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return Path(self.path).exists()

    def answer(self, text: str) -> str:
        """See `Probe`."""
        own = Path(f"{self.path}-{uuid.uuid4().hex}")
        own.write_text(text)
        return own.name

    def answers(self) -> set[str]:
        """See `Probe`."""
        path = Path(self.path)
        return {file.name for file in path.parent.glob(f"{path.name}-*")}

    def clear(self) -> None:
        """See `Probe`."""
        path = Path(self.path)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class BucketProbe:
    """See `Probe`; `name` is the driver's object."""

    url: str
    name: str

    def place(self) -> None:
        """See `Probe`."""
        Bucket(self.url).put(f"{self.name}/driver", b"")

    def is_seen(self, seconds: float) -> bool:
        """See `Probe`. A bucket shows at once what was written."""
        return Bucket(self.url).look(f"{self.name}/driver") is not None

    def answer(self, text: str) -> str:
        """See `Probe`."""
        own = uuid.uuid4().hex
        Bucket(self.url).put(f"{self.name}/{own}", text.encode())
        return own

    def answers(self) -> set[str]:
        """See `Probe`."""
        return {one.name.rpartition("/")[2] for one in Bucket(self.url).below(self.name)} - {"driver"}

    def clear(self) -> None:
        """See `Probe`."""
        bucket = Bucket(self.url)
        bucket.remove([one.name for one in bucket.below(self.name)])
