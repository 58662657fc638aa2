"""Whether a dataset's stored frames are as they were built: known damage, sizes, or a read of every shard."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.storage.atomic import StoreWriteError, sha256_of
from catalog.storage.layout import SHARDS, unescaped
from catalog.storage.outage import retry_reading
from trainables.data.frames.manifest import Manifest
from trainables.data.frames.shard import Shard
from trainables.data.ingest.build_log import BuildLog, file_stamp

_NAME = "damage.jsonl"


class Damage:
    """What checks found of the shards of the dataset in `directory`; a build mends what is noted here."""

    def __init__(self, directory: Path) -> None:
        self._shards = directory / SHARDS
        self._log = BuildLog(directory / _NAME)

    def stands(self, shard: Shard) -> bool:
        """Whether the shard has its size and is not known to be damaged; reads nothing of it."""
        return file_stamp(self._shards / shard.name)[0] == shard.bytes and not self.is_noted(shard.name)

    def was_verified(self, shard: Shard) -> bool:
        """Whether the shard was compared with its checksum and has had its size and time since."""
        return (self._log.get(shard.name) or {}) == self._fact(shard.name, damaged=False)

    def note(self, shard: str, damaged: bool) -> None:
        """Note whether the shard is damaged, as it is now.

        Raises:
            StoreWriteError: the storage is full or broken.
        """
        fact = self._fact(shard, damaged=damaged)
        if self._log.get(shard) != fact:
            self._log.put(shard, fact)

    def is_noted(self, shard: str) -> bool:
        """Whether the shard is known to be damaged."""
        return bool((self._log.get(shard) or {}).get("damaged"))

    def _fact(self, shard: str, *, damaged: bool) -> dict[str, Any]:
        return {"damaged": damaged, "stamp": list(file_stamp(self._shards / shard))}


def first_problem(manifest: Manifest, directory: Path) -> Checked | None:
    """Compare the shards with their checksums that are new or were written since; the first that is damaged.

    A JPEG with a changed byte may well be decoded, to another picture.
    """
    damage = Damage(directory)
    for shard in manifest.shards:
        if not damage.was_verified(shard):
            checked = _checked(directory / SHARDS / shard.name, shard.sha256)
            with suppress(StoreWriteError):  # a storage that takes nothing is read again the next time
                damage.note(shard.name, damaged=checked.problem is not None)
            if checked.problem is not None:
                return checked
    return None


@dataclass(frozen=True)
class Checked:
    """One file of a dataset, read again: a shard, or an original where there is no store.

    `problem` says what is wrong with it, None where nothing is.
    """

    path: Path
    bytes: int
    problem: str | None


def shards_stand(manifest: Manifest, directory: Path) -> bool:
    """Whether every shard has its size and none was found damaged; reads no shard."""
    damage = Damage(directory)
    return all(damage.stands(shard) for shard in manifest.shards)


def verify(manifest: Manifest, directory: Path, threads: int) -> Iterator[Checked]:
    """Read every shard, or every original of a `direct` dataset, and compare it with its checksum.

    What is wrong with a shard is noted, so that the next build makes it again; no file is changed.

    Raises:
        StoreWriteError: the storage takes no note.
    """
    files = [(directory / SHARDS / shard.name, shard.sha256) for shard in manifest.shards]
    if manifest.frame_format.mode == "direct":
        files = [(Path(unescaped(video.path)), video.sha256) for video in manifest.videos]
    damage = Damage(directory)
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        for checked in pool.map(lambda file: _checked(*file), files):
            if manifest.frame_format.mode == "store":
                # Damage that nobody notes would not be mended; that all is well can be found out again.
                with suppress(*(() if checked.problem else (StoreWriteError,))):
                    damage.note(checked.path.name, checked.problem is not None)
            yield checked


def _checked(path: Path, expected: str) -> Checked:
    try:
        found, size = retry_reading(lambda: sha256_of(path), path), path.stat().st_size
    except FileNotFoundError:
        return Checked(path, 0, "missing")
    except OSError as error:
        return Checked(path, 0, f"unreadable: {error.strerror or error}")
    return Checked(
        path, size, None if found == expected else "damaged: its content does not match its checksum"
    )
