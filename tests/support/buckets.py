"""Fixtures of a bucket on a server of this machine: import them into a conftest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.storage.bucket_storage import BucketStorage
from catalog.storage.mirror import Mirror
from catalog.storage.storage import open_storage
from tests.support.s3_server import S3Server, environment


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server, for all tests of a session."""
    with S3Server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def url(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A storage in a bucket of its own; this process is a machine with the cache folder `here`."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.make_bucket(name)
    for variable, value in environment(s3.address, tmp_path / "here").items():
        monkeypatch.setenv(variable, value)
    return f"s3://{name}/some/lab"


def open_mirror(url: str) -> Mirror:
    """A bucket and its folder on the machine whose cache folder the environment names."""
    storage = open_storage(url)
    assert isinstance(storage, BucketStorage)
    return storage.mirror


def storage_in(mirror: Mirror) -> BucketStorage:
    """The storage in a bucket, on the machine of this mirror."""
    return BucketStorage(mirror.root, mirror.bucket)
