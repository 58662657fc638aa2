"""A bucket's files on this machine: where they lie, and how one folder of them is brought up to date."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from catalog.storage.atomic import StorageError, replaced_atomically, write_atomically
from catalog.storage.bucket import Bucket, StoredObject
from catalog.storage.checksums import load_checked, parse_json, with_checksum
from catalog.storage.layout import BUCKET_MARK
from catalog.storage.locks import exclusive
from catalog.storage.working_folder import cache_folder

_INDEX = ".bucket-index.json"
_LOCK = ".bucket.lock"
_LOCK_SECONDS = 60.0
_AT_ONCE = 8

Wanted = Callable[[str], bool]


def mirror_folder(url: str, environment: Mapping[str, str]) -> Path:
    """Where a bucket's mirror lies: below `ACTIONGRID_CACHE`, or the user's cache folder."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", url.split("://")[1])[:60]
    return cache_folder(environment) / f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def marked_url(root: Path) -> str | None:
    """The bucket whose mirror this directory is, or None where it is none.

    Raises:
        StorageError: It is one, but nobody can tell of which bucket.
    """
    path = root / BUCKET_MARK
    try:
        return str(load_checked(path.read_bytes(), ("url",))["url"])
    except OSError:
        return None
    except (ValueError, KeyError) as error:
        mend = "name the bucket itself, such as --storage s3://bucket/prefix: the mark is then made anew"
        raise StorageError(f"the mark of a bucket's mirror is damaged ({error})", path, mend) from error


def mark_mirror(root: Path, url: str) -> None:
    """Say in a directory which bucket it is a mirror of, where it does not say so yet.

    Raises:
        OSError: The cache folder cannot be used.
    """
    try:
        marked = marked_url(root)
    except StorageError:
        marked = None
    if marked is None:
        with replaced_atomically(root / BUCKET_MARK) as temporary:
            temporary.write_bytes(with_checksum(json.dumps({"url": url}).encode()))


@dataclass(frozen=True)
class Mirror:
    """A bucket and its local directory: the same names in both."""

    root: Path
    bucket: Bucket

    def name(self, path: Path) -> str:
        """The object's name for a path of the mirror; "" for the mirror itself."""
        return "" if path == self.root else path.relative_to(self.root).as_posix()

    def path(self, name: str) -> Path:
        """Where an object lies in the mirror, once it is there."""
        return self.root / name


class MirroredFolder:
    """The files of one folder of a mirror, and of those in it by names such as `evaluations/x.json`.

    The folder's index says which version of an object each local file is. It is a hint: without it a file
    comes down again.

    Raises:
        BucketError: from every method, where the bucket does not answer.
    """

    def __init__(self, mirror: Mirror, path: Path) -> None:
        self._mirror = mirror
        self._path = path
        self._name = mirror.name(path)

    def write(self, name: str, content: bytes) -> None:
        """Give a file this content: first in the bucket, then here."""
        mark = self._mirror.bucket.put(self._object(name), content)
        write_atomically(self._path / name, content)
        # Last: killed before, the file that stands here is not taken for the one in the bucket.
        self._note({name: mark})

    def send(self, name: str) -> None:
        """Put the file that stands here into the bucket."""
        self._note({name: self._mirror.bucket.put(self._object(name), self._path / name)})

    def listed(self, *, deep: bool = True) -> list[StoredObject]:
        """What the bucket has of this folder; without `deep` only what is directly in it."""
        bucket = self._mirror.bucket
        return bucket.below(self._name) if deep else bucket.folder(self._name)[0]

    def fetch(self, listed: Iterable[StoredObject], wanted: Wanted) -> list[str]:
        """Bring the wanted files up to date, each whole or not at all; the names that came down."""
        known = self._index()
        missing = [
            one
            for one in listed
            if wanted(self._local(one))
            and (known.get(self._local(one)) != one.e_tag or not (self._path / self._local(one)).is_file())
        ]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
            # Read to the end: the first error is raised here.
            there = list(pool.map(self._download, missing))
        came = [one for one, found in zip(missing, there, strict=True) if found]
        if came:
            self._note({self._local(one): one.e_tag for one in came})
        return [self._local(one) for one in came]

    def fetch_again(self, name: str) -> bool:
        """Bring one file down whatever stands here; whether the bucket has it."""
        return self._mirror.bucket.download(self._object(name), self._path / name)

    def fetch_exactly(self, pattern: str) -> None:
        """Bring all files down, and remove those of the pattern that the bucket does not have (any more)."""
        listed = self.listed()
        self.fetch(listed, lambda _: True)
        there = {self._local(one) for one in listed}
        for path in self._path.glob(pattern):
            if path.name not in there:
                path.unlink(missing_ok=True)

    def remove_missing(self, pattern: str) -> None:
        """Remove objects of the pattern whose files are gone here, in the order of their suffixes.

        `.json` comes first: a record that can be read names files that are there.
        """
        names = [self._local(one) for one in self.listed()]
        gone = [name for name in names if fnmatchcase(name, pattern) and not (self._path / name).exists()]
        for part in ([one for one in gone if one.endswith(".json")], gone):
            self._mirror.bucket.remove([self._object(name) for name in part])

    def _download(self, one: StoredObject) -> bool:
        path = self._path / self._local(one)
        found = self._mirror.bucket.download(one.name, path)
        if found:
            # Some readers order files by their age.
            os.utime(path, (one.modified, one.modified))
        return found

    def _object(self, name: str) -> str:
        return f"{self._name}/{name}"

    def _local(self, one: StoredObject) -> str:
        return one.name.removeprefix(f"{self._name}/")

    def _index(self) -> dict[str, str]:
        try:
            return dict(parse_json((self._path / _INDEX).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _note(self, marks: Mapping[str, str]) -> None:
        with exclusive(self._path / _LOCK, _LOCK_SECONDS, f"the index of {self._path.name}"):
            index = self._index() | dict(marks)
            with replaced_atomically(self._path / _INDEX, durable=False) as temporary:
                temporary.write_text(json.dumps(index), encoding="utf-8")
