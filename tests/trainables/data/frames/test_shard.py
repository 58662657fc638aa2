"""Opening more shards than a process may usually have files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shards import write_shard

_SHARDS = 80
_OPEN_ALL = """
import resource, sys
from pathlib import Path
from trainables.data.frames.shard import open_shard
resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[2])))
kept = [open_shard(path) for path in sorted(Path(sys.argv[1]).glob("*.arrow"))]
print(len(kept), bytes(kept[-1].jpeg(0)))
"""


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    for number in range(_SHARDS):
        write_shard(tmp_path / f"{number:03d}.arrow", [[b"picture %d" % number]], "test")
    return tmp_path


def _open_all(shards: Path, hard_limit: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _OPEN_ALL, str(shards), str(hard_limit)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_thousands_of_shards_do_not_stop_at_the_usual_limit_of_open_files(shards: Path) -> None:
    done = _open_all(shards, 200)
    assert done.stdout == f"{_SHARDS} b'picture {_SHARDS - 1}'\n", done.stderr


def test_where_the_system_allows_no_more_open_files_the_error_says_so(shards: Path) -> None:
    done = _open_all(shards, 60)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "Too many open files" in last
    assert ".arrow; raise the limit of open files" in last
