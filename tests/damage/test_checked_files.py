"""`catalog check --files`: weights and predictions that are gone or are not what was written, each named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog import Journal, read_events
from catalog.events import CellFinished, CheckpointRemoved
from catalog.storage.atomic import sha256_of
from tests.damage.test_damage_table import STUDY
from tests.orchestrator.commands.test_cli import run
from tests.support.run_here import run_here

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained") / "storage"
    root.mkdir()
    assert run_here(root, STUDY.replace("[8, 16]", "[8]").replace("epochs: 2", "epochs: 1")) == []
    return root


@pytest.fixture
def storage(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "storage", symlinks=True))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def hashes(root: Path) -> dict[Path, str]:
    return {path: sha256_of(path) for path in root.glob("runs/*/*") if path.is_file()}


def one(root: Path, pattern: str) -> Path:
    (path,) = root.glob(f"runs/*/{pattern}")
    return path


CASES: dict[str, tuple[str, Damage, str]] = {
    "weights gone": ("epoch-0001.pt", Path.unlink, "gone: best and last checkpoint of TSN-Tiny-f8@toy"),
    "weights flipped": ("epoch-0001.pt", flip, "damaged: best and last checkpoint of TSN-Tiny-f8@toy"),
    "weights cut": (
        "epoch-0001.pt",
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "damaged: best and last checkpoint of TSN-Tiny-f8@toy",
    ),
    "predictions gone": (
        "epoch-0001.parquet",
        Path.unlink,
        "gone: predictions of training:best and training:last of TSN-Tiny-f8@toy",
    ),
    "predictions flipped": (
        "epoch-0001.parquet",
        flip,
        "damaged: predictions of training:best and training:last of TSN-Tiny-f8@toy",
    ),
    "a folder in its place": (
        "epoch-0001.pt",
        lambda path: (path.unlink(), path.mkdir()),
        "cannot be read (Is a directory): best and last checkpoint of TSN-Tiny-f8@toy",
    ),
}


def checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path
) -> tuple[int, list[str]]:
    assert run(monkeypatch, "catalog", "rebuild", "--storage", root) == 0
    capsys.readouterr()
    code = run(monkeypatch, "catalog", "check", "--files", "--storage", root)
    return code, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", CASES)
def test_what_is_damaged_is_named_and_nothing_is_changed(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pattern, damage, said = CASES[name]
    damage(one(storage, pattern))
    before = hashes(storage)
    code, lines = checked(monkeypatch, capsys, storage)
    assert code == 1
    assert [line.split("; ")[0] for line in lines if "TSN-Tiny" in line] == [said]
    assert lines[-1].endswith(f"actiongrid run STUDY --check-checkpoints --storage {storage}")
    assert lines[-2] == f"files of results: 2 read, 1 {said.split(' (')[0].split(':')[0]}"
    assert hashes(storage) == before
    # Without the option nobody waits for gigabytes.
    assert run(monkeypatch, "catalog", "check", "--storage", storage) == 0


def test_what_stands_and_what_was_meant_to_go_is_no_fault(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = checked(monkeypatch, capsys, storage)
    assert (code, lines[-1]) == (0, "files of results: 2 read, all as they were written")
    weights = one(storage, "epoch-0001.pt")
    weights.unlink()
    (key,) = {event.key for event in read_events(storage) if isinstance(event, CellFinished)}
    with Journal.open(storage, "later") as journal:
        journal.append(CheckpointRemoved(key, 1, "last", time=9e9))
    code, lines = checked(monkeypatch, capsys, storage)
    assert (code, lines[-1]) == (0, "files of results: 1 read, all as they were written")
