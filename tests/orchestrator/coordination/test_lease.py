"""The contract of leases: one owner at a time, numbers that only grow, nothing lost to a kill -9."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderFiles
from catalog.storage.storage import LeaseError
from orchestrator.coordination.drivers import Presence, Watch, has_ended, process_start, this_driver
from orchestrator.coordination.lease import Lease, LeaseLostError, Leases, LeaseState
from tests.support.lease_racer import KEYS
from tests.support.paths import ROOT
from tests.support.slowness import slowness


@dataclass
class World:
    """Owners of leases in one folder; those in `dead` are judged dead by all others."""

    folder: Path
    dead: set[str] = field(default_factory=set)

    def owner(self, name: str) -> Leases:
        return Leases(FolderFiles(self.folder), name, self.dead.__contains__)


def claimed(leases: Leases, key: str = "k") -> Lease:
    lease = leases.claim(key)
    assert isinstance(lease, Lease)
    return lease


def test_a_lease_has_one_owner_until_it_is_released(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine, theirs = world.owner("mine"), world.owner("theirs")
    lease = claimed(mine)
    assert theirs.claim("k") == LeaseState(1, "mine")
    assert isinstance(theirs.claim("other"), Lease)
    mine.release(lease)
    mine.release(lease)
    assert theirs.read("k") == LeaseState(1, None)
    assert claimed(theirs).number == 2
    assert not mine.is_held(lease)


def test_a_dead_owners_lease_is_taken_over_once_and_fenced(tmp_path: Path) -> None:
    world = World(tmp_path)
    old, first, second = world.owner("old"), world.owner("first"), world.owner("second")
    lease = claimed(old)
    world.dead.add("old")
    assert claimed(first).number == 2
    assert second.claim("k") == LeaseState(2, "first")
    assert not old.is_held(lease)
    old.release(lease)
    assert second.claim("k") == LeaseState(2, "first"), "what a dead owner does late frees nothing"
    with pytest.raises(LeaseLostError, match="taken over by first"):
        old.advance(lease)


def test_a_claim_that_was_suspended_half_way_takes_nothing(tmp_path: Path) -> None:
    """The slow one has judged the owner dead, sleeps, and wakes when another has taken over long ago."""
    world = World(tmp_path)
    claimed(world.owner("old"))
    world.dead.add("old")
    fast = world.owner("fast")
    taken: list[Lease] = []

    def judge_and_sleep(name: str) -> bool:
        if name == "old":
            taken.append(claimed(fast))
        return name == "old"

    slow = Leases(FolderFiles(tmp_path), "slow", judge_and_sleep)
    assert slow.claim("k") == LeaseState(2, "fast")
    assert fast.is_held(taken[0])


def test_the_next_attempt_has_the_next_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = world.owner("mine")
    lease = claimed(mine)
    successor = mine.advance(lease)
    assert successor.number == 2
    assert mine.is_held(successor)
    assert not mine.is_held(lease)
    assert world.owner("theirs").claim("k") == LeaseState(2, "mine")


def test_reaping_frees_what_the_dead_hold_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path)
    lost, kept = claimed(world.owner("old"), "a"), claimed(world.owner("living"), "b")
    world.dead.add("old")
    mine = world.owner("mine")
    mine.reap()
    assert mine.read("a") == LeaseState(1, None)
    assert not world.owner("old").is_held(lost)
    assert world.owner("living").is_held(kept)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_driver_whose_heart_is_still_counts_as_dead_after_the_time_out(tmp_path: Path) -> None:
    clock = Clock()
    elsewhere = replace(this_driver("them", "toy", 0), machine="another machine")
    watch = Watch(FolderFiles(tmp_path), time_out_seconds=30, clock=clock)
    with Presence(FolderFiles(tmp_path), elsewhere, beat_seconds=3600):
        for _ in range(6):
            assert not watch.is_dead("them")
            clock.now += 5
        assert watch.is_dead("them")
        os.utime(tmp_path / "them.json")
        assert not watch.is_dead("them"), "it beats again"


def test_an_observer_that_slept_has_observed_nothing(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(FolderFiles(tmp_path), time_out_seconds=30, clock=clock)
    elsewhere = replace(this_driver("them", "toy", 0), machine="another machine")
    with Presence(FolderFiles(tmp_path), elsewhere, beat_seconds=3600):
        assert not watch.is_dead("them")
        clock.now += 3600
        assert not watch.is_dead("them")


def test_the_heart_beats_and_the_record_follows(tmp_path: Path) -> None:
    path = tmp_path / "me.json"
    watch = Watch(FolderFiles(tmp_path))
    with Presence(FolderFiles(tmp_path), this_driver("me", "toy", 3), beat_seconds=0.02) as presence:
        before = path.stat().st_mtime_ns
        presence.publish(running=(2.0, 1.0), ready=((1.0, 0.0),))
        time.sleep(0.1)
        assert path.stat().st_mtime_ns > before
        assert watch.drivers() == (presence.record,)
        assert presence.record.running == (2.0, 1.0)
    assert not path.exists()


def test_a_process_of_this_machine_is_dead_as_soon_as_it_ends(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(child.pid)
    record = replace(this_driver("child", "toy", 0), pid=child.pid, started=start or 0)
    assert not has_ended(record)
    assert has_ended(replace(record, started=record.started + 1)), "another process with the same number"
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(record), "a zombie is dead"
    child.communicate()
    assert has_ended(record)
    assert not has_ended(replace(record, machine="another machine"))


def test_many_processes_and_kill_9_never_make_two_owners(tmp_path: Path) -> None:
    """Four racers at a time on three leases; one is killed and replaced after every forty of their lines.

    By lines, not by time: on a busy machine racers that are killed as they start would write none.
    """
    draw = random.Random(4)
    names = (f"racer-{number}" for number in range(10_000))
    racers = {name: _start(tmp_path, name) for name in (next(names) for _ in range(4))}
    killed: set[str] = set()
    log = tmp_path / "log"
    while len(killed) < 30:
        wanted, began = len(_lines(log)) + 40, time.monotonic()
        while len(_lines(log)) < wanted:
            assert time.monotonic() - began < 20 or time.monotonic() - began < 60 * slowness()
            time.sleep(draw.random() * 0.1)
        victim = draw.choice(sorted(racers))
        assert racers[victim].poll() is None, "a racer ended by itself"
        racers.pop(victim).kill()
        killed.add(victim)
        racers[name] = _start(tmp_path, name := next(names))
    for name, racer in racers.items():
        racer.kill()
        racer.wait()
        killed.add(name)
    lines = _lines(log)
    assert problems(lines) == []
    watch = Watch(FolderFiles(tmp_path / "drivers"))
    owner = Leases(FolderFiles(tmp_path / "leases"), "last", watch.is_dead)
    highest = {key: max(int(line[2]) for line in lines if line[1] == key) for key in KEYS}
    for key in KEYS:
        assert claimed(owner, key).number > highest[key], "no lease is lost with its owner"


def _start(root: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.support.lease_racer", root, name], cwd=ROOT)


def _lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def problems(lines: list[list[str]]) -> list[str]:
    """What contradicts one owner at a time: numbers that do not grow, or words from one who was succeeded."""
    found, inside = [], dict.fromkeys(KEYS, (0, ""))
    last_word = {name: at for at, (_, _, _, name) in enumerate(lines)}
    for at, (word, key, number, name) in enumerate(lines):
        last, owner = inside[key]
        if word == "exit":
            if name != owner or int(number) - last not in (0, 1):
                found.append(f"{name} left {key} with {number}, but {owner} was inside with {last}")
            inside[key] = (int(number), "")
            continue
        if int(number) <= last:
            found.append(f"{name} entered {key} with {number} after {last}")
        if owner and last_word[owner] > at:
            found.append(f"{name} entered {key} while {owner} was inside")
        inside[key] = (int(number), name)
    return found


def test_the_check_of_the_race_finds_two_owners() -> None:
    def line(text: str) -> list[str]:
        return text.split()

    fine = [line("enter a 1 x"), line("exit a 1 x"), line("enter a 2 y"), line("enter a 3 x")]
    assert problems(fine) == []
    assert problems([*fine, line("exit a 2 y")]) != []
    assert problems([*fine, line("enter b 1 y")]) == ["x entered a while y was inside"]
    assert problems([*fine, line("enter a 3 y")]) != []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links_a_lease_still_has_one_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with_links = World(tmp_path).owner("with links")
    assert isinstance(with_links.claim("other"), Lease)
    asked = []

    def no_links(*paths: object) -> None:
        asked.append(paths)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_links)
    world = World(tmp_path)
    mine, theirs = world.owner("mine"), world.owner("theirs")
    lease = claimed(mine)
    assert theirs.claim("k") == LeaseState(1, "mine")
    assert not FolderFiles(tmp_path).create("k/1.json", b"of another call")
    assert mine.advance(lease).number == 2
    # Whoever chose otherwise is excluded all the same.
    assert mine.claim("other") == LeaseState(1, "with links")
    assert len(asked) == 2, "a probe for each owner, not one for every lease"
    assert not list(tmp_path.rglob(".*"))


def test_where_no_file_can_be_made_exclusively_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr("catalog.storage.folder_storage._write_new", refused)
    with pytest.raises(LeaseError, match="no file exclusively") as raised:
        World(tmp_path).owner("mine").claim("k")
    assert "\n" not in str(raised.value)


def test_one_whose_answer_was_lost_knows_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.storage.folder_storage._has_links", lambda _: False)
    files = FolderFiles(tmp_path)
    assert files.create("k/1.json", b"of this call")
    assert files.create("k/1.json", b"of this call")
    assert not files.create("k/1.json", b"of another")
