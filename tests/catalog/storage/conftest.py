from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.storage.mirror import Mirror
from tests.support.s3_server import S3Server, environment, open_mirror


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
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


@pytest.fixture
def mirror(url: str) -> Mirror:
    return open_mirror(url)


@pytest.fixture
def elsewhere(url: str, tmp_path: Path) -> Mirror:
    """The same bucket on another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACTIONGRID_CACHE", str(tmp_path / "elsewhere"))
        return open_mirror(url)
