"""What a message about damage advises is done here, and mends."""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from catalog import Catalog
from catalog.storage.checksums import with_checksum
from catalog.storage.folder_storage import FolderStorage
from orchestrator.cli import app
from orchestrator.planning.plan_model import State
from tests.damage.test_fuzz_readers import RESULT
from tests.support.finished_study import STUDY, build, finish, plan
from trainables.data.frames.check import shards_stand
from trainables.data.frames.manifest import ManifestError, read_manifest
from trainables.training.checkpoint import WAY_OUT, CheckpointError, latest_intact, load_state, records
from trainables.training.checkpoint import save_checkpoint as save
from trainables.training.result import read_result

KEY = "k" * 32


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def epochs(folder: Path, *top1: float) -> None:
    """Checkpoints of as many epochs, each with its record."""
    storage = FolderStorage(folder)
    for done in range(1, len(top1) + 1):
        history = [{"epoch": float(number), "top1": one} for number, one in enumerate(top1[:done], 1)]
        state = {"model": {}, "number": done}
        save(storage, folder, state, folder / f"epoch-{done:04d}.parquet", history, KEY)


def strip_others(folder: Path) -> None:
    """Make records as earlier versions wrote them."""
    for path in folder.glob("epoch-*.json"):
        fields = json.loads(path.read_bytes())
        old = ("epoch", "sha256", "path", "predictions_path", "history")
        path.write_text(json.dumps({name: fields[name] for name in old}))


def going_on_from(folder: Path) -> int | None:
    found = latest_intact(folder, KEY)
    return None if found is None else found.epoch


def test_a_torn_record_of_the_best_epoch_is_taken_from_a_newer_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    epochs(tmp_path, 60.0, 40.0, 50.0)
    before = {record.epoch: record for record in records(tmp_path, KEY)}
    path = tmp_path / "epoch-0001.json"
    path.write_bytes(path.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        after = {record.epoch: record for record in records(tmp_path, KEY)}
    assert after[1].sha256 == before[1].sha256 and after[1].history == before[1].history
    assert "epoch-0001" in caplog.text and going_on_from(tmp_path) == 3
    load_state(Path(after[1].path), after[1].sha256)


def test_epochs_from_a_damaged_best_one_on_are_trained_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    epochs(tmp_path, 40.0, 60.0, 50.0)
    (tmp_path / "epoch-0002.pt").write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        assert going_on_from(tmp_path) == 1
    assert "its best epoch, 2, is damaged or gone, and trained again" in caplog.text


def test_records_of_earlier_versions_are_read_and_one_that_is_torn_costs_its_epochs_alone(
    tmp_path: Path,
) -> None:
    epochs(tmp_path, 40.0, 60.0, 50.0)
    strip_others(tmp_path)
    assert [record.epoch for record in records(tmp_path, KEY)] == [1, 2, 3] and going_on_from(tmp_path) == 3
    (tmp_path / "epoch-0002.json").write_text("torn")
    assert going_on_from(tmp_path) == 1


def test_a_record_of_another_cell_or_epoch_does_not_count(tmp_path: Path) -> None:
    epochs(tmp_path, 40.0, 60.0)
    assert records(tmp_path, "another key") == ()
    shutil.copy(tmp_path / "epoch-0001.json", tmp_path / "epoch-0002.json")
    assert [record.epoch for record in records(tmp_path, KEY)] == [1]


def test_a_damaged_manifest_is_said_by_plan_and_mended_by_build(tmp_path: Path) -> None:
    build(tmp_path)
    finish(tmp_path)
    (path,) = tmp_path.glob("datasets/toy-*/manifest.parquet")
    whole = read_manifest(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="actiongrid data build toy"):
        read_manifest(path)
    assert "its manifest was damaged" in plan(tmp_path)["TAM-Tiny-f8@toy"].reason
    study = tmp_path / "lengths.yaml"
    study.write_text(STUDY)
    result = command("data", "build", study, "--storage", tmp_path)
    assert result.exit_code == 0, result.output
    assert read_manifest(path) == whole, "the same keys: nothing is trained again"
    assert {one.state for one in plan(tmp_path).values()} == {State.DONE}


def test_the_command_that_a_damaged_manifest_names_mends_it(tmp_path: Path) -> None:
    build(tmp_path)
    (path,) = tmp_path.glob("datasets/toy-*/manifest.parquet")
    whole = read_manifest(path)
    path.write_bytes(b"no manifest")
    with pytest.raises(ManifestError) as refused:
        read_manifest(path)
    (name,) = re.findall(r"actiongrid data build (\S+)", refused.value.what_to_do)
    result = command("data", "build", name, "--storage", tmp_path)
    assert result.exit_code == 0, (result.output, result.exception)
    assert read_manifest(path) == whole


def test_the_command_that_a_damaged_shard_names_mends_it(tmp_path: Path) -> None:
    build(tmp_path)
    (path,) = tmp_path.glob("datasets/toy-*/manifest.parquet")
    manifest = read_manifest(path)
    shard = path.parent / "shards" / manifest.shards[0].name
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    result = command("data", "verify", "--storage", tmp_path)
    assert result.exit_code == 1
    (name,) = re.findall(r"actiongrid data build (\S+)", result.output)
    assert command("data", "build", name, "--storage", tmp_path).exit_code == 0
    assert command("data", "verify", "--storage", tmp_path).exit_code == 0
    assert shards_stand(manifest, path.parent)


def test_a_damaged_checkpoint_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """That the way out mends is tested in `test_damage_table`: the command that was given, once more."""
    epochs(tmp_path / "run", 50.0)
    (record,) = records(tmp_path / "run", KEY)
    Path(record.path).write_bytes(b"damaged")
    with pytest.raises(CheckpointError) as refused:
        load_state(Path(record.path), record.sha256)
    assert refused.value.what_to_do == WAY_OUT and "give the same command again" in WAY_OUT


def test_a_result_of_an_earlier_version_and_one_of_a_later_are_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(asdict(RESULT)))
    assert read_result(tmp_path, KEY) is not None
    path.write_bytes(with_checksum(json.dumps(asdict(RESULT) | {"colour": "red"}).encode()))
    assert read_result(tmp_path, KEY) is not None
    path.write_bytes(path.read_bytes().replace(b'"top1": 50.0', b'"top1": 90.0'))
    assert read_result(tmp_path, KEY) is None


def advised(text: str) -> list[str]:
    """The words of the command that a message advises, as a shell takes them."""
    (found,) = re.findall(r"actiongrid ([a-z][^`;\n]*)", text)
    return shlex.split(found)


def damage_snapshot(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        catalog.snapshot().write_bytes(b"no database")


def damage_manifest(storage: Path) -> None:
    (path,) = storage.glob("datasets/toy-*/manifest.parquet")
    path.write_bytes(b"no manifest")


def damage_shard(storage: Path) -> None:
    path = next(storage.glob("datasets/toy-*/shards/*"))
    path.write_bytes(b"no shard")


def nothing(storage: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (nothing, ("status", "nope")),
        (nothing, ("explain", "nope")),
        (nothing, ("pause", "lengths")),
        (nothing, ("data", "verify", "nope")),
        (damage_snapshot, ("catalog", "check")),
        (damage_manifest, ("data", "list")),
        (damage_shard, ("data", "verify")),
    ],
)
def test_what_a_message_advises_works_when_pasted_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    storage, study = tmp_path / "my storage", tmp_path / "lengths.yaml"
    study.write_text(STUDY)
    build(storage)
    finish(storage, file=str(study))
    before(storage)
    refused = command(*words, "--storage", storage)
    said = refused.output + str(refused.exception or "")
    assert refused.exit_code != 0, said
    monkeypatch.chdir(tmp_path)
    told = advised(said)
    if told[0] == "run":
        told[0] = "plan"  # as far as that goes without a cluster
    mended = command(*told)
    assert mended.exit_code == 0, (told, mended.output, mended.exception)
    if before is not nothing:
        assert command(*words, "--storage", storage).exit_code == 0
