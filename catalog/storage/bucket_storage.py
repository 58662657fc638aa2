"""A storage in a bucket: its objects are the truth, and this machine has copies of those that it needed."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

from catalog.storage.atomic import StorageError, user_path
from catalog.storage.bucket import SCHEMES, Bucket, BucketError, checked_url
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.journal_segments import Segments, pull_journals, unite_abandoned
from catalog.storage.mirror import Mirror, MirroredFolder, mark_mirror, marked_url, mirror_folder
from catalog.storage.storage import JournalKeeper, Probe, SharedFiles, Storage, StoredFile, Wanted

LISTING_SECONDS = 1.0


class BucketStorage(Storage):
    """See `Storage`. All that it raises for the bucket is a `BucketError`."""

    example: ClassVar[str] = "s3://bucket/prefix, gs://bucket/prefix"

    def __init__(self, root: Path, bucket: Bucket) -> None:
        """`root` is this machine's folder for the copies."""
        super().__init__(root)
        self.bucket = bucket
        self.mirror = Mirror(root, bucket)

    @classmethod
    def recognises(cls, text: str) -> bool:
        """See `Storage`. A folder that is marked as a bucket's mirror stands for that bucket."""
        scheme, found, _ = text.partition("://")
        return scheme in SCHEMES if found else marked_url(user_path(text)) is not None

    @classmethod
    def open(cls, text: str) -> Self:
        """See `Storage`. Makes the mirror's folder."""
        folder = None if "://" in text else user_path(text).resolve()
        url = checked_url(text if folder is None else marked_url(folder) or text)
        root = folder or mirror_folder(url, os.environ)
        mark_mirror(root, url)
        return cls(root, _bucket(url))

    @property
    def location(self) -> str:
        """See `Storage`."""
        return self.bucket.url

    @property
    def mirrored(self) -> bool:
        """See `Storage`."""
        return True

    def named(self, path: Path | str) -> str:
        """See `Storage`: the object's address."""
        return self.bucket.where(self.mirror.name(Path(path)))

    def write(self, path: Path, content: bytes) -> None:
        """See `Storage`."""
        self._folder(path.parent).write(path.name, content)

    def publish(self, path: Path) -> None:
        """See `Storage`."""
        self._folder(path.parent).send(path.name)

    def remove(self, path: Path) -> None:
        """See `Storage`."""
        self.bucket.remove([self.mirror.name(path)])
        path.unlink(missing_ok=True)

    def remove_missing(self, folder: Path, pattern: str) -> None:
        """See `Storage`. Of files with one stem `.json` goes first."""
        self._folder(folder).remove_missing(pattern)

    def read(self, path: Path) -> bytes | None:
        """See `Storage`."""
        return self.bucket.read(self.mirror.name(path))

    def files(self, folder: Path) -> list[StoredFile]:
        """See `Storage`."""
        found = self.bucket.below(self.mirror.name(folder))
        return [StoredFile(self.mirror.path(one.name), one.size, one.modified) for one in found]

    def fetch(self, folder: Path, wanted: Wanted, *, deep: bool = True) -> list[str]:
        """See `Storage`."""
        own = self._folder(folder)
        return own.fetch(own.listed(deep=deep), wanted)

    def fetch_again(self, path: Path) -> bool:
        """See `Storage`."""
        return self._folder(path.parent).fetch_again(path.name)

    def fetch_exactly(self, folder: Path, pattern: str) -> None:
        """See `Storage`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder(folder).fetch_exactly(pattern)

    def fetch_missing(self, path: Path) -> None:
        """See `Storage`."""
        if not path.exists() and path.is_relative_to(self.root):
            with suppress(BucketError):
                self.fetch_again(path)

    def folders(self, folder: Path) -> list[Path]:
        """See `Storage`."""
        return [self.mirror.path(name) for name in self.bucket.folder(self.mirror.name(folder))[1]]

    def refresh_journals(self) -> None:
        """See `Storage`."""
        pull_journals(self.mirror)

    def journal_keeper(self, writer: str) -> JournalKeeper | None:
        """See `Storage`."""
        return Segments(self.mirror, writer)

    def compact_journals(self, living: Iterable[str]) -> None:
        """See `Storage`."""
        with suppress(BucketError):
            unite_abandoned(self.mirror, frozenset(living))

    def shared_files(self, folder: Path) -> SharedFiles:
        """See `Storage`."""
        return BucketFiles(self.bucket, self.mirror.name(folder))

    def probe(self) -> Probe:
        """See `Storage`."""
        return BucketProbe(self.bucket.url, f".probe-{uuid.uuid4().hex}")

    def connect(self) -> None:
        """See `Storage`."""
        try:
            self.refresh_journals()
        except BucketError as error:
            raise _unusable(error) from None

    def require_usable(self) -> None:
        """See `Storage`."""
        try:
            self.bucket.check_exclusive()
        except BucketError as error:
            raise _unusable(error) from None

    def check_writes(self) -> None:
        """See `Storage`. Both: a full disk here stops the work as well."""
        FolderStorage(self.root).check_writes()
        self.bucket.check()

    def _folder(self, path: Path) -> MirroredFolder:
        return MirroredFolder(self.mirror, path)


def _unusable(error: BucketError) -> StorageError:
    """A bucket's error for who has just named the bucket."""
    mend = "see that the bucket exists and that its credentials are in the environment (AWS_… or GOOGLE_…)"
    return StorageError(error.what, error.where, mend)


@cache
def _bucket(url: str) -> Bucket:
    # Its client keeps connections open.
    return Bucket(url)


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


class BucketFiles:
    """Shared files in a bucket. What is made exclusively is made by a conditional put.

    A listing, of all folders at once, serves for `LISTING_SECONDS`: a driver asks about many cells in a row.
    """

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._lock = threading.Lock()
        self._listed: frozenset[str] = frozenset()
        self._listed_at = float("-inf")
        self._changes = 0

    def names(self, folder: str = "") -> frozenset[str]:
        """See `SharedFiles`."""
        inside = f"{folder}/" if folder else ""
        names = (one.removeprefix(inside) for one in self._listing() if one.startswith(inside))
        return frozenset(name.split("/", 1)[0] for name in names)

    def _listing(self) -> frozenset[str]:
        with self._lock:
            if time.monotonic() - self._listed_at <= LISTING_SECONDS:
                return self._listed
            changes = self._changes
        # Without the lock: nobody else waits for a bucket that does not answer.
        found = self._bucket.below(self._folder)
        listed = frozenset(one.name.removeprefix(f"{self._folder}/") for one in found)
        with self._lock:
            # What was changed here meanwhile may be missing from it.
            if changes == self._changes:
                self._listed, self._listed_at = listed, time.monotonic()
        return listed

    def exists(self, name: str) -> bool:
        """See `SharedFiles`."""
        return self._bucket.look(self._object(name)) is not None

    def read(self, name: str) -> bytes | None:
        """See `SharedFiles`."""
        return self._bucket.read(self._object(name))

    def create(self, name: str, content: bytes) -> bool:
        """See `SharedFiles`."""
        made = self._bucket.create(self._object(name), content)
        self._changed()
        return made

    def write(self, name: str, content: bytes) -> None:
        """See `SharedFiles`."""
        self._bucket.put(self._object(name), content)
        self._changed()

    def touch(self, name: str) -> None:
        """See `SharedFiles`."""
        self._bucket.create(self._object(name), b"")
        self._changed()

    def beat(self, name: str, content: bytes) -> None:
        """See `SharedFiles`."""
        self._bucket.put(self._object(name), content)

    def mark(self, name: str) -> Hashable:
        """See `SharedFiles`. The same content has the same e_tag, so the time, in seconds, counts too."""
        one = self._bucket.look(self._object(name))
        return None if one is None else (one.e_tag, one.modified)

    def remove(self, name: str) -> None:
        """See `SharedFiles`."""
        self._bucket.remove([self._object(name)])
        self._changed()

    def _object(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _changed(self) -> None:
        with self._lock:
            self._listed_at = float("-inf")
            self._changes += 1
