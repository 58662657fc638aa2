"""A driver whose Ray died must not wait for it for ever; tests/chaos does it to a real one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from catalog.storage.answers import NoAnswerError
from orchestrator.coordination.drivers import process_start
from orchestrator.ray_runtime import dispatch
from orchestrator.ray_runtime.dispatch import LOOKS, watched

TICK = 0.01


def was_lost(*answers: bool) -> bool:
    lost, seen = threading.Event(), iter(answers)
    with watched(lost.set, lambda: next(seen, True), TICK):
        lost.wait(TICK * (len(answers) + 20))
    return lost.is_set()


def test_a_node_that_stays_dead_is_told_once() -> None:
    calls: list[int] = []
    lost = threading.Event()

    def note() -> None:
        calls.append(1)
        lost.set()

    with watched(note, lambda: False, TICK):
        assert lost.wait(10)
        threading.Event().wait(TICK * 10)
    assert calls == [1]


def test_one_late_answer_is_no_death() -> None:
    assert not was_lost(True, False, True, False, True)
    assert was_lost(True, *[False] * LOOKS)


def test_no_answer_is_neither_life_nor_death() -> None:
    lost, asked = threading.Event(), threading.Event()

    def alive() -> bool:
        asked.set()
        raise ConnectionError("no answer")

    with watched(lost.set, alive, TICK):
        assert asked.wait(10)
        assert not lost.wait(TICK * 10)


def test_a_silent_head_is_told_at_once_and_waited_for_no_longer_than_ray_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "SILENT_SECONDS", TICK * 20)
    lost, said = threading.Event(), list[str]()
    answers = iter([*[False] * 3, True])

    def alive() -> bool:
        if not next(answers, False):
            raise NoAnswerError("no answer within 10 s", "head:6379")
        return True

    with watched(lost.set, alive, TICK, said.append):
        assert lost.wait(30)
    assert [line.partition(";")[0] for line in said] == [
        "error: no answer within 10 s",
        "Ray answers again",
        "error: no answer within 10 s",
    ]
    assert "head:6379" in said[0]


_SILENT = """
import socket, sys, time
from orchestrator.ray_runtime.session import ended_if_silent
with socket.create_server(("127.0.0.1", 0)) as head:
    address = f"127.0.0.1:{head.getsockname()[1]}"
    with ended_if_silent(address, lambda line: print(line, flush=True)):
        time.sleep(600)
"""


def test_a_head_that_freezes_while_ray_connects_ends_the_process_with_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SILENT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"ACTIONGRID_ANSWER_SECONDS": "0.3"},
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("error: no answer within 0.3 s; 127.0.0.1:")


def test_the_process_ends_with_its_children_though_its_main_thread_hangs() -> None:
    code = """
import subprocess, sys, threading, time
from orchestrator.ray_runtime.dispatch import end_process, watched
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
with watched(lambda: end_process(lambda: print("told", flush=True)), lambda: False, 0.05):
    time.sleep(600)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    pid, *said = done.stdout.split()
    assert (done.returncode, said) == (130, ["told"]), done.stderr
    deadline = time.monotonic() + 30
    while process_start(int(pid)) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
