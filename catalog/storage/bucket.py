"""One prefix of a bucket on S3 or Google Cloud Storage, or what speaks like them; only this uses obstore.

obstore and not pyarrow.fs, because leases and journals need conditional puts, which pyarrow has none of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from catalog.storage.answers import answer_seconds
from catalog.storage.atomic import RemoteStorageError, StorageError, replaced_atomically

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs")

# Longer silences are outages, which are for those who asked to sit out: they can say so.
_RETRIES = 5
_STREAM_BYTES = 8 << 20
_SHOWN = 160
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class AddressError(StorageError):
    """An address that names no storage that this version knows."""


class BucketError(RemoteStorageError):
    """A bucket that does not answer, or refuses."""

    def __init__(
        self,
        what: str,
        where: object = "",
        what_to_do: str = "see to the network and the credentials, then try again",
    ) -> None:
        super().__init__(what, where, what_to_do)


@dataclass(frozen=True)
class StoredObject:
    """One object: its name below the bucket's prefix, bytes, version mark, and seconds since 1970."""

    name: str
    size: int
    e_tag: str
    modified: float


class Bucket:
    """The objects below one URL. Names are relative to it, with `/`. Threads may share it.

    Raises:
        BucketError: from every method, where the bucket does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        """`url`: `s3://bucket/prefix` or `gs://bucket/prefix`. Asks nobody yet.

        Raises:
            AddressError: Not such an address.
        """
        self.url = checked_url(url)
        self._store = _store(self.url)

    def create(self, name: str, content: bytes) -> bool:
        """Make an object that is not there yet; of many callers at once one succeeds, the others get False.

        A request whose answer was lost is sent again: who finds its own content has made it.
        """
        import obstore

        from obstore.exceptions import AlreadyExistsError, PreconditionError  # isort: skip

        try:
            with self._answering(name, missing=False):
                obstore.put(self._store, name, content, mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return self.read(name) == content
        return True

    def put(self, name: str, content: bytes | Path) -> str:
        """Write an object, whole or not at all, over one that is there; its version mark."""
        import obstore

        with self._answering(name, missing=False):
            return str(obstore.put(self._store, name, content)["e_tag"])

    def read(self, name: str, start: int = 0) -> bytes | None:
        """An object's content from byte `start` on, or None where there is none."""
        import obstore

        try:
            with self._answering(name):
                options: Any = {"range": {"offset": start}} if start else None
                return bytes(obstore.get(self._store, name, options=options).bytes())
        except FileNotFoundError:
            return None

    def download(self, name: str, path: Path) -> bool:
        """Write an object to `path`, whole or not at all; whether there is one."""
        import obstore

        try:
            with replaced_atomically(path, durable=False) as temporary, temporary.open("wb") as file:
                with self._answering(name):
                    chunks = iter(obstore.get(self._store, name).stream(min_chunk_size=_STREAM_BYTES))
                while True:
                    # Only the reading is the bucket's: a full disk keeps its own error.
                    with self._answering(name):
                        chunk = next(chunks, None)
                    if chunk is None:
                        break
                    file.write(chunk)
        except FileNotFoundError:
            return False
        return True

    def look(self, name: str) -> StoredObject | None:
        """What stands under a name, or None."""
        import obstore

        try:
            with self._answering(name):
                return _stored(obstore.head(self._store, name))
        except FileNotFoundError:
            return None

    def below(self, folder: str) -> list[StoredObject]:
        """All objects below a folder, however deep, by name."""
        import obstore

        with self._answering(folder):
            stream = obstore.list(self._store, folder or None, chunk_size=1000)
            found = [_stored(meta) for chunk in stream for meta in chunk]
        return sorted(found, key=lambda one: one.name)

    def folder(self, folder: str) -> tuple[list[StoredObject], list[str]]:
        """The objects directly in a folder, and the names of its folders, relative to the bucket's prefix."""
        import obstore

        with self._answering(folder):
            found = obstore.list_with_delimiter(self._store, folder or None)
            objects, folders = found["objects"], found["common_prefixes"]
        return [_stored(meta) for meta in objects], [str(one) for one in folders]

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there are no error."""
        import obstore

        if names:
            with suppressed_missing(), self._answering(names[0]):
                obstore.delete(self._store, list(names))

    def check(self) -> None:
        """Write and remove an object: the bucket is there, answers, and takes writes."""
        name = f".probe-{uuid4().hex}"
        self.put(name, b"")
        self.remove([name])

    def check_exclusive(self) -> None:
        """Find out whether an object can be made exclusively: not all that speak S3 look at the condition.

        Raises:
            BucketError: Also where two calls made the same object.
        """
        name = f".probe-{uuid4().hex}"
        made = self.create(name, b"first"), self.create(name, b"second")
        self.remove([name])
        if made != (True, False):
            raise BucketError("bucket knows no conditional puts, so drivers could not share it", self.url)

    def where(self, name: str) -> str:
        """An object's whole address; the bucket's own for ""."""
        return f"{self.url}/{name}" if name else self.url

    @contextmanager
    def _answering(self, name: str, *, missing: bool = True) -> Iterator[None]:
        """Name what went wrong as an error of a file server; `missing`: "not found" is an answer."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except FileNotFoundError as error:
            if missing:
                raise
            raise BucketError(f"bucket is not there: {_first_line(error)}", self.where(name)) from None
        except (BaseError, PermissionError) as error:
            refused = re.search(r"<Code>(\w+)</Code>", str(error))
            what = f"refuses: {refused[1]}" if refused else f"does not answer: {_first_line(error)}"
            raise BucketError(f"bucket {what}", self.where(name)) from None


@contextmanager
def suppressed_missing() -> Iterator[None]:
    """What is gone already need not be removed."""
    try:
        yield
    except FileNotFoundError:
        return


def checked_url(text: str) -> str:
    """The address without a trailing slash.

    Raises:
        AddressError: Another scheme, or no bucket.
    """
    parts = urlsplit(text)
    if parts.scheme not in SCHEMES or not parts.netloc or parts.query or parts.fragment:
        known = " or ".join(f"{scheme}://bucket/prefix" for scheme in SCHEMES)
        raise AddressError("not an address of a storage", f"--storage {text}", f"use a directory, or {known}")
    return f"{parts.scheme}://{parts.netloc}{'/'.join(['', *filter(None, parts.path.split('/'))])}"


def _store(url: str) -> ObjectStore:
    from obstore.store import from_url

    # The variable that other tools know; obstore forgets its own where client options are given.
    plain = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    allow = plain or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    # A try that begins just before the time to try again is over may take its own whole time.
    limit = timedelta(seconds=answer_seconds())
    return from_url(
        url,
        retry_config={"max_retries": _RETRIES, "retry_timeout": limit / 2},
        client_options={"connect_timeout": limit / 2, "read_timeout": limit, "allow_http": allow},
    )


def _stored(meta: Any) -> StoredObject:  # noqa: ANN401 - obstore's ObjectMeta
    return StoredObject(meta["path"], meta["size"], str(meta["e_tag"]), meta["last_modified"].timestamp())


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
