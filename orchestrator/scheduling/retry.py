"""A failed attempt → try again, or fail (pure). Pre-emptions are no failures and have their own budget.

Our own errors carry their kind on the class. Ray delivers a worker's error as text inside its own exceptions,
so the kind goes along as a mark in that text (`marked`). Other libraries' errors have no mark: they are told
apart by the names and words in their text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from catalog.storage.errors import OUTAGES, FailureKind
from orchestrator.scheduling.schedule import Task
from orchestrator.study.cells import Cell
from orchestrator.study.model import Resources

MAX_PREEMPTIONS = 50
BACK_OFF_SECONDS = 2.0
LONGEST_BACK_OFF_SECONDS = 300.0


DETERMINISTIC = frozenset(
    {
        FailureKind.MISMATCH,
        FailureKind.MISSING_WEIGHTS,
        FailureKind.DATA,
        FailureKind.CONFIGURATION,
        FailureKind.DIVERGED,
        FailureKind.PROGRAM,
    }
)

NOT_COUNTED = frozenset({FailureKind.PREEMPTED, FailureKind.STORAGE})
"""No failures of the cell: they have a budget of their own."""

# Python's own errors that the same code raises again on the same input; their subclasses are named too.
_PROGRAM_ERRORS = (
    "ArithmeticError|AssertionError|AttributeError|BufferError|FloatingPointError|IndentationError|IndexError|"
    "KeyError|LookupError|NameError|NotImplementedError|OverflowError|RecursionError|SyntaxError|TabError|"
    "TypeError|UnboundLocalError|Unicode(?:Decode|Encode|Translate)?Error|ValueError|ZeroDivisionError|"
    "PickleError|PicklingError|UnpicklingError|UnsupportedOperation|JSONDecodeError|Arrow(?!IOError)\\w+"
)
# An error begins with its type; others, Ray's and ours, may have put theirs before it.
_TYPE = r"\A(?:[\w.]*(?:RuntimeError|RayTaskError|Exception|TrainingFailedError)(?:\(\w+\))?: ?)*(?:\w+\.)*"

# What torch says where tensors do not fit each other, or a layer: all of these are plain RuntimeErrors.
_SHAPES = (
    r"(size|shape)s? mismatch|shapes cannot be multiplied|(Missing|Unexpected) key\(s\) in state_dict",
    r"size of tensor a .* must match|Sizes of tensors must match|expanded size of the tensor",
    r"shape '.*' is invalid for input|stack expects each tensor to be equal size|Expected input batch_size",
    r"Given .*weight of size .*expected input|Kernel size can't be greater than actual input",
    r"(output|input) size is too small|[Ee]xpected \d-?D\b|Dimension out of range|match except in dimension",
    r"number of dimensions|is not broadcastable|cannot be broadcast|inconsistent tensor size",
    r"(is|are) out of bounds|view size is not compatible|selected index k out of range",
)
# The same of kinds, places and gradients.
_MISUSE = (
    r"expected (scalar type|m1 and m2 to have the same dtype|all tensors to be on the same device)",
    r"not implemented for '|result type .* can't be cast|(should|must) (be|have) the same (d?type|device)",
    r"does not require grad|modified by an inplace operation|backward through the graph a second time",
    r"device-side assert triggered|Input type .* and weight type",
)

# Of foreign errors; the first match decides.
_SIGNS: tuple[tuple[FailureKind, str], ...] = (
    (FailureKind.MISMATCH, "|".join(_SHAPES)),
    (FailureKind.CONFIGURATION, r"pydantic\w*\.\w*ValidationError"),
    (FailureKind.CONFIGURATION, r"\b(ModuleNotFound|PackageNotFound|Import)Error\b"),
    # Not "OOM": Ray names the kernel's OOM killer as a possible cause of every death.
    (FailureKind.MEMORY, r"Out_?Of_?Memory|(out of|low on) memory|\bMemoryError\b"),
    (FailureKind.MEMORY, r"can(no|')t allocate memory|CUBLAS_STATUS_ALLOC_FAILED|\bbad_alloc\b"),
    (FailureKind.PROGRAM, rf"{_TYPE}(?:{_PROGRAM_ERRORS})\b|RayTaskError\((?:{_PROGRAM_ERRORS})\)"),
    (FailureKind.PROGRAM, "|".join(_MISUSE)),
    (FailureKind.STORAGE, rf"\[Errno ({'|'.join(map(str, sorted(OUTAGES)))})\]"),
    (FailureKind.CHECKPOINT, r"Checkpoint\w*Error|checkpoint\b.*\b(corrupt|damaged|truncated|checksum)"),
    (FailureKind.PREEMPTED, r"pre-?empt|NodeDied|node .{0,80}\b(died|dead|terminated|removed|draining)"),
    (FailureKind.PREEMPTED, r"spot interruption|\bACTOR_DIED_NODE\b"),
    # No machine came for its workers: the cluster's doing, not the cell's.
    (FailureKind.PREEMPTED, r"\bWorkerGroupStartupTimeout"),
    (FailureKind.PROCESS_DIED, r"ActorDied|ActorUnavailable|RayActorError|WorkerCrashed|WorkerGroup\w*Error"),
    (FailureKind.PROCESS_DIED, r"actor .{0,80}\b(died|dead)|worker .{0,80}\b(died|crashed|exited)|SIGKILL"),
)
_MARK = re.compile(rf"\[failure: ({'|'.join(FailureKind)})\] ")


@dataclass(frozen=True)
class Attempts:
    """How often a cell has ended without a result in this submission, the last time included."""

    failures: int = 0
    preemptions: int = 0
    memory: int = 0

    def after(self, kind: FailureKind) -> Attempts:
        """The counts after one more end of this kind."""
        if kind in NOT_COUNTED:
            return replace(self, preemptions=self.preemptions + 1)
        if kind is FailureKind.MEMORY:
            return replace(self, memory=self.memory + 1)
        return replace(self, failures=self.failures + 1)

    @property
    def ends(self) -> int:
        """All of them."""
        return self.failures + self.preemptions + self.memory


@dataclass(frozen=True)
class Decision:
    """Whether to try again, and why, in words for the terminal and the journal."""

    retry: bool
    reason: str


def marked(kind: FailureKind, error: str) -> str:
    """The text of one of our own errors with its kind: `[failure: data] trainables…ReadError: …`."""
    return f"[failure: {kind}] {error}"


def unmarked(error: str) -> str:
    """The text for people."""
    return _MARK.sub("", error, count=1)


def classify(error: str) -> FailureKind:
    """The kind of failure that an error's mark or, of a foreign one, its type name and text speak of."""
    mark = _MARK.search(error)
    if mark is not None:
        return FailureKind(mark[1])
    for kind, signs in _SIGNS:
        if re.search(signs, error, flags=re.IGNORECASE):
            return kind
    return FailureKind.UNKNOWN


def decide(
    kind: FailureKind,
    attempts: Attempts,
    *,
    retries: int,
    max_preemptions: int = MAX_PREEMPTIONS,
    way_out: str = "",
) -> Decision:
    """Whether a cell is tried again.

    Args:
        kind: why the last attempt ended.
        attempts: the counts with the last attempt included (`Attempts.after`).
        retries: how many failures may be followed by another attempt (the study's `retries`).
        max_preemptions: the same for pre-emptions.
        way_out: how a cell that ran out of memory can be tried more easily, in words.
    """
    if kind in DETERMINISTIC:
        return Decision(False, f"{kind}: would fail the same way again")
    if kind is FailureKind.PARENT:
        return Decision(False, f"{kind}: the next run trains it again first")
    if kind is FailureKind.MEMORY:
        # Each time something else is tried, until nothing is left: that is its budget.
        return Decision(bool(way_out), f"{kind}: {way_out or 'not even single clips at a time fit'}")
    if kind in NOT_COUNTED:
        count = f"pre-emption {attempts.preemptions} of at most {max_preemptions}"
        return Decision(attempts.preemptions <= max_preemptions, f"{kind}: {count}; not counted as a failure")
    count = f"failure {attempts.failures}, {retries} retries allowed"
    return Decision(attempts.failures <= retries, f"{kind}: {count}")


def back_off_seconds(ends: int) -> float:
    """How long a cell that has ended `ends` times without a result waits before it is tried again."""
    return min(BACK_OFF_SECONDS * 2.0 ** (min(ends, 30) - 1), LONGEST_BACK_OFF_SECONDS)


@dataclass(frozen=True)
class MemoryReduction:
    """How a cell is trained where memory is short: `alone` on whole GPUs, its batch in `accumulation` parts.

    The default is what its study asks for.
    """

    alone: bool = False
    accumulation: int = 1

    def __str__(self) -> str:
        parts = f", with gradients summed over {self.accumulation} parts" if self.accumulation > 1 else ""
        return f"alone{parts}"


def reduced_resources(resources: Resources, reduction: MemoryReduction) -> Resources:
    """What a cell asks for under this reduction: whole GPUs where it is alone."""
    if not reduction.alone:
        return resources
    return resources.model_copy(update={"gpus_per_worker": float(math.ceil(resources.gpus_per_worker))})


def next_reduction(cell: Cell, now: MemoryReduction) -> MemoryReduction | None:
    """The next thing to try after `cell` ran out of memory under `now`, or None: not even single clips fit.

    The batch that the optimiser sees stays the same; batch normalisation counts its statistics over fewer
    clips, which is why the accumulation is recorded with the result.
    """
    if not now.alone:
        return MemoryReduction(alone=True, accumulation=now.accumulation)
    clips = clips_at_once(cell)
    if -(-clips // now.accumulation) <= 1:
        return None
    return MemoryReduction(alone=True, accumulation=min(2 * now.accumulation, clips))


def clips_at_once(cell: Cell) -> int:
    """Clips that one worker's GPU takes at a time before the batch is reduced."""
    return max(1, cell.recipe.batch_size // (cell.resources.workers * cell.recipe.accumulate))


def deferred(ready: Iterable[Task], running: Iterable[Task]) -> frozenset[str]:
    """The ready tasks that must not start now, so that a task that is to run alone gets its turn, and is.

    Shares of GPUs wait for one that needs a whole GPU. Without GPUs nothing tells one task's memory from
    another's, so that a task alone is the only one that this driver runs.
    """
    waiting, busy = tuple(ready), tuple(running)
    names = [task.name for task in waiting]
    if any(task.alone and not _on_gpus(task.demand) for task in busy):
        return frozenset(names)
    alone = [task for task in waiting if task.alone]
    without_gpus = [task.name for task in alone if not _on_gpus(task.demand)]
    if without_gpus:
        return frozenset(names) if busy else frozenset(names) - {without_gpus[0]}
    if alone:
        return frozenset(task.name for task in waiting if _is_fraction(task.demand))
    return frozenset()


def _on_gpus(resources: Resources) -> bool:
    return resources.gpus_per_worker > 0


def _is_fraction(resources: Resources) -> bool:
    return 0 < resources.gpus_per_worker < 1
