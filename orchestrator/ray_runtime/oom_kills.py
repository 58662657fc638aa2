"""How many processes the kernel has killed for want of memory: a worker that it killed cannot say why."""

from __future__ import annotations

from pathlib import Path

from orchestrator.scheduling.retry import FailureKind, classify

_COUNTERS = Path("/proc/vmstat")


def oom_kills(counters: Path = _COUNTERS) -> int | None:
    """The kernel's count on this machine since it started, or None where it keeps none."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if words[0] == "oom_kill"), None)


def killed_meanwhile(error: str, before: int | None, now: int | None) -> str:
    """What to add to the error of a run one of whose processes died without a word, or ""."""
    if before is None or now is None or now <= before or classify(error) is not FailureKind.PROCESS_DIED:
        return ""
    return f" (meanwhile the kernel killed {now - before} processes of this machine: out of memory)"
