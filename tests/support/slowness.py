"""How slow a busy machine is: limits in seconds hold on an idle one, and are multiplied by this elsewhere."""

from __future__ import annotations

import time

_CPU_SECONDS = 0.05


def slowness() -> float:
    """Seconds that pass for one second of this thread's own work, at least 1: about 1 on an idle machine."""
    began, worked = time.monotonic(), time.thread_time()
    while time.thread_time() - worked < _CPU_SECONDS:
        pass
    return max(1.0, (time.monotonic() - began) / _CPU_SECONDS)


def news_seconds() -> float:
    """Within how many seconds of its writing a page shows what is new: 3 on an idle machine."""
    return 3.0 * slowness()
