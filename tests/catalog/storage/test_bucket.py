"""The bucket's client and the mirror, against a real server over HTTP."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from catalog.storage.atomic import StorageError
from catalog.storage.bucket import AddressError, Bucket, BucketError, checked_url
from catalog.storage.errors import FailureKind
from catalog.storage.layout import BUCKET_MARK
from catalog.storage.mirror import Mirror, MirroredFolder, marked_url, mirror_folder
from catalog.storage.outage import is_outage
from catalog.storage.storage import open_storage
from orchestrator.commands.common import chosen_storage
from orchestrator.ray_runtime.trial import describe_error
from orchestrator.scheduling.retry import classify
from tests.support.buckets import open_mirror
from tests.support.s3_server import S3Server, Wire, environment


def test_addresses() -> None:
    assert checked_url("s3://lab/a//b/") == "s3://lab/a/b"
    assert checked_url("gs://lab") == "gs://lab"
    for wrong in ("s4://lab/a", "s3:///a", "https://lab/a", "s3://lab/a?x=1", "s3:lab"):
        with pytest.raises(AddressError, match=r"s3://bucket/prefix"):
            checked_url(wrong)


def test_objects_are_made_once_read_listed_and_removed(mirror: Mirror) -> None:
    bucket = mirror.bucket
    assert bucket.create("a/1", b"one")
    assert not bucket.create("a/1", b"two")
    assert bucket.create("a/1", b"one"), "a request whose answer was lost is sent again"
    bucket.put("a/b/2", b"0123456789")
    bucket.put("a/b/2", b"abcdef")
    assert bucket.read("a/b/2", 4) == b"ef"
    assert bucket.read("a/none") is None and bucket.look("a/none") is None
    assert [one.name for one in bucket.below("a")] == ["a/1", "a/b/2"]
    objects, folders = bucket.folder("a")
    assert ([one.name for one in objects], folders) == (["a/1"], ["a/b"])
    bucket.remove(["a/1", "a/never"])
    assert [one.size for one in bucket.below("")] == [6]


def test_a_large_file_goes_in_parts_and_comes_back_whole(mirror: Mirror, tmp_path: Path) -> None:
    content = bytes(range(256)) * (48 << 10)  # 12 MiB: more than one part
    (tmp_path / "file").write_bytes(content)
    mirror.bucket.put("large", tmp_path / "file")
    assert mirror.bucket.download("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert not mirror.bucket.download("none", tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["back", "file"]


def test_a_full_disk_is_not_the_buckets_fault(mirror: Mirror) -> None:
    mirror.bucket.put("x", b"x" * 100)
    with pytest.raises(OSError, match=r"directory|exists") as raised:
        mirror.bucket.download("x", Path("/proc/version/x"))
    assert not isinstance(raised.value, BucketError)


def test_a_bucket_that_is_away_is_an_outage(s3: S3Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        bucket = Bucket(url)
        bucket.put("a", b"a")
        wire.cut()
        for action in (
            lambda: bucket.put("a", b"b"),
            lambda: bucket.create("b", b"b"),
            lambda: bucket.read("a"),
            lambda: bucket.look("a"),
            lambda: bucket.below(""),
            lambda: bucket.folder(""),
            lambda: bucket.remove(["a"]),
        ):
            with pytest.raises(BucketError, match="does not answer") as raised:
                action()
            assert is_outage(raised.value) and raised.value.errno == errno.EREMOTEIO
            assert classify(describe_error(raised.value)) is FailureKind.STORAGE
        wire.mend()
        assert bucket.read("a") == b"a"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("s3://no-such-bucket-here/x", "bucket refuses: NoSuchBucket; "),
        ("s4://x/y", "not an address of a storage; "),
        ("s3://", "not an address of a storage; "),
    ],
)
def test_what_is_no_storage_is_told_in_one_line(wrong: str, said: str, url: str) -> None:
    with pytest.raises(StorageError) as raised:
        chosen_storage(wrong)
    assert str(raised.value).startswith(said)
    assert wrong.rstrip("/") in str(raised.value) and str(raised.value).count("; ") == 2
    assert "\n" not in str(raised.value)


def test_a_server_without_conditional_puts_is_refused(
    s3: S3Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen_storage(url).require_usable()
    with Wire(s3.port) as wire:
        wire.careless = True
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        careless = chosen_storage(f"{url}/careless")
        with pytest.raises(StorageError, match="no conditional puts"):
            careless.require_usable()
    open_storage(str(careless.root.parent)).require_usable()


def test_a_url_is_its_mirror(url: str, tmp_path: Path) -> None:
    storage = chosen_storage(url)
    root = storage.root
    assert root.is_relative_to(tmp_path / "here")
    assert marked_url(root) == url and storage.location == url
    named = storage.named(root / "runs" / "cell" / "epoch-0001.pt")
    assert named == f"{url}/runs/cell/epoch-0001.pt"
    again = chosen_storage(f"{url}/")
    assert (again.root, again.location) == (root, url)
    by_folder = open_storage(str(root))
    assert (by_folder.root, by_folder.location, by_folder.mirrored) == (root, url, True)
    assert not open_storage(str(root / "runs")).mirrored, "only the folder that was named is looked at"
    assert not open_storage(str(tmp_path)).mirrored
    assert open_mirror(f"{url}/deeper").root != root


def test_a_damaged_mark_names_no_other_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONGRID_CACHE", str(tmp_path))
    mark = open_storage("s3://lab-7/x").root / BUCKET_MARK
    mark.write_bytes(mark.read_bytes().replace(b"lab-7", b"lab-6"))
    with pytest.raises(StorageError, match="mark of a bucket's mirror is damaged"):
        open_storage(str(mark.parent))
    assert open_storage("s3://lab-7/x").location == open_storage(str(mark.parent)).location == "s3://lab-7/x"


def test_the_cache_folder_can_be_chosen(tmp_path: Path) -> None:
    assert mirror_folder("s3://a/b", {"ACTIONGRID_CACHE": str(tmp_path)}).parent == tmp_path
    assert mirror_folder("s3://a/b", {"XDG_CACHE_HOME": str(tmp_path)}).parent == tmp_path / "actiongrid"
    assert ".cache" in mirror_folder("s3://a/b", {}).parts
    assert mirror_folder("s3://a/b", {}) != mirror_folder("s3://a/c", {})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_folder_goes_up_and_comes_down_once(
    mirror: Mirror, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = mirror.root / "runs" / "x", elsewhere.root / "runs" / "x"
    here.mkdir(parents=True)
    for name in ("epoch-0001.pt", "epoch-0001.json", "result.json"):
        (here / name).write_text(f"{name} of here")
        MirroredFolder(mirror, here).send(name)
    MirroredFolder(mirror, here).write("epoch-0002.json", b"of both")
    far = MirroredFolder(elsewhere, there)
    assert sorted(far.fetch(far.listed(), lambda name: name.endswith(".json"))) == [
        "epoch-0001.json",
        "epoch-0002.json",
        "result.json",
    ]
    assert (there / "epoch-0002.json").read_text() == "of both"
    assert far.fetch(far.listed(), lambda _: True) == ["epoch-0001.pt"]
    assert far.fetch(far.listed(), lambda _: True) == [], "each version comes once"
    (here / "result.json").write_text("another")
    MirroredFolder(mirror, here).send("result.json")
    (there / "epoch-0001.pt").unlink()
    assert sorted(far.fetch(far.listed(), lambda _: True)) == ["epoch-0001.pt", "result.json"]
    assert (there / "result.json").read_text() == "another"


def test_what_was_pruned_here_goes_there_and_on_other_machines(mirror: Mirror, elsewhere: Mirror) -> None:
    here, there = mirror.root / "runs" / "x", elsewhere.root / "runs" / "x"
    here.mkdir(parents=True)
    for name in ("epoch-0001.pt", "epoch-0001.json", "epoch-0002.pt", "epoch-0002.json", "fence"):
        (here / name).write_text(name)
        MirroredFolder(mirror, here).send(name)
    MirroredFolder(elsewhere, there).fetch_exactly("epoch-*")
    assert names(there) == names(here)
    for name in ("epoch-0001.pt", "epoch-0001.json", "fence"):
        (here / name).unlink()
    MirroredFolder(mirror, here).remove_missing("epoch-*")
    left = [one.name.rpartition("/")[2] for one in mirror.bucket.below("runs/x")]
    assert left == ["epoch-0002.json", "epoch-0002.pt", "fence"]
    (there / "epoch-0009.json").write_text("of an attempt that the bucket never heard of")
    MirroredFolder(elsewhere, there).fetch_exactly("epoch-*")
    assert names(there) == ["epoch-0002.json", "epoch-0002.pt", "fence"]


def test_no_credentials_and_refused_ones(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in environment(s3.address, tmp_path).items():
        monkeypatch.setenv(variable, value)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    with pytest.raises(StorageError, match="credentials"):
        chosen_storage("s3://nobody-s-bucket/x")
    assert (
        mirror_folder("s3://nobody-s-bucket/x", {"ACTIONGRID_CACHE": str(tmp_path)}) / BUCKET_MARK
    ).exists()


@pytest.mark.parametrize("name", ["s3", "gs"])
def test_a_folder_may_be_called_like_a_scheme(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage(name)
    assert not storage.mirrored and storage.root == tmp_path.resolve() / name
