"""Files that are whole or not there, with several writers at once."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Barrier, Thread

import pytest

from catalog.storage.atomic import replaced_atomically, write_atomically
from catalog.storage.folder_storage import FolderStorage


def test_two_threads_write_the_same_file_at_once(tmp_path: Path) -> None:
    path, together, written = tmp_path / "shard.arrow", Barrier(2, timeout=30), list[bool]()

    def write() -> None:
        with replaced_atomically(path) as temporary:
            temporary.write_bytes(b"same")
            together.wait()
        written.append(True)

    threads = [Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [True, True]
    assert path.read_bytes() == b"same"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut leaves a name without its content: a checkpoint's record that speaks of nothing."""
    calls: list[str] = []
    flush, rename = os.fsync, Path.replace

    def noted_flush(descriptor: int) -> None:
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        flush(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_atomically(tmp_path / "result.json", b"{}")
    assert calls == ["fsync file", "rename", "fsync folder"]
    del calls[:]
    FolderStorage(tmp_path).write(tmp_path / "run" / "epoch-0001.pt", b"weights")
    assert calls == ["fsync file", "rename", "fsync folder"]
