"""How far a dataset's build is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from trainables.data.ingest.batch import BatchRecord, Event

Stage = Literal["generating", "reading", "verifying"]


@dataclass(frozen=True)
class BuildProgress:
    """Videos (verifying: files) done of a stage's, those of an earlier build among them, and the bad ones.

    `bytes` are those that this build has put into the frame store, or has read again.
    """

    stage: Stage
    total: int
    done: int = 0
    standing: int = 0
    quarantined: int = 0
    bytes: int = 0


Progress = Callable[[BuildProgress], None]


class Counter:
    """Counts what happens and tells `progress` of it; a batch that is done again counts once."""

    def __init__(self, stage: Stage, total: int, progress: Progress | None) -> None:
        self._now = BuildProgress(stage, total)
        self._progress = progress
        self._places: dict[int, int] = {}  # of each batch: videos counted

    def step(self) -> None:
        """One more video."""
        self._tell(replace(self._now, done=self._now.done + 1))

    def standing(self, records: Iterable[BatchRecord]) -> None:
        """Batches that an earlier build has done."""
        from trainables.data.ingest.probe import Rejected

        videos = [video for record in records for video in record.videos]
        bad = sum(isinstance(video.probe, Rejected) for video in videos)
        if videos:
            self._tell(replace(self._now, done=len(videos), standing=len(videos), quarantined=bad))

    def count(self, event: Event) -> None:
        """One more video of a batch; batches as a whole say nothing new."""
        from trainables.data.ingest.batch import VideoDone

        if isinstance(event, VideoDone) and event.place == self._places.get(event.batch, 0):
            self._places[event.batch] = event.place + 1
            now = self._now
            bad = now.quarantined + (not event.usable)
            self._tell(replace(now, done=now.done + 1, quarantined=bad, bytes=now.bytes + event.bytes))

    def _tell(self, now: BuildProgress) -> None:
        self._now = now
        if self._progress is not None:
            self._progress(now)
