"""A driver that waits for its storage keeps nobody else waiting: who looks at it, and who ends it."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.events import AttemptEnded, AttemptStarted, CellFinished, EpochFinished, Event
from tests.support.driver_bench import TOTAL, Bench

FULL = OSError(errno.ENOSPC, "No space left on device")


class FullBench(Bench):
    """Its journal takes no events of some kinds."""

    refused: tuple[type[Event], ...] = ()
    waits = threading.Event()

    def append(self, event: Event) -> Event:
        if isinstance(event, self.refused):
            self.waits.set()
            raise FULL
        return super().append(event)

    def begin(self, action: Callable[[], object]) -> threading.Thread:
        """Start an action in another thread, and come back when it waits for the journal."""
        self.waits.clear()

        def act() -> None:
            with suppress(OSError):
                action()

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        assert self.waits.wait(10)
        time.sleep(0.1)
        return thread


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FullBench]:
    bench = FullBench(tmp_path)
    yield bench
    bench.stop.set()


def within_a_second(action: Callable[[], object]) -> None:
    """See that an action ends soon, however it ends."""
    done = threading.Event()

    def act() -> None:
        with suppress(OSError):
            action()
        done.set()

    threading.Thread(target=act, daemon=True).start()
    assert done.wait(1.0), "it waits for the thread that waits for the storage"


def look(bench: Bench) -> None:
    """What the terminal and Ray's adapter ask."""
    driver = bench.driver
    assert len(driver.running) == 1
    assert not driver.is_finished and driver.has_work and not driver.leave_now
    assert (driver.failures, driver.to_kill) == ((), frozenset())


@pytest.mark.parametrize("refused", [EpochFinished, AttemptEnded, CellFinished])
def test_while_a_cells_end_waits_others_look(bench: FullBench, refused: type[Event]) -> None:
    request = bench.next()
    bench.refused = (refused,)
    ending = bench.begin(lambda: bench.finish(request))
    within_a_second(lambda: look(bench))
    bench.refused = ()
    bench.clock += 10
    ending.join(10)
    assert not ending.is_alive()
    assert [event.state for event in bench.of(AttemptEnded)] == ["done"]
    assert len(bench.of(CellFinished)) == 1 and len(bench.of(EpochFinished)) == 2


def test_while_a_cells_end_waits_another_thread_ends_the_driver(bench: FullBench) -> None:
    """As Ray's watch does when Ray has died."""
    request = bench.next()
    bench.refused = (CellFinished,)
    bench.begin(lambda: bench.finish(request))
    within_a_second(bench.driver.interrupted)
    assert [event.state for event in bench.of(AttemptEnded)][-1] == "interrupted"
    assert bench.shared.holder(request.key) is None and not bench.shared.owns(request.key)


def test_while_a_start_waits_another_thread_ends_the_driver(bench: FullBench) -> None:
    bench.refused = (AttemptStarted,)
    starting = bench.begin(lambda: bench.driver.next_trial(TOTAL))
    within_a_second(bench.driver.interrupted)
    assert bench.driver.running == ()
    bench.stop.set()
    starting.join(10)
    assert not starting.is_alive() and bench.driver.running == ()


def test_who_is_asked_to_stop_leaves_though_the_storage_takes_nothing(bench: FullBench) -> None:
    request = bench.next()
    bench.refused = (Event,)
    ending = bench.begin(lambda: bench.finish(request))
    bench.stop.set()
    within_a_second(lambda: bench.driver.leave_now)
    within_a_second(bench.driver.interrupted)
    ending.join(5)
    assert not ending.is_alive()
    assert bench.of(AttemptEnded) == []
