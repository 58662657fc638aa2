"""Submissions of one study, again and again, while something kills their processes at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.support.marked import Mark
from tests.support.studies import command

# What may die, by words of its command line. The Train controller runs in the trial's process.
VICTIMS = {
    "driver": ("orchestrator.cli run",),
    "worker": ("ray::RayTrainWorker",),
    "train controller": ("ray::ImplicitFunc", "ray::run_cell", "ray::bundle_reservation"),
    "raylet": ("raylet/raylet",),
}
FATAL = ("driver", "raylet")  # where one machine is all there is, they end the submission
LONGEST_WAIT_SECONDS = 6.0
END_SECONDS = 300


class Storm:
    """Up to `kills` kills over submissions of `study` into `storage`, decided by `chance`."""

    def __init__(self, study: Path, storage: Path, kills: int, chance: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self.submissions = 0
        self._left = kills
        self._chance = chance
        self._command = command("run", study, "--storage", storage, "--cpus", "2")
        self._mark = Mark.new()

    def rage(self) -> None:
        """Submit until the study is complete or all kills are done, then once more in peace.

        Raises:
            AssertionError: a submission failed by itself or does not end, or a process is left behind.
        """
        try:
            while self._left and not self._submission_survives():
                self._mark.wait_until_gone()
            self._submit().wait(END_SECONDS)
            self._mark.wait_until_gone()
        finally:
            self._mark.kill_all()

    def _submit(self) -> subprocess.Popen[bytes]:
        self.submissions += 1
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL, env=self._mark.environment)

    def _submission_survives(self) -> bool:
        """One submission, with kills; whether it completed the study."""
        driver = self._submit()
        while self._left and driver.poll() is None:
            kind = self._next_kind()
            if self._struck(kind, driver) and kind in FATAL:
                driver.wait(END_SECONDS)
                return False
        code = driver.wait(END_SECONDS)
        assert code == 0, f"nothing fatal was killed, yet the submission ended with {code}; {self.kills}"
        return True

    def _next_kind(self) -> str:
        """Kinds in a random order, each as often as the others."""
        least = min(self.kills[kind] for kind in VICTIMS)
        return self._chance.choice([kind for kind in VICTIMS if self.kills[kind] == least])

    def _struck(self, kind: str, driver: subprocess.Popen[bytes]) -> bool:
        """Kill one process of this kind, a random while after there is one; False where the driver ended."""
        while driver.poll() is None:
            if self._mark.processes(*VICTIMS[kind]):
                moment = time.monotonic() + self._chance.uniform(0.0, LONGEST_WAIT_SECONDS)
                while time.monotonic() < moment and driver.poll() is None:
                    time.sleep(0.01)
                if self._strike(kind):
                    return True
            time.sleep(0.05)
        return False

    def _strike(self, kind: str) -> bool:
        candidates = self._mark.processes(*VICTIMS[kind])
        if not candidates:
            return False
        try:
            self._chance.choice(candidates).send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        self.kills[kind] += 1
        self._left -= 1
        return True
