"""`python -m tests.mutants`: how many small faults in core code do the tests notice?

A sample that a seed fixes is taken of all faults of the rooms (`tests/mutants/rooms.py`); each is put into a
copy of the tree, and the tests that concern it run until one fails. What was tried stands in `.mutants/`, so
that a run goes on where it was stopped; what survived is tried again. `--keep` writes what is known of files
that are still the same to `results.jsonl` beside this, for the next one. Faults that change nothing that
anyone could see stand in `equivalent.yaml` with the reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.mutants.faults import Fault
from tests.mutants.processes import Child, Tree, forked, load_libraries, stop_all
from tests.mutants.rooms import ROOMS, Room, faults_of

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".mutants"
RESULTS = STATE / "results.jsonl"
KEPT = Path(__file__).with_name("results.jsonl")
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
SLOWEST_TEST_SECONDS = 8.0
"""Of work. Slower tests are left out: they cost more than they find."""
PATIENCE = 3.0
"""So many times as long as without a fault may the tests work."""


@dataclass(frozen=True)
class Trial:
    """A fault, its room, and the file with it."""

    room: str
    fault: Fault
    content: bytes

    @property
    def digest(self) -> str:
        """Of the file with the fault: a result counts while this is the same."""
        return hashlib.sha256(self.content).hexdigest()[:16]


def sample(rooms: list[str], share: float, seed: int) -> list[Trial]:
    """The faults to try: of each room the first in an order that the seed and their names fix."""
    taken = []
    for name in rooms:
        room, known = ROOMS[name], dict[str, Trial]()
        for file in room.files(ROOT):
            source, path = file.read_bytes(), file.relative_to(ROOT).as_posix()
            for fault in faults_of(path, source):
                known[fault.name] = Trial(name, fault, fault.applied(source))
        order = sorted(known, key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())
        taken += [known[one] for one in order[: round(room.faults * share)]]
    return taken


def equivalent() -> dict[str, str]:
    """Faults that change nothing, by name, with the reason."""
    return yaml.safe_load(EQUIVALENT.read_text()) or {}


class Tests:
    """What the tests of a room call, found by one run without a fault."""

    def __init__(self, room: Room, record: dict[str, dict[str, Any]], recorded: float = 0.0) -> None:
        """`recorded`: when that was, in seconds since 1970: files that are newer always run."""
        self._record, self._recorded = record, recorded
        self.files = sorted({str(f) for pattern in room.tests for f in _test_files(pattern)})
        self.without = frozenset(
            name
            for name, test in record.items()
            if not test["passed"] or test.get("seconds", 0.0) > SLOWEST_TEST_SECONDS
        )

    def concerning(self, fault: Fault) -> tuple[list[str], dict[str, float], float]:
        """Files to run, the tests to begin with and their seconds, and the seconds of all of them."""
        wanted = f"{fault.path} {fault.function}"
        calling = {
            name: test["seconds"]
            for name, test in self._record.items()
            if fault.function and wanted in test.get("functions", ())
        }
        files = {name.split("::")[0] for name in calling} or set(self.files)
        files |= {one for one in self.files if (ROOT / one).stat().st_mtime > self._recorded}
        if not calling:
            calling = self._that_name(names_of(Path(fault.path)))
        kept = [one for one in self.files if one in files]
        seconds = sum(t.get("seconds", 0.0) for n, t in self._record.items() if n.split("::")[0] in files)
        return sorted(kept, key=lambda one: self._about(one, fault)), calling, seconds

    def _that_name(self, words: set[str]) -> dict[str, float]:
        named = {one for one in self.files if _mentions(ROOT / one, words)}
        return {n: t.get("seconds", 0.0) for n, t in self._record.items() if n.split("::")[0] in named}

    def _about(self, file: str, fault: Fault) -> bool:
        return Path(fault.path).stem not in file


def names_of(path: Path) -> set[str]:
    """What tests call that a file decides: its name; of a view also the views and queries that read it."""
    names, known = {path.stem}, 0
    while path.suffix == ".sql" and len(names) > known:
        known = len(names)
        names |= {one.stem for one in (ROOT / "catalog/views").glob("*.sql") if _mentions(one, names)}
    queries = (ROOT / "catalog/queries").glob("*.py")
    return names | {f"queries.{one.stem}" for one in queries if known and _mentions(one, names)}


def _mentions(file: Path, words: set[str]) -> bool:
    return re.search(rf"\b({'|'.join(map(re.escape, sorted(words)))})\b", file.read_text()) is not None


def _test_files(pattern: str) -> list[Path]:
    found = [ROOT / pattern] if (ROOT / pattern).exists() else list(ROOT.glob(pattern))
    files = [file for one in found for file in (one.rglob("test_*.py") if one.is_dir() else [one])]
    return [file.relative_to(ROOT) for file in files]


def _pytest(arguments: list[str], plugin: object, scratch: Path) -> int:
    import pytest

    common = ["-q", "-m", "not slow and not long", "-p", "no:cacheprovider", f"--basetemp={scratch}/tmp"]
    return int(pytest.main([*common, *arguments], plugins=[plugin] if plugin else []))


def record_tests(name: str, tree: Tree) -> Tests:
    """Run a room's tests without a fault, unless an earlier run is known."""
    kept, room = STATE / f"tests-{name}.json", ROOMS[name]
    tests = Tests(room, {})
    if not kept.exists():
        modules = frozenset(file.relative_to(ROOT).as_posix() for file in room.files(ROOT))

        def work() -> int:
            from tests.mutants.plugin import Recorder

            return _pytest(tests.files, Recorder(tree.root, modules, kept), tree.root.parent)

        print(f"{name}: its tests run once without a fault", flush=True)
        _wait(forked(tree, STATE / f"tests-{name}.log", 3600.0, work, compiling=True))
    record = json.loads(kept.read_text())
    if not record:
        kept.unlink()
        raise SystemExit(f"{name}: no test ran; see {STATE}/tests-{name}.log")
    failed = [one for one, test in record.items() if not test["passed"]]
    print(f"{name}: {len(record)} tests" + (f", left out because they fail: {failed}" if failed else ""))
    return Tests(room, record, kept.stat().st_mtime)


def _wait(child: Child) -> None:
    while child.ended() is None:
        time.sleep(0.1)


def compile_tests(files: list[str], tree: Tree) -> None:
    """Import tests once in a tree, so that their bytecode lies there."""

    def work() -> int:
        return _pytest(["--collect-only", *files], None, tree.root.parent)

    _wait(forked(tree, tree.root.parent / "log", 3600.0, work, compiling=True))


def start(trial: Trial, tests: Tests, tree: Tree) -> Child:
    """Try a fault in a tree."""
    files, first, seconds = tests.concerning(trial.fault)
    tree.change(trial.fault.path, trial.content)
    killer = tree.root.parent / "killer"
    killer.unlink(missing_ok=True)

    def work() -> int:
        from tests.mutants.plugin import Order

        order = Order(first, tests.without)
        code = _pytest(["-x", "--timeout=120", *files], order, tree.root.parent)
        killer.write_text(order.failed)
        return code

    return forked(tree, tree.root.parent / "log", 20.0 + PATIENCE * seconds, work)


def result(trial: Trial, code: int, child: Child, seconds: float, tree: Tree) -> dict[str, Any]:
    """One line of the results; `outcome`: killed, survived or time over (counted as killed)."""
    killer = tree.root.parent / "killer"
    out_of_time = {-1: "time over", signal.SIGXCPU: "time over", signal.SIGKILL: "time over"}
    outcome = {0: "survived", 5: "survived", **out_of_time}.get(code, "killed")
    return {
        "name": trial.fault.name,
        "room": trial.room,
        "kind": trial.fault.kind,
        "digest": trial.digest,
        "outcome": outcome,
        "by": killer.read_text() if killer.exists() else f"exit code {code}",
        "seconds": round(seconds, 1),
        "cpu_seconds": round(child.cpu_seconds, 1),
    }


def try_all(trials: list[Trial], tests: dict[str, Tests], trees: list[Tree]) -> None:
    """Try faults, one in each tree at a time, and note each result."""
    waiting, free = list(reversed(trials)), list(trees)
    busy: list[tuple[Trial, Child, Tree, float]] = []
    done = 0
    while waiting or busy:
        while waiting and free:
            tree, trial = free.pop(), waiting.pop()
            busy.append((trial, start(trial, tests[trial.room], tree), tree, time.monotonic()))
        time.sleep(0.05)
        for entry in list(busy):
            trial, child, tree, began = entry
            code = child.ended()
            if code is None:
                continue
            line = result(trial, code, child, time.monotonic() - began, tree)
            with RESULTS.open("a") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            done += 1
            print(
                f"{done}/{len(trials)} {line['outcome']:9} {line['seconds']:6} s  {line['name']}", flush=True
            )
            busy.remove(entry)
            tree.restore()
            free.append(tree)


def known_results(trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """The last result of each fault whose file is still the same, by the fault's name."""
    digests = {trial.fault.name: trial.digest for trial in trials}
    texts = [text for file in (KEPT, RESULTS) if file.exists() for text in file.read_text().splitlines()]
    lines = map(json.loads, texts)
    return {line["name"]: line for line in lines if digests.get(line["name"]) == line["digest"]}


def keep(trials: list[Trial]) -> None:
    """Write what is known, in the order of the names, without times."""
    known = sorted(known_results(trials).values(), key=lambda line: str(line["name"]))
    lines = [{name: line[name] for name in ("name", "room", "digest", "outcome", "by")} for line in known]
    KEPT.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))


def report(trials: list[Trial]) -> int:
    """Print the score and the survivors; 0 where all have a reason."""
    known, reasons = known_results(trials), equivalent()
    counted = [known[t.fault.name] for t in trials if t.fault.name in known and t.fault.name not in reasons]
    survived = [line for line in counted if line["outcome"] == "survived"]
    print()
    for line in survived:
        print(f"survived: {line['name']}")
    for room in ROOMS:
        lines = [line for line in counted if line["room"] == room]
        killed = sum(line["outcome"] != "survived" for line in lines)
        if lines:
            print(f"{room:12} {killed:4} of {len(lines):4} killed")
    skipped = sum(trial.fault.name in reasons for trial in trials)
    killed, untried = len(counted) - len(survived), len(trials) - len(counted) - skipped
    share = 100.0 * killed / max(1, len(counted))
    print(f"{killed} of {len(counted)} killed ({share:.1f} %); {skipped} equivalent; {untried} not tried yet")
    return 1 if survived or untried else 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the rooms' numbers of faults")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="print what is known, try nothing")
    parser.add_argument(
        "--keep", action="store_true", help="write what is known to results.jsonl, try nothing"
    )
    parser.add_argument("--record", action="store_true", help="find anew which tests call which functions")
    parser.add_argument(
        "--only", default="", help="faults whose name holds this text; all of them, not a sample"
    )
    options = parser.parse_args()
    trials = sample(options.rooms, 1e9 if options.only else options.share, options.seed)
    trials = [trial for trial in trials if options.only in trial.fault.name]
    if options.keep:
        keep(trials)
    if options.report or options.keep:
        return report(trials)
    STATE.mkdir(exist_ok=True)
    if options.record:
        for name in options.rooms:
            (STATE / f"tests-{name}.json").unlink(missing_ok=True)
    known, reasons = known_results(trials), equivalent()
    done = {name for name, line in known.items() if line["outcome"] != "survived"}
    wanted = [t for t in trials if t.fault.name not in done and t.fault.name not in reasons]
    wanted.sort(key=lambda trial: trial.digest)  # rooms mixed: a run that is stopped has seen all of them
    load_libraries()
    scratch = Path(tempfile.mkdtemp(prefix="actiongrid-mutants-"))
    try:
        first = Tree.copied(ROOT, scratch / "0")
        tests = {name: record_tests(name, first) for name in dict.fromkeys(t.room for t in wanted)}
        compile_tests(sorted({file for room in tests.values() for file in room.files}), first)
        others = [Tree.copied(first.root, scratch / str(job)) for job in range(1, options.jobs)]
        try_all(wanted, tests, [first, *others])
    finally:
        stop_all()
        shutil.rmtree(scratch, ignore_errors=True)
    return report(trials)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
