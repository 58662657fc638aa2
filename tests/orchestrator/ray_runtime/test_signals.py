"""Stop signals in a process of their own: asked once, asked twice, and outside the block that can wait."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from orchestrator.ray_runtime.dispatch import StopSignals
from tests.support.paths import ROOT

PROGRAM = """
import signal, sys, time
from orchestrator.ray_runtime.dispatch import StopSignals
mode = sys.argv[1]
if mode == "ignored":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with StopSignals() as signals:
    if mode == "stolen":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        signals.take_over()
    try:
        if mode == "early":
            print("ready", flush=True)
            time.sleep(20)
        with signals.deferred():
            print("ready", flush=True)
            signals.asked.wait(20 if mode != "ignored" else 0.5)
            print("asked" if signals.asked.is_set() else "left alone", flush=True)
            if mode == "twice":
                time.sleep(20)
    except KeyboardInterrupt:
        print("at once", flush=True)
"""


def told(mode: str, *signals: signal.Signals) -> list[str]:
    """What the program says after each signal, sent when it has said the line before."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    lines = [child.stdout.readline().strip()]
    for one in signals:
        child.send_signal(one)
        lines.append(child.stdout.readline().strip())
    rest, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    return [*lines, *rest.split()]


@pytest.mark.parametrize("one", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_the_first_signal_asks_and_the_second_ends(one: signal.Signals) -> None:
    assert told("once", one) == ["ready", "asked"]
    assert told("twice", one, signal.SIGINT) == ["ready", "asked", "at once"]


def test_before_work_that_can_wait_a_signal_ends_at_once() -> None:
    assert told("early", signal.SIGTERM) == ["ready", "at once"]


def test_a_handler_that_a_library_took_is_taken_back() -> None:
    assert told("stolen", signal.SIGTERM) == ["ready", "asked"]


def test_under_nohup_a_hangup_stays_ignored() -> None:
    assert told("ignored", signal.SIGHUP) == ["ready", "left alone"]


def test_a_thread_that_gets_no_signals_may_use_it_too() -> None:
    before = signal.getsignal(signal.SIGINT)
    problems: list[BaseException] = []

    def use() -> None:
        try:
            with StopSignals() as signals, signals.deferred():
                signals.take_over()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert problems == []
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
