"""Files that are whole or not there, with several writers at once."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread

from catalog.storage.atomic import replaced_atomically


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
