"""What other dashboards get, read back from their own files and server; a sink that fails touches no cell."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from catalog.events import AttemptEnded, CellFailed, CellPlanned, EpochFinished, Event
from orchestrator.running.sinks import (
    TRACKING_URI,
    SinkError,
    SinkFeeder,
    cell_info,
    require_sinks,
    start_sinks,
)
from orchestrator.study.load import parse_study
from tests.support.grid_events import DEMO, grid_events

RATES = {1: 0.1, 2: 0.01}


def planned(key: str = "k" * 40, name: str = "TSN-Tiny-f8@d") -> CellPlanned:
    axes = {"module": "tsn", "backbone": "tiny", "temporal_pooling": False, "frames": 8, "dataset": "d"}
    config = {"recipe": {"lr": 0.1, "milestones": [1, 2]}, "evaluation": {"clips": 1}}
    return CellPlanned(key, name, None, "s", **axes, seed=0, params=1, macs=1, key_parts={}, config=config)


def epoch(key: str, number: int) -> EpochFinished:
    rate = RATES[number]
    return EpochFinished(
        key, number, 1, 2.0 / number, 10.0 * number, rate, None, 20.0 * number, 90.0, 7.0, 3.0
    )


def finished(key: str) -> Event:
    (found, *_) = (one for one in grid_events(DEMO) if type(one).__name__ == "CellFinished")
    object.__setattr__(found, "key", key)
    return found


def feed(names: tuple[Any, ...], folder: Path, *events: Event) -> list[str]:
    said: list[str] = []
    feeder = start_sinks(names, folder, lambda: [planned()], said.append)
    assert feeder is not None
    for event in events:
        feeder.see(event)
    feeder.end()
    return said


def records(path: Path) -> Iterator[bytes]:
    """The records of an event file: each has its length, a checksum, the data and theirs (TFRecord)."""
    data = path.read_bytes()
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        yield data[place + 12 : place + 12 + length]
        place += 16 + length


def wandb_records(path: Path) -> Iterator[bytes]:
    """The records of an offline run: LevelDB's log format, in blocks of 32 KiB, behind a head of 7 bytes."""
    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a record of one piece, or its last one
            yield whole
            whole = b""


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    from tensorboardX.proto.event_pb2 import Event as Record

    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for data in records(path):
            record = Record.FromString(data)
            for value in record.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[record.step] = value.simple_value
    return found


def test_tensorboard_reads_back_every_epoch_and_the_result(tmp_path: Path) -> None:
    key = planned().key
    last = finished(key)
    assert feed(("tensorboard",), tmp_path, epoch(key, 1), epoch(key, 2), last) == []
    (folder,) = (tmp_path / "tensorboard" / "s").iterdir()
    assert folder.name == f"TSN-Tiny-f8@d-{key[:8]}"
    found = scalars(folder)
    assert found["top1"] == pytest.approx({1: 20.0, 2: 40.0})
    assert found["lr"] == pytest.approx(RATES)
    assert "val_loss" not in found  # there was none
    assert list(found["final/top1"].values()) == pytest.approx([last.top1])  # type: ignore[attr-defined]


def test_a_cell_that_goes_on_elsewhere_goes_on_in_its_folder(tmp_path: Path) -> None:
    key = planned().key
    feed(("tensorboard",), tmp_path, epoch(key, 1), AttemptEnded(key, 1, "interrupted"))
    time.sleep(1.1)  # the file's name has the second
    feed(("tensorboard",), tmp_path, epoch(key, 2))
    (folder,) = (tmp_path / "tensorboard" / "s").iterdir()
    assert scalars(folder)["top1"] == pytest.approx({1: 20.0, 2: 40.0})


def test_wandb_writes_offline_what_it_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    key = planned().key
    assert feed(("wandb",), tmp_path, epoch(key, 1), epoch(key, 2), CellFailed(key, 1, "e")) == []
    (path,) = tmp_path.rglob("*.wandb")
    rows: list[Mapping[str, str]] = []
    names = set()
    for data in wandb_records(path):
        record = Record.FromString(data)
        if record.HasField("run"):
            names.add((record.run.display_name, record.run.run_group, record.run.project))
        if record.HasField("history"):
            rows.append({one.key or ".".join(one.nested_key): one.value_json for one in record.history.item})
    assert ("TSN-Tiny-f8@d", "s", "actiongrid") in names
    assert [float(row["top1"]) for row in rows if "top1" in row] == [20.0, 40.0]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local MLflow server; `mlflow` itself needs other versions than ours and stands by itself."""
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    program = os.environ.get("ACTIONGRID_MLFLOW")
    if program is None:
        pytest.skip("no MLflow server here; ACTIONGRID_MLFLOW names its program")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen([program, "server", *place, *store], env=environment, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/health", server)
        yield address
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the MLflow server does not answer")


def test_mlflow_has_every_epoch_the_settings_and_the_end(
    tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv(TRACKING_URI, tracking)
    require_sinks(("mlflow",))
    key = planned().key
    assert feed(("mlflow",), tmp_path, epoch(key, 1), AttemptEnded(key, 1, "interrupted")) == []
    assert feed(("mlflow",), tmp_path, epoch(key, 2), finished(key)) == []
    client = MlflowClient(tracking_uri=tracking)
    (run,) = client.search_runs([client.get_experiment_by_name("s").experiment_id])
    assert (run.info.run_name, run.info.status) == ("TSN-Tiny-f8@d", "FINISHED")
    assert run.data.tags["key"] == key and run.data.params["recipe.lr"] == "0.1"
    history = client.get_metric_history(run.info.run_id, "top1")
    assert [(one.step, one.value) for one in history] == [(1, 20.0), (2, 40.0)]


def test_a_sink_that_fails_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    class Broken:
        def epoch(self, *_: object) -> None:
            raise ConnectionError("no answer")

        end = epoch

        def close(self) -> None:
            raise AssertionError("it is left out")

    from orchestrator.running.sinks import TensorBoardSink

    said: list[str] = []
    sinks: dict[str, Any] = {"broken": Broken, "tensorboard": lambda: TensorBoardSink(tmp_path)}
    feeder = SinkFeeder(sinks, {planned().key: cell_info(planned())}, said.append)
    for number in (1, 2):
        feeder.see(epoch(planned().key, number))
    feeder.see(epoch("another study's", 1))
    feeder.end()
    assert said == ["warning: sink broken takes nothing any more (ConnectionError: no answer)"]
    assert scalars(tmp_path)["top1"] == pytest.approx({1: 20.0, 2: 40.0})


def test_what_is_missing_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACKING_URI, raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SinkError, match=r"wandb is not installed.*pip install 'actiongrid\[wandb\]'"):
        require_sinks(("tensorboard", "wandb"))
    monkeypatch.setitem(sys.modules, "mlflow", sys)
    with pytest.raises(SinkError, match=f"export {TRACKING_URI}="):
        require_sinks(("mlflow",))


def test_a_study_names_its_sinks() -> None:
    text = "name: s\naxes: {module: tsn, backbone: resnet18, frames: 8, dataset: mini-ssv2}\n"
    text += "recipe: {base: {init: random, epochs: 1, batch_size: 8, crop_size: 32}}\n"
    assert parse_study(f"{text}sinks: [tensorboard, mlflow]\n", "s.yaml").sinks == ("tensorboard", "mlflow")
    with pytest.raises(Exception, match="sinks"):
        parse_study(f"{text}sinks: [excel]\n", "s.yaml")
