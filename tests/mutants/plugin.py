"""What pytest does besides: record which functions each test calls, begin with the tests of a fault's."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings


def same_examples() -> None:
    """Generated cases are the same in each run, and none is remembered."""
    settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
    settings.load_profile("mutants")


class Recorder:
    """Writes `{test: {"seconds": …, "passed": …, "functions": ["file function", …]}}`."""

    def __init__(self, root: Path, modules: frozenset[str], written_to: Path) -> None:
        self._prefix, self._modules, self._written_to = f"{root}/", modules, written_to
        self._called: set[str] = set()
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_sessionstart(self) -> None:
        same_examples()

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self._prefix):
            path = code.co_filename.removeprefix(self._prefix)
            if path in self._modules:
                self._called.add(f"{path} {code.co_qualname.replace('.<locals>', '')}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._called, began = set(), time.process_time()
        threading.settrace(self._note)
        sys.settrace(self._note)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            test = self.tests.setdefault(item.nodeid, {"passed": True})
            test |= {"seconds": time.process_time() - began, "functions": sorted(self._called)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tests.setdefault(report.nodeid, {})["passed"] = False

    def pytest_sessionfinish(self) -> None:
        self._written_to.write_text(json.dumps(self.tests))


class Order:
    """Tests that are likely to notice first, the quick ones before the slow ones; some are left out."""

    def __init__(self, first: dict[str, float], without: frozenset[str]) -> None:
        self._first, self._without = first, without
        self.failed = ""

    def pytest_sessionstart(self) -> None:
        same_examples()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid not in self._without),
            key=lambda item: (item.nodeid not in self._first, self._first.get(item.nodeid, 0.0)),
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} cannot be imported"
