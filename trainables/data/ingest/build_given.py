"""What the user said of a dataset's build, kept beside it: so that it can be built again without a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.data.datasets import DatasetConfig, Sources

if TYPE_CHECKING:
    from trainables.data.ingest.build_log import BuildLog

_KEY = "given"


@dataclass(frozen=True)
class Given:
    """A dataset's declaration as plain fields, where an official one's files lie, and what may be missing.

    `allow_missing` is None where the declaration's own figure holds.
    """

    config: dict[str, Any]
    sources: Sources
    allow_missing: float | None


def given(log: BuildLog) -> Given | None:
    """What the last build that was completed was given; None where there was none."""
    fact = log.get(_KEY)
    if fact is None:
        return None
    sources = Sources(*(Path(text) if text else None for text in (fact["videos"], fact["annotations"])))
    return Given(fact["config"], sources, fact["allow_missing"])


def in_force(
    log: BuildLog, config: DatasetConfig, sources: Sources | None, allow_missing: float | None
) -> Given:
    """What holds for a build: what is not said now stays as it was said for the last one."""
    before = given(log)
    if before is not None:
        sources = before.sources if sources is None else sources
        allow_missing = before.allow_missing if allow_missing is None else allow_missing
    return Given(config.model_dump(mode="json"), sources or Sources(), allow_missing)


def keep(log: BuildLog, now: Given) -> None:
    """Note what a build that is complete was given.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    if now != given(log):
        places = {"videos": _text(now.sources.videos), "annotations": _text(now.sources.annotations)}
        log.put(_KEY, {"config": now.config, **places, "allow_missing": now.allow_missing})


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None
