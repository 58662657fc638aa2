"""Submissions of one study, again and again, while something happens to them at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.support.marked import Mark
from tests.support.studies import command

# What may be killed, by words of its command line. The Train controller runs in the trial's process.
VICTIMS = {
    "driver": ("orchestrator.cli run",),
    "worker": ("ray::RayTrainWorker",),
    "train controller": ("ray::ImplicitFunc", "ray::run_cell", "ray::bundle_reservation"),
    "raylet": ("raylet/raylet",),
    "driver at start": ("orchestrator.cli run",),
    "raylet at start": ("raylet/raylet",),
    "gcs at start": ("gcs_server",),
}
AT_START = ("driver at start", "raylet at start", "gcs at start")
FATAL = ("driver", "raylet", *AT_START)  # where one machine is all there is, they end the submission
# What is stopped for longer than a lease lasts, and goes on then; "everything" as when a machine sleeps.
STOPS = {
    "driver stopped": ("orchestrator.cli run",),
    "worker stopped": ("ray::RayTrainWorker",),
    "everything stopped": (),
}
CLOCKS = {"clock a day ahead": 86_400, "clock a day back": -86_400}

LONGEST_WAIT_SECONDS = 6.0
LONGEST_START_SECONDS = 1.5  # from a process of Ray's to the first trial
STOP_SECONDS = 60.0
END_SECONDS = 300
_CLOCK_FOLDER = Path(__file__).parent / "shifted_clock"


class Storm:
    """The events `kinds` over submissions of `study` into `storage`, at moments decided by `chance`.

    What has happened is taken out of `kinds` and counted in `events`.
    """

    def __init__(self, study: Path, storage: Path, kinds: list[str], chance: random.Random) -> None:
        self.events: Counter[str] = Counter()
        self.submissions = 0
        self._kinds = kinds
        self._chance = chance
        self._command = command("run", study, "--storage", storage, "--cpus", "2")
        self._mark = Mark.new()
        self._shift = 0
        self._clock = study.with_name(f"{storage.name}-clock")
        self._outputs: dict[int, Path] = {}

    def rage(self) -> None:
        """Submit until the study is complete or everything has happened, then once more in peace.

        Raises:
            AssertionError: a submission failed by itself or does not end, or a process is left behind.
        """
        try:
            while self._kinds and not self._submission_survives():
                self._mark.wait_until_gone()
            self._ends_well(self._submit())
            self._mark.wait_until_gone()
        finally:
            self._mark.kill_all()

    def _submit(self) -> subprocess.Popen[bytes]:
        self.submissions += 1
        paths = os.pathsep.join(filter(None, [str(_CLOCK_FOLDER), os.environ.get("PYTHONPATH", "")]))
        environment = self._mark.environment | {
            "PYTHONPATH": paths,
            "ACTIONGRID_TEST_CLOCK": str(self._clock),
        }
        path = self._clock.with_name(f"{self._clock.name}-output-{self.submissions}.txt")
        with path.open("w") as output:
            driver = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        self._outputs[driver.pid] = path
        return driver

    def _said(self, driver: subprocess.Popen[bytes]) -> str:
        return self._outputs[driver.pid].read_text()

    def _ends_well(self, driver: subprocess.Popen[bytes]) -> None:
        code = driver.wait(END_SECONDS)
        said = self._said(driver)[-3000:]
        assert code == 0, f"nothing fatal happened, yet a submission ended with {code}; {self.events}\n{said}"

    def _submission_survives(self) -> bool:
        """One submission, with events; whether it completed the study."""
        driver = self._submit()
        at_start = [kind for kind in self._kinds if kind in AT_START]
        if at_start and self._killed_at_start(self._chance.choice(at_start), driver):
            return driver.wait(END_SECONDS) == 0  # Ray is started again where it does not come up
        while driver.poll() is None and (kind := self._next_kind()):
            if self._happens(kind, driver) and kind in FATAL:
                driver.wait(END_SECONDS)
                return False
        if driver.wait(END_SECONDS) == 130 and self.events["everything stopped"]:
            return False  # Ray took its own machine for dead
        self._ends_well(driver)
        return True

    def _next_kind(self) -> str | None:
        left = [kind for kind in self._kinds if kind not in AT_START]
        return self._chance.choice(left) if left else None

    def _happens(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Let something happen a random while after it can; False where the driver ended before."""
        words = VICTIMS.get(kind, ("ray::RayTrainWorker",))
        while driver.poll() is None:
            if self._mark.processes(*words):
                self._sleep(self._chance.uniform(0.0, LONGEST_WAIT_SECONDS), driver)
                if self._struck(kind, driver):
                    self._note(kind)
                    return True
            time.sleep(0.05)
        return False

    def _struck(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        if kind in CLOCKS:
            self._shift += CLOCKS[kind]
            self._clock.write_text(str(self._shift))
            return True
        if kind in STOPS:
            return self._stopped(kind, driver)
        return self._killed(self._mark.processes(*VICTIMS[kind]))

    def _killed(self, candidates: list[psutil.Process]) -> bool:
        """Kill one of them, none that another has forked just now and that is still called like it."""
        numbers = {one.pid for one in candidates}
        try:
            first = [one for one in candidates if one.ppid() not in numbers]
            if not first:
                return False
            self._chance.choice(first).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        return True

    def _killed_at_start(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Kill while the driver or its Ray starts; whoever is not killed itself says what happened."""
        while not (victims := self._mark.processes(*VICTIMS[kind])):
            if driver.poll() is not None:
                return False
            time.sleep(0.01)
        longest = LONGEST_WAIT_SECONDS if kind == "driver at start" else LONGEST_START_SECONDS
        self._sleep(self._chance.uniform(0.0, longest), driver)
        if driver.poll() is not None or not self._killed(victims):
            return False
        self._note(kind)
        code = driver.wait(END_SECONDS)
        said = self._said(driver)
        assert "Traceback" not in said, said
        if kind != "driver at start" and code != 0:
            assert "error: " in said or "interrupted" in said, f"ended without a word; {kind}\n{said}"
        return True

    def _stopped(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Stop processes for longer than a lease lasts; another driver takes over what seems nobody's."""
        victims = self._mark.processes(*STOPS[kind])
        if not victims:
            return False
        self._signal(victims, signal.SIGSTOP)
        rival = self._submit() if kind != "worker stopped" else None
        time.sleep(STOP_SECONDS)
        self._signal(victims, signal.SIGCONT)
        if rival is not None:
            self._ends_well(rival)
        return True

    def _signal(self, processes: list[psutil.Process], number: int) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def _sleep(self, seconds: float, driver: subprocess.Popen[bytes]) -> None:
        moment = time.monotonic() + seconds
        while time.monotonic() < moment and driver.poll() is None:
            time.sleep(0.01)

    def _note(self, kind: str) -> None:
        self.events[kind] += 1
        self._kinds.remove(kind)
