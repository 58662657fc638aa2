from __future__ import annotations

from pathlib import Path

import pytest
import torch

from catalog.storage.atomic import write_atomically
from catalog.storage.folder_storage import FolderStorage
from trainables.training.checkpoint import (
    CheckpointError,
    is_intact,
    latest_intact,
    load_state,
    prune,
    read_record,
    records,
    save_checkpoint,
)


def save(directory: Path, epoch: int) -> None:
    history = [{"epoch": float(n), "top1": float(n)} for n in range(1, epoch + 1)]
    state = {"model": {"w": torch.full((3,), float(epoch))}}
    save_checkpoint(
        FolderStorage(directory), directory, state, directory / f"epoch-{epoch:04d}.parquet", history
    )


def test_the_newest_checkpoint_comes_back_with_its_history(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save(tmp_path, epoch)
    newest = latest_intact(tmp_path)
    assert newest is not None
    assert newest.epoch == 2
    assert [row["top1"] for row in newest.history] == [1.0, 2.0]
    assert newest.metrics["top1"] == 2.0
    state = load_state(Path(newest.path), newest.sha256)
    assert torch.equal(state["model"]["w"], torch.full((3,), 2.0))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "record-torn"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    for epoch in (1, 2):
        save(tmp_path, epoch)
    weights = tmp_path / "epoch-0002.pt"
    content = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        weights.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    elif damage == "missing":
        weights.unlink()
    else:
        record = weights.with_suffix(".json")
        record.write_text(record.read_text()[:-20])
    newest = latest_intact(tmp_path)
    assert newest is not None
    assert newest.epoch == 1


def test_a_record_that_is_lost_is_taken_from_a_newer_one(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save(tmp_path, epoch)
    before = records(tmp_path)
    for damaged in ("epoch-0001.json", "epoch-0002.json"):
        (tmp_path / damaged).write_text("{")
    (tmp_path / "epoch-0001.pt").unlink()
    second, third = records(tmp_path)
    assert third == before[2]
    assert (second.epoch, second.sha256, second.path) == (2, before[1].sha256, before[1].path)
    assert (second.history, second.predictions_path) == (before[1].history, before[1].predictions_path)
    assert is_intact(second)


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert latest_intact(tmp_path) is None


def test_load_refuses_another_file_than_the_recorded_one(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"does not match its checksum.*epoch-0001\.pt"):
        load_state(tmp_path / "epoch-0001.pt", "0" * 64)


def test_a_checkpoint_with_code_in_it_is_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('ran')",))

    path = tmp_path / "evil.pt"
    torch.save({"model": Evil()}, path)
    from trainables.training.checkpoint import sha256_of

    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        load_state(path, sha256_of(path))


def test_a_record_of_another_epoch_is_none(tmp_path: Path) -> None:
    save(tmp_path, 2)
    record = tmp_path / "epoch-0002.json"
    assert read_record(record) is not None
    other = record.rename(tmp_path / "epoch-0003.json")
    assert read_record(other) is None


def test_prune_removes_records_before_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in (1, 2):
        save(tmp_path, epoch)
    removed: list[str] = []
    unlink = Path.unlink

    def noted(path: Path, *, missing_ok: bool = False) -> None:
        if path.exists():
            removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", noted)
    prune(tmp_path, ())
    assert removed[:2] == ["epoch-0001.json", "epoch-0002.json"] and len(removed) == 4


def test_prune_keeps_what_it_is_told(tmp_path: Path) -> None:
    for epoch in range(1, 6):
        save(tmp_path, epoch)
    prune(tmp_path, {2, 5})
    kept = records(tmp_path)
    assert [record.epoch for record in kept] == [2, 5]
    assert all(is_intact(record) for record in kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0002.json",
        "epoch-0002.pt",
        "epoch-0005.json",
        "epoch-0005.pt",
    ]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def refuse(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
