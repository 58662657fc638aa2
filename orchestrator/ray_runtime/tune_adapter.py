"""The only module that talks to Ray Tune: feeds it one trial per cell and passes on what it hears.

Tune decides nothing here. `GridSearcher` asks the driver which cell comes next; `GridCallback` tells the
driver what happened. An exception in either would abort the whole grid, so both use `DriverLink.guarded`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from catalog.storage.errors import ActionGridError
from catalog.storage.storage import open_storage
from orchestrator.ray_runtime.cluster_size import Maximum, cluster_maximum, cluster_size
from orchestrator.ray_runtime.ray_compat import (
    HEAD_RESOURCE,
    RayWay,
    announced_trial,
    remove_orphaned,
    start_trial_actors,
    trial_actor,
)
from orchestrator.ray_runtime.trial import TrialRequest, read_error_log
from orchestrator.scheduling.schedule import Free

logger = logging.getLogger(__name__)

FindActor = Callable[[Any], Any]

# The head's own resource: a trial waits for its Train workers and must not hold a CPU that they need.
TRIAL_RESOURCES: dict[str, float] = {HEAD_RESOURCE: 0.0001}

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Signals are `orchestrator.ray_runtime.dispatch`'s to receive.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "TUNE_RESULT_BUFFER_LENGTH": "0",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class GridDriver(Protocol):
    """What the adapter and `orchestrator.ray_runtime.dispatch` need of a driver."""

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing can start any more."""

    @property
    def has_work(self) -> bool:
        """Whether something runs or could be started here, as far as other drivers go."""

    @property
    def leave_now(self) -> bool:
        """Whether the grid is to be left as it is, at once."""

    @property
    def to_kill(self) -> frozenset[str]:
        """The names of requests whose trials are to be ended now."""

    def next_trial(self, total: Free) -> TrialRequest | None:
        """The cell to start now on a cluster of this size, or None: nothing is ready or nothing fits."""

    def poll(self) -> None:
        """Take in what running cells have done; called all the time."""

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        """A trial is over; `error` is None where it ended well."""

    def interrupted(self) -> None:
        """What still runs was stopped on purpose, and its processes are gone; nothing is held any more."""


class GridError(ActionGridError):
    """The driver's own code failed inside a Tune callback."""


class _LeftError(BaseException):
    """Carries the wish to leave through Tune, which handles every `Exception` itself, at length."""


class DriverLink:
    """A driver and what went wrong in it, as Tune's objects hold it.

    Tune pickles its searcher and callbacks into a state file for `restore`, which is never used: only an
    empty link goes in there.
    """

    def __init__(self, driver: GridDriver) -> None:
        self.driver = driver
        self.problems: list[BaseException] = []

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return (object, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> DriverLink:
        return self

    def leave_if_asked(self) -> None:
        """Leave `run_grid`, where the driver wants that; the end of the Ray session ends the trials."""
        if self.guarded(lambda: self.driver.leave_now):
            raise _LeftError

    def guarded(self, action: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the action returns
        """Run a driver's action; keep its exception for later, for it would abort the whole grid."""
        try:
            return action()
        except Exception as error:
            logger.exception("the driver failed")
            self.problems.append(error)
            return None


class GridSearcher(Searcher):  # type: ignore[misc]
    """Tune's source of trials: the driver's next cell, None while nothing can start, FINISHED at the end."""

    def __init__(self, link: DriverLink, maximum: Maximum, way: RayWay) -> None:
        super().__init__(metric=None, mode=None)
        self._link = link
        self._maximum = maximum
        self._way = way

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - a config, None or Searcher.FINISHED
        """Return the next trial's config. Tune requires this argument's name."""
        # While no trial runs Tune calls nothing but this, so here is the driver's turn.
        self._link.leave_if_asked()
        if self._link.problems or self._link.driver.is_finished:
            return Searcher.FINISHED
        size = self._link.guarded(lambda: cluster_size(self._maximum))
        if size is None:  # orchestrator.ray_runtime.dispatch ends this process; no cell is to blame
            return None
        request = self._link.guarded(lambda: self._link.driver.next_trial(size))
        return replace(request, way=self._way).as_config() if request is not None else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: the callback tells the driver, with the error's text."""

    def save(self, checkpoint_path: str) -> None:
        """Write nothing of ours: the journal is the state; Tune only wants a file to be there."""
        Path(checkpoint_path).write_text("{}", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: every submission is a new Tuner over what is missing."""


class GridCallback(tune.Callback):  # type: ignore[misc]
    """Tells the driver of the ends of trials, and gives it a turn in Tune's loop."""

    def __init__(self, link: DriverLink, find_actor: FindActor, way: RayWay) -> None:
        self._link = link
        self._find_actor = find_actor
        self._way = way

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ANN401
        """Tune's loop went round once."""
        self._link.guarded(self._link.driver.poll)
        self._link.leave_if_asked()
        for name in self._link.guarded(lambda: self._link.driver.to_kill) or ():
            _end_trial(trials, name, self._find_actor)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ANN401
        """A cell trained to its end."""
        request = TrialRequest(**trial.config)
        self._link.guarded(lambda: self._link.driver.trial_ended(request, None))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ANN401
        """An attempt failed, or its process died."""
        request = TrialRequest(**trial.config)
        if self._way is RayWay.FAST:
            self._link.guarded(remove_orphaned)
        error = read_error_log(open_storage(request.storage), Path(request.log)) or _error_text(trial)
        self._link.guarded(lambda: self._link.driver.trial_ended(request, error))


class NewestFirst(FIFOScheduler):  # type: ignore[misc]
    """Gives a process that has become free to the trial that has none, the newest one.

    Tune's own order gives it to the oldest, for which a process starts just then: it is thrown away, and
    where cells are shorter than a process's start, so is every later one (1,000 trivial cells took 1,004 s
    with it and take 126 s). Nor does it look at all trials that ever were.
    """

    def __init__(self) -> None:
        super().__init__()
        self._order: dict[str, int] = {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ANN401 - Tune's
        """A trial that is newer than all others."""
        self._order[trial.trial_id] = len(self._order)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:  # noqa: ANN401 - Tune's
        """Return the newest trial that waits, or None."""
        live = tune_controller.get_live_trials()
        pending = [trial for trial in live if trial.status == "PENDING"]
        return max(pending, key=lambda trial: self._order[trial.trial_id], default=None)


def _actor_finder(way: RayWay) -> FindActor:
    if way is RayWay.FAST:
        return trial_actor
    actors = start_trial_actors()
    return lambda trial: announced_trial(actors, trial.config["name"])


def _end_trial(trials: list[Any], name: str, find_actor: FindActor) -> None:
    """Kill a running trial's process; its Train controller and workers die with it, which own nothing else.

    Tune hears of it as of any death and calls `on_trial_error`; later calls for the same trial do nothing.
    """
    for trial in trials:
        if trial.config["name"] == name and trial.status == "RUNNING":
            actor = find_actor(trial)
            if actor is not None:
                ray.kill(actor)


def _error_text(trial: Any) -> str:  # noqa: ANN401 - ray.tune's Trial
    """What Tune knows of a trial whose process could not write a log: that it died, and how."""
    path = Path(trial.local_path, "error.txt") if trial.local_path else None
    text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "ActorDiedError: the trial's process died without a word"


def run_grid(
    driver: GridDriver,
    name: str,
    storage: Path,
    way: RayWay,
    run: Callable[[dict[str, Any]], None],
) -> None:
    """Run the driver's cells as Tune trials of `run` until it is finished or wants to leave.

    Needs an initialised Ray, whose end ends trials that are left running. Tune's own files go to
    `storage/name`; nothing is ever restored from them.

    Raises:
        GridError: The driver's code failed; what was journalled before stands.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    link = DriverLink(driver)
    trainable = tune.with_resources(run, tune.PlacementGroupFactory([TRIAL_RESOURCES]))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=GridSearcher(link, cluster_maximum(way), way),
            scheduler=NewestFirst(),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["name"],
            trial_dirname_creator=lambda trial: trial.config["name"],
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(storage),
            callbacks=[GridCallback(link, _actor_finder(way), way)],
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except _LeftError:
        logger.info("left the grid as asked")
    if link.problems:
        raise GridError(
            f"the driver failed: {link.problems[0]!r}",
            name,
            "submit the study again; if it comes again, report it",
        ) from link.problems[0]
