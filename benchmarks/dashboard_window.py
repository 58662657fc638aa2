"""Dashboards in processes of their own, and what an open browser window asks them, without a browser.

Ten browsers would measure the machine; ten windows that only ask measure the dashboards.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]


class Window:
    """One open browser window, as far as the server can tell: it asks for news, and for what they change."""

    def __init__(self, url: str, address: str) -> None:
        self.url = url
        path, _, search = address.partition("?")
        self._place = {"address.pathname": path, "address.search": f"?{search}" if search else ""}
        self._values: dict[str, Any] = {**self._place, "theme.data": "light", "again.data": 0}
        self._outputs = {self._kind(one["output"]): one["output"] for one in self._get("/_dash-dependencies")}
        self._looks = 0
        self.refreshes = 0
        self.revision = 0  # before any that a dashboard has
        self._open()

    def refresh(self) -> bool:
        """Ask as the page's clock does; return whether anything was new."""
        self._looks += 1
        clock = [self._value("clock.n_intervals", self._looks)]
        shown = [self._value("revision.data", self.revision), self._value("trouble.children", "")]
        answer = self._ask(
            "look", [self._output("revision.data"), self._output("trouble.children")], clock, shown
        )
        found = answer.get("revision", {}).get("data", self.revision)
        if found == self.revision:
            return False
        self.revision = found
        self._ask_for_news()
        self.refreshes += 1
        return True

    def _open(self) -> None:
        inputs = [
            self._value(name) for name in ("address.pathname", "address.search", "theme.data", "again.data")
        ]
        outputs = [self._output(one) for one in ("page.children", "navigation.children", "digests.data")]
        self._values["digests.data"] = self._ask("page", outputs, inputs, [])["digests"]["data"]

    def _ask_for_news(self) -> None:
        names = [name.split(":", 1) for name in self._values["digests.data"]]

        def slots(kind: str, part: str) -> list[dict[str, Any]]:
            return [
                {"id": {"kind": kind, "name": name}, "property": part} for one, name in names if one == kind
            ]

        again = re.search(r"digests\.data@\w+", self._outputs["news"])
        outputs = [
            slots("html", "children"),
            slots("drawn", "data"),
            slots("folded", "data"),
            {"id": "digests", "property": again.group().partition(".")[2] if again else "data"},
            self._output("again.data"),
        ]
        state = ("address.pathname", "address.search", "theme.data", "digests.data", "again.data")
        revision = [self._value("revision.data", self.revision)]
        answer = self._ask("news", outputs, revision, [self._value(name) for name in state])
        digests = answer.get("digests", {})
        self._values["digests.data"] = next(iter(digests.values()), self._values["digests.data"])
        if answer.get("again"):
            self._open()

    def _ask(self, what: str, outputs: list[Any], inputs: list[Any], state: list[Any]) -> dict[str, Any]:
        asked = {"output": self._outputs[what], "outputs": outputs, "inputs": inputs, "state": state}
        changed = [f"{one['id']}.{one['property']}" for one in inputs[:1]]
        body = json.dumps({**asked, "changedPropIds": changed}).encode()
        sent = Request(
            f"{self.url}/_dash-update-component", body, {"Content-Type": "application/json"}, method="POST"
        )
        with urlopen(sent, timeout=60) as answer:
            said = answer.read()
        found: dict[str, Any] = json.loads(said)["response"] if said else {}
        return found

    def _get(self, path: str) -> list[dict[str, Any]]:
        with urlopen(self.url + path, timeout=60) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def _value(self, name: str, value: object = None) -> dict[str, Any]:
        known, part = name.split(".")
        return {"id": known, "property": part, "value": self._values.get(name, value)}

    def _output(self, name: str) -> dict[str, Any]:
        known, part = name.split(".")
        return {"id": known, "property": part}

    def _kind(self, output: str) -> str:
        kinds = {"revision.data": "look", "page.children": "page", '"drawn"': "news"}
        return next((kind for words, kind in kinds.items() if words in output), output)


class Dashboard:
    """A real `actiongrid dashboard` on a free port."""

    def __init__(self, storage: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "orchestrator.cli",
            "dashboard",
            "--port",
            "0",
            "--storage",
            str(storage),
        ]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def url(self) -> str:
        """Wait until it listens."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if "http://" not in said:
            raise SystemExit(f"a dashboard did not start: {said!r}")
        return said.split()[-1].rstrip("/")

    def cpu_seconds(self) -> float:
        """The CPU time that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def watched(windows: list[Window], interval: float = 1.0) -> Iterator[None]:
    """Every window asks for news each interval, at moments of its own."""
    ended = threading.Event()

    def keep_asking(window: Window) -> None:
        ended.wait(random.uniform(0, interval))
        while not ended.is_set():
            begun = time.monotonic()
            try:
                window.refresh()
            except (OSError, HTTPException):
                return  # its dashboard was killed
            ended.wait(max(0.0, interval - (time.monotonic() - begun)))

    threads = [threading.Thread(target=keep_asking, args=(window,)) for window in windows]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
