"""Which attempt may write into a run directory: the number in its file `fence`, which only grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.storage.atomic import replaced_atomically
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.mirror import mirror_around

if TYPE_CHECKING:
    from pathlib import Path

FENCE_FILE = "fence"


class FencedError(ActionGridError):
    """A later attempt trains this cell; this one has to stop and write no more."""

    failure_kind = FailureKind.PREEMPTED


def read_fence(run_dir: Path) -> int:
    """The number of the attempt that may write; 0 where none was ever started."""
    path = run_dir / FENCE_FILE
    return max(_number(path.read_bytes() if path.is_file() else None), _number(_read_shared(path)))


def _number(content: bytes | None) -> int:
    try:
        return int(content or b"0")
    except ValueError:
        return 0


def _read_shared(path: Path) -> bytes | None:
    """What the bucket says, or None: there is none, or the storage is a directory."""
    mirror = mirror_around(path.parent)
    return None if mirror is None else mirror.bucket.read(mirror.name(path))


def raise_fence(run_dir: Path, attempt: int) -> None:
    """Let `attempt` write, and none before it.

    Raises:
        FencedError: A later attempt was let in already.
    """
    require_fence(run_dir, attempt)
    mirror = mirror_around(run_dir)
    if mirror is not None:
        mirror.bucket.put(mirror.name(run_dir / FENCE_FILE), str(attempt).encode())
    with replaced_atomically(run_dir / FENCE_FILE) as temporary:
        temporary.write_text(str(attempt))


def require_fence(run_dir: Path, attempt: int | None) -> None:
    """Return if `attempt` may write; None always may.

    Raises:
        FencedError: A later attempt was let in.
    """
    if attempt is None:
        return
    allowed = read_fence(run_dir)
    if allowed > attempt:
        raise FencedError(
            f"attempt {allowed} of another driver trains this cell now, attempt {attempt} stops",
            run_dir,
            "nothing has to be done",
        )
