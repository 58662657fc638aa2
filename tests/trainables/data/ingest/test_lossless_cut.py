"""Lossless cuts of open-GOP H.264: every picture is one of the original's, so nothing is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.paths import ROOT, SHARED
from trainables.data.ingest.decode import pictures
from trainables.data.ingest.probe import Probed, Rejected, probe_file

SMALL, LARGE = (folder / "cases" / "lossless-cut" for folder in (ROOT / "tests", SHARED))
CUTS = [SMALL / "seg1.mp4", *(LARGE / name for name in ("seg1.mp4", "og_in.mp4") if LARGE.is_dir())]
"""The small one is committed; larger ones are tried too where they lie beside the checkout."""


def shown(path: Path) -> list[bytes]:
    return [picture.tobytes() for picture in pictures(str(path), "pyav") if picture is not None]


@pytest.mark.parametrize("cut", CUTS, ids=lambda path: f"{path.stat().st_size // 1000} KB")
def test_a_cut_is_no_damage(cut: Path, tmp_path: Path) -> None:
    probe = probe_file(cut)
    assert isinstance(probe, Probed)
    found = shown(cut)
    assert len(found) == probe.frames
    assert set(found) <= set(shown(cut.with_name("original.mp4")))
    content = bytearray(cut.read_bytes())
    for place in range(len(content) // 3, len(content) // 2, 997):
        content[place] ^= 0x55
    (tmp_path / cut.name).write_bytes(content)
    assert isinstance(probe_file(tmp_path / cut.name), Rejected)
