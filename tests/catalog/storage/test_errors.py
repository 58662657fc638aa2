"""Every error of the product is in one tree: a text, an exit code, a kind, and a way through a pickle."""

from __future__ import annotations

import errno
import pickle
import re
from importlib import import_module
from pathlib import Path

import pytest

from catalog.storage.errors import (
    BAD_INPUT,
    INTERRUPTED,
    WORK_FAILED,
    ActionGridError,
    FailureKind,
    PathError,
    SystemFailureError,
    from_system,
)

ROOT = Path(__file__).parents[3]
ROOMS = ("catalog", "trainables", "orchestrator", "dashboards")
# Exceptions of ours that are no errors, and why.
OUTSIDE = {
    "orchestrator.ray_runtime.tune_adapter._LeftError": "carries the wish to leave through Tune, which "
    "catches every `Exception`; nobody ever reads it",
    "trainables.data.ingest.checked.TooMuchToReadError": "a quick look cannot tell: said by who looks",
}
# Started as programs, these end the process that imports them.
PROGRAMS = ("__main__",)


def exceptions_of_the_product() -> dict[str, type[BaseException]]:
    """All exception classes that a module of ours defines, by their full names."""
    found: dict[str, type[BaseException]] = {}
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] in PROGRAMS:
            continue
        for value in vars(import_module(name)).values():
            is_exception = isinstance(value, type) and issubclass(value, BaseException)
            if is_exception and value.__module__ == name:
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


EXCEPTIONS = exceptions_of_the_product()
ERRORS = {name: kind for name, kind in EXCEPTIONS.items() if issubclass(kind, ActionGridError)}
SOURCES = {path: path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def of(name: str) -> ActionGridError:
    return ERRORS[name]("no room", "/storage", "free some")


def test_every_exception_is_in_the_tree_or_has_its_reason() -> None:
    assert {name for name in EXCEPTIONS if name not in ERRORS} == set(OUTSIDE)
    assert len(ERRORS) > 50


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_says_what_where_and_what_to_do_on_one_line(name: str) -> None:
    error = of(name)
    assert str(error) == "no room; /storage; free some"
    assert (error.what, error.where, error.what_to_do) == ("no room", "/storage", "free some")
    assert str(ERRORS[name]("no room", "", "free some")) == "no room; free some"
    assert str(ERRORS[name]("no room", Path("/storage"), "")) == "no room; /storage"


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_has_an_exit_code_and_a_kind(name: str) -> None:
    assert ERRORS[name].exit_code in {WORK_FAILED, BAD_INPUT, INTERRUPTED}
    assert isinstance(ERRORS[name].failure_kind, FailureKind)


# What decides whether a cell is tried again (`orchestrator/scheduling/retry.py`), said here once more.
KINDS = {
    "trainables.training.step.DivergedError": FailureKind.DIVERGED,
    "trainables.training.initialise.ParentMismatchError": FailureKind.MISMATCH,
    "trainables.training.initialise.ParentLostError": FailureKind.PARENT,
    "trainables.training.session.NothingHeldOutError": FailureKind.CONFIGURATION,
    "trainables.training.checkpoint.CheckpointError": FailureKind.CHECKPOINT,
    "trainables.training.execution.device.CellMemoryError": FailureKind.MEMORY,
    "trainables.models.weights.MissingWeightsError": FailureKind.MISSING_WEIGHTS,
    "trainables.data.frames.reader.ReadError": FailureKind.DATA,
    "trainables.data.frames.manifest.ManifestError": FailureKind.DATA,
    "trainables.data.datasets.base.DatasetError": FailureKind.DATA,
    "catalog.storage.atomic.StoreReadError": FailureKind.STORAGE,
    "catalog.storage.atomic.StoreWriteError": FailureKind.STORAGE,
    "catalog.journal.ShortWriteError": FailureKind.STORAGE,
    "catalog.storage.storage.FencedError": FailureKind.PREEMPTED,
}


@pytest.mark.parametrize("name", KINDS)
def test_what_ends_an_attempt_says_why(name: str) -> None:
    assert ERRORS[name].failure_kind is KINDS[name]


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_survives_the_way_to_another_process(name: str) -> None:
    error = of(name)
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.args) == (str(error), error.args)
    assert getattr(there, "errno", None) == getattr(error, "errno", None)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_is_raised_or_is_what_others_that_are_have_in_common(name: str) -> None:
    kind = ERRORS[name]
    made = re.compile(rf"(?<!class )\b{kind.__name__}(\.of)?\(")
    has_children = any(other is not kind and issubclass(other, kind) for other in ERRORS.values())
    assert has_children or any(made.search(text) for text in SOURCES.values())


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.yaml"), 2, "a.yaml; check the path"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 2, "a/b; a directory is needed there"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), 2, "Is a directory; a; a file is needed"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "Permission denied; a; change its"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), 1, "No space left on device; a; make room"),
        (OSError(errno.EROFS, "Read-only file system", "a"), 1, "Read-only file system; a; mount it"),
        (OSError(errno.ENOSPC, "No space left on device", "a", None, "b"), 1, "device; a → b; make room"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", b"a"), 2, "; a; check the path"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 1, "Connection refused; mend it"),
        (OSError("a library's own words"), 1, "a library's own words; mend it, then give the same command"),
        (TimeoutError(), 1, "TimeoutError; mend it"),
    ],
)
def test_an_error_of_the_operating_system_becomes_one_line(error: OSError, code: int, line: str) -> None:
    told = from_system(error)
    assert line in str(told)
    assert told.exit_code == code
    assert isinstance(told, PathError if code == BAD_INPUT else SystemFailureError)
