from __future__ import annotations

import pytest

from catalog.storage.errors import FailureKind
from orchestrator.scheduling.retry import Attempts, back_off_seconds, classify, decide, marked, unmarked


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            "[failure: mismatch] trainables.training.initialise.ParentMismatchError: parent X measures 40 %",
            FailureKind.MISMATCH,
        ),
        ("RuntimeError: Error(s) in loading state_dict: size mismatch for fc.weight", FailureKind.MISMATCH),
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 9x2)", FailureKind.MISMATCH),
        (
            "[failure: missing-weights] trainables.models.weights.MissingWeightsError: no ImageNet weights; "
            "resnet50-0676ba61.pth; give --weights-dir",
            FailureKind.MISSING_WEIGHTS,
        ),
        (
            "[failure: missing-weights] WeightsError: damaged",
            FailureKind.MISSING_WEIGHTS,
        ),
        (
            "RuntimeError: [failure: data] trainables.data.frames.reader.ReadError: walk/3.mp4",
            FailureKind.DATA,
        ),
        ("[failure: diverged] DivergedError: the loss is nan", FailureKind.DIVERGED),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", FailureKind.MEMORY),
        (
            "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory",
            FailureKind.MEMORY,
        ),
        (
            "ActorDiedError: The actor is dead because its worker process has died. "
            "Worker exit type: NODE_OUT_OF_MEMORY",
            FailureKind.MEMORY,
        ),
        (
            "ActorDiedError: died (meanwhile the kernel killed 1 processes of this machine: out of memory)",
            FailureKind.MEMORY,
        ),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried 9 bytes", FailureKind.MEMORY),
        ("MemoryError: std::bad_alloc", FailureKind.MEMORY),
        ("[failure: checkpoint] CheckpointError: checksum of epoch-3.pt differs", FailureKind.CHECKPOINT),
        ("RuntimeError: checkpoint epoch-3 is truncated", FailureKind.CHECKPOINT),
        (
            "[failure: storage] StoreWriteError: cannot write (No space left); runs; …",
            FailureKind.STORAGE,
        ),
        ("ray.exceptions.NodeDiedError: The node was drained", FailureKind.PREEMPTED),
        ("ActorDiedError: The actor died because its node has died.", FailureKind.PREEMPTED),
        ("the instance was preempted", FailureKind.PREEMPTED),
        ("WorkerGroupStartupTimeoutError: The worker group startup timed out", FailureKind.PREEMPTED),
        ("the instance was pre-empted", FailureKind.PREEMPTED),
        ("ray.exceptions.ActorDiedError: The actor died unexpectedly", FailureKind.PROCESS_DIED),
        (
            "ActorDiedError: The actor is dead because its worker process has died. Worker exit type: "
            "SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error code 2. End "
            "of file. Some common causes include: (1) the process was killed by the OOM killer due to high "
            "memory usage, (2) ray stop --force was called, or (3) the worker crashed due to SIGSEGV.",
            FailureKind.PROCESS_DIED,
        ),
        ("WorkerCrashedError: The worker died unexpectedly", FailureKind.PROCESS_DIED),
        ("ValueError: something else", FailureKind.PROGRAM),
        ("RuntimeError: TypeError: something else", FailureKind.PROGRAM),
        ("KeyError: 'loss'", FailureKind.PROGRAM),
        ("AttributeError: no attribute 'shape'", FailureKind.PROGRAM),
        ("AssertionError", FailureKind.PROGRAM),
        ("NotImplementedError", FailureKind.PROGRAM),
        ("IndexError: list index out of range", FailureKind.PROGRAM),
        ("_pickle.UnpicklingError: Weights only load failed", FailureKind.PROGRAM),
        ("json.decoder.JSONDecodeError: Expecting value: line 1", FailureKind.PROGRAM),
        ("pyarrow.lib.ArrowInvalid: Not an Arrow file", FailureKind.PROGRAM),
        ("ray.exceptions.RayTaskError(ZeroDivisionError): ray::train()", FailureKind.PROGRAM),
        ("RuntimeError: expected scalar type Float but found Half", FailureKind.PROGRAM),
        ("ImportError: cannot import name 'x' from 'y'", FailureKind.CONFIGURATION),
        ("importlib.metadata.PackageNotFoundError: No package metadata", FailureKind.CONFIGURATION),
        (
            "RuntimeError: The size of tensor a (4) must match the size of tensor b (3) at dimension 1",
            FailureKind.MISMATCH,
        ),
        ("IndexError: Target 10 is out of bounds.", FailureKind.MISMATCH),
        (
            "RuntimeError: Given groups=1, weight of size [64, 3, 7, 7], expected input[1, 4, 8, 8] to have "
            "3 channels",
            FailureKind.MISMATCH,
        ),
        ("OSError: [Errno 5] Input/output error: '/lab/frames/1.arrow'", FailureKind.STORAGE),
        ("OSError: [Errno 24] Too many open files", FailureKind.STORAGE),
        # What may well not come again.
        ("RuntimeError: NCCL error: unhandled system error", FailureKind.UNKNOWN),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", FailureKind.UNKNOWN),
        ("EOFError: Ran out of input", FailureKind.UNKNOWN),
        ("", FailureKind.UNKNOWN),
    ],
)
def test_failures_are_told_apart_by_their_text(error: str, kind: FailureKind) -> None:
    assert classify(error) is kind


def test_want_of_memory_ends_when_there_is_nothing_easier_to_try() -> None:
    attempts = Attempts(failures=5).after(FailureKind.MEMORY)
    assert attempts == Attempts(failures=5, memory=1)
    assert decide(FailureKind.MEMORY, attempts, retries=0, way_out="alone").retry
    given_up = decide(FailureKind.MEMORY, attempts, retries=9)
    assert given_up.reason == "memory: not even single clips at a time fit"
    assert not given_up.retry


# With two retries. What comes again whatever is tried is not tried again; for others the cluster is to
# blame, and they have budgets of their own.
TRIES = {
    FailureKind.MISMATCH: 1,
    FailureKind.PARENT: 1,
    FailureKind.MISSING_WEIGHTS: 1,
    FailureKind.DATA: 1,
    FailureKind.CONFIGURATION: 1,
    FailureKind.DIVERGED: 1,
    FailureKind.PROGRAM: 1,
    FailureKind.CHECKPOINT: 3,
    FailureKind.PROCESS_DIED: 3,
    FailureKind.UNKNOWN: 3,
    FailureKind.PREEMPTED: 51,
    FailureKind.STORAGE: 51,
    # Without anything easier to try.
    FailureKind.MEMORY: 1,
}


@pytest.mark.parametrize("kind", FailureKind)
def test_each_kind_of_failure_is_tried_again_as_often_as_it_makes_sense(kind: FailureKind) -> None:
    attempts, tries = Attempts(), 1
    while decide(kind, attempts := attempts.after(kind), retries=2).retry:
        tries += 1
        assert tries < 100
    assert tries == TRIES[kind]


def test_the_wait_before_another_try_doubles_up_to_five_minutes() -> None:
    waits = [back_off_seconds(ends) for ends in (1, 2, 3, 4, 8, 9, 50, 10_000)]
    assert waits == [2.0, 4.0, 8.0, 16.0, 256.0, 300.0, 300.0, 300.0]


def test_all_ends_count_for_the_wait() -> None:
    assert Attempts(failures=3, preemptions=2, memory=4).ends == 9


def test_people_see_no_mark_but_all_else() -> None:
    error = "ReadError: walk/[failure: data] 3.mp4"
    assert unmarked(marked(FailureKind.DATA, error)) == error


def test_no_retries_means_none() -> None:
    assert not decide(FailureKind.UNKNOWN, Attempts(failures=1), retries=0).retry


def test_preemptions_have_a_budget_of_their_own() -> None:
    attempts = Attempts()
    for _ in range(7):
        attempts = attempts.after(FailureKind.PREEMPTED)
    assert attempts == Attempts(failures=0, preemptions=7)
    assert decide(FailureKind.PREEMPTED, attempts, retries=0, max_preemptions=7).retry
    assert decide(FailureKind.UNKNOWN, attempts.after(FailureKind.UNKNOWN), retries=1).retry
    over = attempts.after(FailureKind.PREEMPTED)
    assert not decide(FailureKind.PREEMPTED, over, retries=0, max_preemptions=7).retry


def test_the_reason_says_what_and_how_often() -> None:
    assert (
        decide(FailureKind.UNKNOWN, Attempts(failures=2), retries=2).reason
        == "unknown: failure 2, 2 retries allowed"
    )
    assert "same way again" in decide(FailureKind.DATA, Attempts(failures=1), retries=2).reason
