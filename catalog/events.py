"""The events of a journal, as frozen dataclasses.

An event says what happened, once. Its `identity` fields name the fact that it states: two events of one type
with one identity state the same fact, and the later one holds (see `catalog.projection`). That makes every
replay idempotent. `time` is in seconds since 1970 (UTC); the journal stamps it where it is None.

A change of meaning of a type raises its `version`; readers skip, with a warning, what they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

AttemptState = Literal["done", "failed", "interrupted"]
ControlAction = Literal["pause", "resume", "cancel", "retry"]
Subject = Literal["cell", "study"]


@dataclass(frozen=True, slots=True)
class Event:
    """What all events share. `table` is where the catalog keeps the type, `identity` its primary key.

    Where `fenced`, a fact of a greater `attempt` holds against one of a smaller, whenever each was written.
    """

    version: ClassVar[int] = 1
    table: ClassVar[str] = ""
    identity: ClassVar[tuple[str, ...]] = ()
    fenced: ClassVar[bool] = False

    time: float | None = field(default=None, kw_only=True)

    @property
    def id(self) -> str:
        """The deterministic name of the fact, for example `EpochFinished:3f…:12`."""
        return ":".join([type(self).__name__, *(str(getattr(self, name)) for name in self.identity)])


@dataclass(frozen=True, slots=True)
class StudySubmitted(Event):
    """A driver began to work on a study. `submission` is unique within it; `config` is the whole study."""

    table: ClassVar[str] = "studies"
    identity: ClassVar[tuple[str, ...]] = ("study", "submission")

    study: str
    submission: str
    cells: int
    file: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellPlanned(Event):
    """A cell belongs to a study. `submission`, where given, tells cells of an edited study from older ones.

    `params` counts parameters, `macs` multiply-accumulates of one clip. `num_classes` gives the chance level.
    """

    table: ClassVar[str] = "cells"
    identity: ClassVar[tuple[str, ...]] = ("study", "key")

    key: str
    cell: str
    parent_key: str | None
    study: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    dataset: str
    seed: int
    params: int | None
    macs: int | None
    key_parts: dict[str, Any]
    config: dict[str, Any]
    submission: str | None = None
    num_classes: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """A driver started to train a cell. `attempt` grows over all drivers and submissions.

    A cell that ran out of memory is tried again `alone`, then with `accumulation` times as many pieces.
    """

    table: ClassVar[str] = "attempts_started"
    identity: ClassVar[tuple[str, ...]] = ("key", "attempt")

    key: str
    attempt: int
    driver: str
    host: str
    run_dir: str
    accumulation: int = 1
    alone: bool = False


@dataclass(frozen=True, slots=True)
class EpochFinished(Event):
    """One epoch's metrics: accuracies in percent, `clips_per_second` and `seconds` of the training part.

    `choose_top1`, `choose_loss`: on training videos that were held out to choose the best epoch on.
    What the training part used: `wait_seconds` for clips (a worker's mean), `cpu_seconds` of all workers,
    `resident_bytes` and `peak_memory_bytes` (a GPU's, where there is one) at most so far, `gpu_percent` busy.
    `grad_norm` is the mean L2 norm of the gradient.
    """

    table: ClassVar[str] = "epochs"
    identity: ClassVar[tuple[str, ...]] = ("key", "epoch")
    fenced: ClassVar[bool] = True

    key: str
    epoch: int
    attempt: int
    train_loss: float | None
    train_top1: float | None
    lr: float | None
    val_loss: float | None
    top1: float | None
    top5: float | None
    clips_per_second: float | None
    seconds: float | None
    choose_top1: float | None = None
    choose_loss: float | None = None
    wait_seconds: float | None = None
    cpu_seconds: float | None = None
    resident_bytes: float | None = None
    peak_memory_bytes: float | None = None
    gpu_percent: float | None = None
    grad_norm: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """An attempt is over. `log` is the path of its log."""

    table: ClassVar[str] = "attempts_ended"
    identity: ClassVar[tuple[str, ...]] = ("key", "attempt")

    key: str
    attempt: int
    state: AttemptState
    error: str | None = None
    log: str | None = None


@dataclass(frozen=True, slots=True)
class CellFinished(Event):
    """A cell's result. `top1`, `top5`, `loss` are the last epoch's; accuracies in percent, sizes in bytes.

    `evaluation` names the protocol and the videos that the accuracies were measured with: `protocol` and
    `videos_hash` say them, because a study that is edited later may ask for others. Where
    `accumulation` is above 1 memory was short: BN counted its statistics over that many times fewer clips.
    `best_epoch` was chosen on `choose_videos` training videos, the share `choose_on` held out of training;
    where `choose_on` is None, on the validation videos that the accuracies are of.
    `checkpoint` and `predictions` are those of the one that `inherit` names; `checkpoints` holds `epoch`,
    `path`, `sha256` and `predictions` of `last` and `best`. `fresh` names the tensors that began at random.
    """

    table: ClassVar[str] = "finished"
    identity: ClassVar[tuple[str, ...]] = ("key",)
    fenced: ClassVar[bool] = True

    key: str
    attempt: int
    epochs: int
    best_epoch: int
    top1: float
    top5: float
    loss: float
    best_top1: float
    best_top5: float
    best_loss: float
    eval_videos: int
    train_videos: int
    train_seconds: float
    eval_seconds: float
    train_clips_per_second: float | None
    eval_clips_per_second: float | None
    peak_memory_bytes: int | None
    params: int
    macs: int
    inherit: str
    parent_key: str | None
    parent_top1_rechecked: float | None
    checkpoint: str
    checkpoint_sha256: str
    predictions: str | None
    versions: dict[str, Any]
    hardware: dict[str, Any]
    evaluation: str | None = None
    accumulation: int = 1
    choose_on: float | None = None
    choose_videos: int = 0
    checkpoints: dict[str, Any] | None = None
    protocol: dict[str, Any] | None = None
    videos_hash: str | None = None
    fresh: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class CellFailed(Event):
    """The driver gave a cell up after `attempt` attempts; its descendants are blocked until it is retried."""

    table: ClassVar[str] = "failed"
    identity: ClassVar[tuple[str, ...]] = ("key", "attempt")

    key: str
    attempt: int
    error: str
    log: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointRemoved(Event):
    """A finished cell's checkpoint of `epoch` was removed, as its studies' `keep` allows."""

    table: ClassVar[str] = "checkpoints_removed"
    identity: ClassVar[tuple[str, ...]] = ("key", "epoch")

    key: str
    epoch: int
    keep: str


@dataclass(frozen=True, slots=True)
class VideosQuarantined(Event):
    """Videos of a dataset that cannot be used. `videos` is a list of {"path", "reason"}."""

    table: ClassVar[str] = "quarantined"
    identity: ClassVar[tuple[str, ...]] = ("dataset",)

    dataset: str
    count: int
    videos: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class DatasetBuilt(Event):
    """A dataset stands on disk: `classes` in label order, `videos` by split, how many are `quarantined`.

    The hashes identify the videos of a split as cells' keys do; `frames` counts all frames; `frame_format`
    says how they are kept.
    """

    table: ClassVar[str] = "datasets_built"
    identity: ClassVar[tuple[str, ...]] = ("dataset", "train_hash", "val_hash")

    dataset: str
    manifest: str
    train_hash: str
    val_hash: str
    classes: list[str]
    videos: dict[str, int]
    frames: int
    frame_format: str
    quarantined: int


@dataclass(frozen=True, slots=True)
class CellEvaluated(Event):
    """A finished cell was measured with a protocol; accuracies in percent over `videos`, each counted once.

    `evaluation` identifies cell, protocol, videos, `average` and `checkpoint` (`best` or `last`). `views` =
    clips x crops a video; `videos_hash` identifies the videos of `split`; `seconds` leave out the start-up.
    """

    table: ClassVar[str] = "evaluations"
    identity: ClassVar[tuple[str, ...]] = ("key", "evaluation")

    key: str
    evaluation: str
    checkpoint: str
    epoch: int
    checkpoint_sha256: str
    sampling: str
    sampling_rate: int
    clips: int
    crops: int
    crop_size: int
    short_side: int
    average: str
    split: str
    videos_hash: str
    top1: float
    top5: float
    loss: float
    videos: int
    views: int
    seconds: float
    predictions: str
    versions: dict[str, Any]
    hardware: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StudyControlled(Event):
    """Somebody told a study's drivers what to do with the cells whose names match the pattern `cells`."""

    table: ClassVar[str] = "controls"
    identity: ClassVar[tuple[str, ...]] = ("study", "command")

    study: str
    command: str
    action: ControlAction
    cells: str
    who: str


@dataclass(frozen=True, slots=True)
class NoteWritten(Event):
    """Somebody wrote about a cell or a study. `name` is a cell's key or a study's name; no text: removed.

    Like tags and saved views it decides nothing: no key changes with it, no driver reads it.
    """

    table: ClassVar[str] = "notes"
    identity: ClassVar[tuple[str, ...]] = ("note",)

    note: str
    about: Subject
    name: str
    text: str
    who: str


@dataclass(frozen=True, slots=True)
class TagSet(Event):
    """Somebody gave a cell (by its key) or a study a tag, or took it away (`present` is false)."""

    table: ClassVar[str] = "tags"
    identity: ClassVar[tuple[str, ...]] = ("about", "name", "tag")

    about: Subject
    name: str
    tag: str
    present: bool
    who: str


@dataclass(frozen=True, slots=True)
class ViewSaved(Event):
    """Somebody named what the page Explore shows, or (`present` is false) took the name away.

    `search` is the address from its `?` on.
    """

    table: ClassVar[str] = "saved_views"
    identity: ClassVar[tuple[str, ...]] = ("view",)

    view: str
    search: str
    present: bool
    who: str


@dataclass(frozen=True, slots=True)
class TimeToGoReckoned(Event):
    """A driver reckoned that its study takes so many `seconds` more, times a factor from `low` to `high`.

    It is what `run` itself shows, so that others who read the journals show the same.
    """

    table: ClassVar[str] = "times_to_go"
    identity: ClassVar[tuple[str, ...]] = ("study",)

    study: str
    seconds: float
    low: float
    high: float


EVENT_TYPES: tuple[type[Event], ...] = (
    StudySubmitted,
    CellPlanned,
    AttemptStarted,
    EpochFinished,
    AttemptEnded,
    CellFinished,
    CellFailed,
    CheckpointRemoved,
    VideosQuarantined,
    DatasetBuilt,
    CellEvaluated,
    StudyControlled,
    NoteWritten,
    TagSet,
    ViewSaved,
    TimeToGoReckoned,
)
