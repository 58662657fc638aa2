"""A storage without room, on a real small file system where that may be mounted."""

from __future__ import annotations

import errno
from pathlib import Path
from threading import Event, Thread

import pytest

from catalog.storage import outage
from catalog.storage.bucket import BucketError
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.outage import Outage, exit_despite_outage, is_outage


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_the_storages_faults_are_outages() -> None:
    assert is_outage(OSError(errno.ENOSPC, "No space left on device"))
    assert is_outage(OSError(errno.ESTALE, "Stale file handle"))
    assert not is_outage(FileNotFoundError(errno.ENOENT, "No such file"))
    assert not is_outage(ValueError("no"))


def test_who_was_asked_to_stop_is_interrupted_though_the_storage_is_away() -> None:
    asked, said, full = Event(), list[str](), OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError), exit_despite_outage(asked, said.append):
        raise full
    assert not said
    asked.set()
    with pytest.raises(KeyboardInterrupt), exit_despite_outage(asked, said.append):
        raise full
    assert "could not be told that this ends (No space left on device)" in said[0]
    with pytest.raises(FileNotFoundError), exit_despite_outage(asked, said.append):
        raise FileNotFoundError(errno.ENOENT, "No such file")


def test_it_is_told_once_and_ends_when_there_is_room(tmp_path: Path) -> None:
    clock, said, needed = Clock(), list[str](), [2**60, 0]
    one = Outage(FolderStorage(tmp_path), needed[0], Event(), clock)
    one.tell(said.append)
    assert one.is_over() and one.notice == ""
    one.begins("No space left on device")
    one.begins("No space left on device")
    assert len(said) == 1 and "paused: No space left on device" in said[0] and "by itself" in said[0]
    clock.now = 100.0
    assert not one.is_over() and one.notice  # an exabyte is never free
    roomy = Outage(FolderStorage(tmp_path), needed[1], Event(), clock)
    roomy.tell(said.append)
    roomy.begins("No space left on device")
    assert not roomy.is_over(), "looks only every few seconds"
    clock.now = 200.0
    assert roomy.is_over() and roomy.notice == ""
    assert "going on" in said[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_write_is_repeated_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "LOOK_SECONDS", 0.01)
    one, tries = Outage(FolderStorage(tmp_path), 0, Event()), list[int]()

    def write() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return "written"

    assert one.retry_until_available(write) == "written"
    assert len(tries) == 3 and one.notice == ""


def test_other_errors_and_a_stop_end_the_wait(tmp_path: Path) -> None:
    def fails(number: int) -> None:
        raise OSError(number, "no")

    with pytest.raises(OSError, match="no"):
        Outage(FolderStorage(tmp_path), 0, Event()).retry_until_available(lambda: fails(errno.ENOENT))
    stop, ended = Event(), Event()
    full = Outage(FolderStorage(tmp_path), 2**60, stop)

    def wait() -> None:
        with pytest.raises(OSError, match="no"):
            full.retry_until_available(lambda: fails(errno.ENOSPC))
        ended.set()

    thread = Thread(target=wait)
    thread.start()
    assert not ended.wait(0.3)
    stop.set()
    thread.join(10)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "a library's own words"), "paused: No space left on device; "),
        (
            BucketError("bucket does not answer: refused", "s3://b"),
            "paused: bucket does not answer: refused; ",
        ),
    ],
)
def test_the_line_says_what_went_wrong(tmp_path: Path, error: OSError, said: str) -> None:
    def fail() -> None:
        raise error

    one = Outage(FolderStorage(tmp_path), 0, Event(), Clock())
    assert one.try_write(fail) is None
    assert one.notice.startswith(said)
