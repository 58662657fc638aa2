"""Where a file is written that a user named: what is replaced, what is not, and what is left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from catalog.storage.atomic import write_output


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_plain_file_is_replaced_and_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    for content in (b"first", b"second"):
        write_output(path, content)
        assert path.read_bytes() == content
    assert names(path.parent) == ["report.html"]


def test_a_link_stays_a_link_also_one_that_led_nowhere(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "there" / "file")
    for content in (b"first", b"second"):
        write_output(link, content)
        assert link.is_symlink()
        assert (tmp_path / "there" / "file").read_bytes() == content


def test_a_device_is_written_into(tmp_path: Path) -> None:
    write_output(Path(os.devnull), b"content")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(OSError, match="No space") as raised:
        write_output(Path("/dev/full"), b"content")
    assert raised.value.errno == errno.ENOSPC
    assert Path("/dev/full").is_char_device()


def test_a_pipe_gets_the_content_and_nobody_waits_for_its_reader(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe") as raised:
        write_output(pipe, b"content")
    assert raised.value.errno == errno.ENXIO
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    content = bytes(30_000)  # less than a pipe holds
    write_output(pipe, content)
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == content
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["folder", "file/below", "x" * 300, "loop"])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = names(tmp_path)
    with pytest.raises(OSError, match=r"Errno"):
        write_output(tmp_path / name, b"content")
    assert names(tmp_path) == before
    assert names(tmp_path / "folder") == []


def test_a_write_that_fails_keeps_the_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("write_bytes", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, full)
            with pytest.raises(OSError, match="No space"):
                write_output(path, b"after")
        assert names(tmp_path) == ["report.html"]
        assert path.read_bytes() == b"before"
