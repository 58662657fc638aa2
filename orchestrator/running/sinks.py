"""Other people's dashboards: TensorBoard, MLflow and Weights & Biases get every cell's epochs and result.

Each sink takes plain values and is fed by a thread of its own: no driver waits for a server, and a sink that
fails is told once and left out. The catalog stays the truth: sinks are copies, and nothing reads them.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from catalog.events import AttemptEnded, CellFailed, CellFinished, CellPlanned, EpochFinished, Event
from catalog.queries.training import flattened
from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.study.model import SinkName

LEAVE_SECONDS = 60.0
"""How long the sinks may take to write the last values when a run ends."""
TRACKING_URI = "MLFLOW_TRACKING_URI"
_PACKAGES: Mapping[SinkName, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
_LONGEST_PARAMETER = 6000  # characters that MLflow takes
_NO_METRICS = frozenset({"key", "epoch", "attempt", "time", "num_classes"})


class SinkError(ActionGridError):
    """A sink that cannot be used: its package is not installed, or nobody says where it is."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class CellInfo:
    """A cell as sinks show it: `settings` are its axes, recipe and protocol by dotted names."""

    study: str
    name: str
    key: str
    settings: Mapping[str, Any]

    @property
    def tags(self) -> dict[str, str]:
        """What finds the cell again."""
        return {"study": self.study, "cell": self.name, "key": self.key}


def cell_info(planned: CellPlanned) -> CellInfo:
    """A planned cell as sinks show it."""
    axes = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed")
    settings = {name: getattr(planned, name) for name in axes} | dict(flattened(planned.config))
    return CellInfo(planned.study, planned.cell, planned.key, settings)


class Sink(Protocol):
    """Where cells are shown. Of one cell come epochs, then its end; after a restart further epochs."""

    def epoch(self, cell: CellInfo, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take an epoch's metrics: accuracies in percent, seconds, clips a second."""

    def end(self, cell: CellInfo, state: str, metrics: Mapping[str, float]) -> None:
        """Take the end of a cell: `done`, `failed` or `interrupted`, with its final metrics where done."""

    def close(self) -> None:
        """Write what is not written yet."""


class TensorBoardSink:
    """Event files in a folder a cell; every driver that works on the cell writes one of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def epoch(self, cell: CellInfo, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one scalar a metric, at the epoch as its step."""
        for name, value in metrics.items():
            self._writer(cell).add_scalar(name, value, epoch)

    def end(self, cell: CellInfo, state: str, metrics: Mapping[str, float]) -> None:
        """Write the settings with the final metrics, for TensorBoard's page of hyperparameters."""
        writer = self._writer(cell)
        if state == "done":
            plain = {name: _plain(value) for name, value in cell.settings.items()}
            writer.add_hparams(
                plain, {f"final/{name}": value for name, value in metrics.items()}, name="result"
            )
        writer.close()
        del self._writers[cell.key]

    def close(self) -> None:
        """Close the files of cells that go on elsewhere."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, cell: CellInfo) -> Any:  # noqa: ANN401 - an optional package's
        if cell.key not in self._writers:
            from tensorboardX import SummaryWriter

            folder = self._folder / cell.study / f"{cell.name}-{cell.key[:8]}"
            self._writers[cell.key] = writer = SummaryWriter(str(folder), flush_secs=5)
            lines = (f"    {name}: {value}" for name, value in (cell.tags | {**cell.settings}).items())
            writer.add_text("cell", "\n".join(lines))
        return self._writers[cell.key]


class MlflowSink:
    """One run a cell, in an experiment a study; a cell that goes on goes on in its run."""

    def __init__(self) -> None:
        from mlflow.tracking import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=os.environ[TRACKING_URI])
        self._runs: dict[str, str] = {}

    def epoch(self, cell: CellInfo, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one metric a value, at the epoch as its step."""
        self._log(cell, epoch, metrics)

    def end(self, cell: CellInfo, state: str, metrics: Mapping[str, float]) -> None:
        """Log the final metrics and end the run."""
        self._log(cell, 0, {f"final/{name}": value for name, value in metrics.items()})
        states = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
        self._client.set_terminated(self._run(cell), states[state])

    def close(self) -> None:
        """Nothing waits to be written."""

    def _log(self, cell: CellInfo, step: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        found = [Metric(name, value, now, step) for name, value in metrics.items()]
        self._client.log_batch(self._run(cell), metrics=found)

    def _run(self, cell: CellInfo) -> str:
        if cell.key not in self._runs:
            self._runs[cell.key] = self._known_run(cell) or self._new_run(cell)
        return self._runs[cell.key]

    def _known_run(self, cell: CellInfo) -> str | None:
        wanted = f"tags.key = '{cell.key}'"
        found = self._client.search_runs([self._experiment(cell.study)], wanted, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _new_run(self, cell: CellInfo) -> str:
        from mlflow.entities import Param

        run = self._client.create_run(self._experiment(cell.study), tags=cell.tags, run_name=cell.name)
        items = cell.settings.items()
        params = [Param(name, str(_plain(value))[:_LONGEST_PARAMETER]) for name, value in items]
        for first in range(0, len(params), 100):  # as many as one call takes
            self._client.log_batch(run.info.run_id, params=params[first : first + 100])
        return str(run.info.run_id)

    def _experiment(self, study: str) -> str:
        known = self._client.get_experiment_by_name(study)
        return str(known.experiment_id if known else self._client.create_experiment(study))


class WandbSink:
    """One run a cell, grouped by study; `WANDB_MODE=offline` writes files, `WANDB_PROJECT` is the project."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: dict[str, Any] = {}

    def epoch(self, cell: CellInfo, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics at the epoch as their step."""
        self._run(cell).log(dict(metrics), step=epoch)

    def end(self, cell: CellInfo, state: str, metrics: Mapping[str, float]) -> None:
        """Write the final metrics into the summary and end the run."""
        run = self._run(cell)
        run.summary.update({f"final/{name}": value for name, value in metrics.items()} | {"state": state})
        run.finish(exit_code=0 if state == "done" else 1)
        del self._runs[cell.key]

    def close(self) -> None:
        """End the runs of cells that go on elsewhere."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._runs.clear()

    def _run(self, cell: CellInfo) -> Any:  # noqa: ANN401 - an optional package's
        if cell.key not in self._runs:
            import wandb

            self._folder.mkdir(parents=True, exist_ok=True)
            plain = {name: _plain(value) for name, value in cell.settings.items()}
            self._runs[cell.key] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "actiongrid"),
                id=cell.key[:32],
                name=cell.name,
                group=cell.study,
                config=plain | cell.tags,
                dir=str(self._folder),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True),
            )
        return self._runs[cell.key]


def require_sinks(names: Sequence[SinkName]) -> None:
    """See before hours of training that the sinks of a study can be used.

    Raises:
        SinkError: a package is not installed, or MLflow's address is not set.
    """
    for name in names:
        try:
            importlib.import_module(_PACKAGES[name])
        except ImportError as error:
            mend = f"pip install 'actiongrid[{name}]', or leave it out"
            what = f"the package {_PACKAGES[name]} is not installed"
            raise SinkError(what, f"sinks: {name}", mend) from error
    if "mlflow" in names and not os.environ.get(TRACKING_URI):
        mend = f"export {TRACKING_URI}=http://HOST:5000"
        raise SinkError("nobody says where MLflow is", f"sinks: mlflow; {TRACKING_URI} is not set", mend)


def start_sinks(
    names: Sequence[SinkName],
    folder: Path,
    planned: Callable[[], Iterable[CellPlanned]],
    say: Callable[[str], None],
) -> SinkFeeder | None:
    """Sinks at work below `folder`, where a study has any; only then are its cells `planned` looked up."""
    if not names:
        return None
    sinks: dict[str, Callable[[], Sink]] = {name: partial(make_sink, name, folder) for name in names}
    return SinkFeeder(sinks, {one.key: cell_info(one) for one in planned()}, say)


def make_sink(name: SinkName, folder: Path) -> Sink:
    """The sink of this name; those that write files write them below `folder`."""
    if name == "tensorboard":
        return TensorBoardSink(folder / name)
    return MlflowSink() if name == "mlflow" else WandbSink(folder / name)


class SinkFeeder:
    """Takes what a driver journals and feeds the sinks, each in its thread; `cells` are found by key."""

    def __init__(
        self,
        sinks: Mapping[str, Callable[[], Sink]],
        cells: Mapping[str, CellInfo],
        say: Callable[[str], None],
    ) -> None:
        self._cells, self._say = cells, say
        self._queues: list[SimpleQueue[Event | None]] = []
        self._threads: list[threading.Thread] = []
        for name, make in sinks.items():
            queue: SimpleQueue[Event | None] = SimpleQueue()
            target = (name, make, queue)
            thread = threading.Thread(target=self._feed, args=target, name=f"sink-{name}", daemon=True)
            self._queues.append(queue)
            self._threads.append(thread)
            thread.start()

    def see(self, event: Event) -> None:
        """Take a journalled event in; returns at once."""
        for queue in self._queues:
            queue.put(event)

    def end(self) -> None:
        """Wait until the sinks have written everything, but not for long."""
        deadline = time.monotonic() + LEAVE_SECONDS
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _feed(self, name: str, make: Callable[[], Sink], queue: SimpleQueue[Event | None]) -> None:
        try:
            sink = make()
            while (event := queue.get()) is not None:
                self._hand_on(sink, event)
            sink.close()
        except Exception as error:  # whatever an optional package raises must not touch the cells
            self._say(f"warning: sink {name} takes nothing any more ({type(error).__name__}: {error})")

    def _hand_on(self, sink: Sink, event: Event) -> None:
        cell = self._cells.get(getattr(event, "key", ""))
        if cell is None:
            return
        if isinstance(event, EpochFinished):
            sink.epoch(cell, event.epoch, _metrics(event))
        elif isinstance(event, CellFinished):
            sink.end(cell, "done", _metrics(event))
        elif isinstance(event, CellFailed):
            sink.end(cell, "failed", {})
        elif isinstance(event, AttemptEnded) and event.state == "interrupted":
            sink.end(cell, "interrupted", {})


def _metrics(event: Event) -> dict[str, float]:
    """The numbers of an event; those that are not finite are left out: not every sink takes them."""
    values = {one.name: getattr(event, one.name) for one in dataclasses.fields(event)}
    return {
        name: float(value)
        for name, value in values.items()
        if name not in _NO_METRICS
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _plain(value: Any) -> str | int | float | bool:  # noqa: ANN401 - whatever a setting holds
    return value if isinstance(value, str | int | float | bool) else str(value)
