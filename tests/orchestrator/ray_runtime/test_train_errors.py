"""What a worker's error becomes on its way through Ray Train to the driver: text, marked with its kind."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from catalog.storage.bucket import BucketError
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.storage import FencedError
from orchestrator.ray_runtime.trial import describe_error, own_error, read_error_log, write_error_log
from orchestrator.scheduling.retry import classify, unmarked
from trainables.data.frames.reader import ReadError
from trainables.data.frames.store_reader import LocalCopyError
from trainables.training.step import DivergedError


def through_train(error: BaseException) -> BaseException:
    """The error as Ray Train hands it to the trial: raised in a worker, pickled, named by its rank."""
    try:
        raise error
    except type(error) as raised:
        text = "".join(traceback.format_exception(raised))
        worker = UserExceptionWithTraceback(raised, text)
    return WorkerGroupError("Training failed", {1: pickle.loads(pickle.dumps(worker))})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReadError("lost", "walk/3.mp4", "restore it"), FailureKind.DATA),
        (DivergedError("training loss is nan", "TSN-Tiny-f8@toy", "lower recipe.lr"), FailureKind.DIVERGED),
        (BucketError("bucket does not answer", "s3://lab"), FailureKind.STORAGE),
        (FencedError("attempt 3 trains this cell now", "runs/a", ""), FailureKind.PREEMPTED),
        # Its own word counts, and not that it speaks of memory.
        (LocalCopyError("out of memory for the copy", "/dev/shm", "give a folder"), FailureKind.UNKNOWN),
    ],
)
def test_our_own_errors_keep_their_kind_on_the_way_to_the_driver(
    tmp_path: Path, error: ActionGridError, kind: FailureKind
) -> None:
    write_error_log(FolderStorage(tmp_path), tmp_path / "attempt.log", through_train(error))
    told = read_error_log(FolderStorage(tmp_path), tmp_path / "attempt.log")
    assert told is not None
    assert classify(told) is kind
    name = type(error)
    assert unmarked(told) == f"{name.__module__}.{name.__qualname__}: {error}"
    # Where no log can be written, Tune has the text inside an error of its own.
    assert classify(f"RuntimeError: {describe_error(through_train(error))}") is kind


def test_foreign_errors_are_known_by_their_text() -> None:
    told = describe_error(through_train(MemoryError("std::bad_alloc")))
    assert told == "MemoryError: std::bad_alloc"
    assert classify(told) is FailureKind.MEMORY


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("Error(s) in loading:\n\tsize mismatch for fc.weight:\n\ta, b"), FailureKind.MISMATCH),
        (ValueError("several lines\nof which the last\n    is indented"), FailureKind.PROGRAM),
        (KeyError("epoch"), FailureKind.PROGRAM),
        (pickle.UnpicklingError("Weights only load failed.\nSee the documentation"), FailureKind.PROGRAM),
        (AssertionError(), FailureKind.PROGRAM),
        (NotImplementedError("later"), FailureKind.PROGRAM),
        (ImportError("cannot import name"), FailureKind.CONFIGURATION),
        (OSError(5, "Input/output error", "/lab/1.arrow"), FailureKind.STORAGE),
    ],
)
def test_an_error_of_many_lines_is_known_by_its_type(error: Exception, kind: FailureKind) -> None:
    told = describe_error(through_train(error))
    assert classify(told) is kind
    assert "\n" not in told


def test_of_errors_that_follow_each_other_the_last_one_counts() -> None:
    try:
        try:
            raise ReadError("lost", "walk/3.mp4")
        except ReadError as first:
            raise TypeError("a list was expected") from first
    except TypeError as raised:
        assert describe_error(through_train(raised)) == "TypeError: a list was expected"


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: trainables.data.frames.reader.ReadError: lost",
        "trainables.nowhere.ReadError: lost",
        "trainables.data.frames.reader.Frames: lost",
        "catalog",
        "",
    ],
)
def test_only_a_class_of_the_tree_is_ours(text: str) -> None:
    assert own_error(text) is None
