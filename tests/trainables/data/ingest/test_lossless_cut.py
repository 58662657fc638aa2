"""Lossless cuts of open-GOP H.264: every picture is one of the original's, so nothing is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import SHARED
from trainables.data.ingest.decode import pictures
from trainables.data.ingest.probe import Probed, Rejected, probe_file

FOLDER = SHARED / "cases" / "lossless-cut"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared cases are not here")


def shown(path: Path) -> list[bytes]:
    return [picture.tobytes() for picture in pictures(str(path), "pyav") if picture is not None]


@pytest.mark.parametrize("name", ["seg1.mp4", "og_in.mp4"])
def test_a_cut_is_no_damage(name: str, tmp_path: Path) -> None:
    probe = probe_file(FOLDER / name)
    assert isinstance(probe, Probed)
    found = shown(FOLDER / name)
    assert len(found) == probe.frames
    assert set(found) <= set(shown(FOLDER / "original.mp4"))
    content = bytearray((FOLDER / name).read_bytes())
    for place in range(len(content) // 3, len(content) // 2, 997):
        content[place] ^= 0x55
    (tmp_path / name).write_bytes(content)
    assert isinstance(probe_file(tmp_path / name), Rejected)
