"""How large a share of a GPU a cell needs, where the study leaves it to us: `gpus_per_worker: auto` (pure).

A cell's memory is estimated from its model (`trainables.models.memory_estimate`), corrected by what finished
cells really took, and rounded up to a quarter, a third or half of a card, or a whole one. Where it was
measured what cells gain side by side (`Packing`), no more of them share a card than pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.planning.rates import Modelled
from orchestrator.study.cells import Cell

# Beside what torch allocates: a process's CUDA context and its libraries. Assumed, not measured.
CONTEXT_BYTES = 700_000_000
# Convolutions' workspaces and what the allocator cannot use.
MARGIN = 1.15
_PARTS = (4, 3, 2)
# (height, width) of what a clip's crop is cut from, for 16:9 videos stored with a short side of 256.
_WHOLE_PICTURES = (256, 456)
_RECTANGLES = {"multi_scale_crop": (256, 256), "random_short_side": _WHOLE_PICTURES}
BY_MEMORY = "memory"
# Ray counts ten-thousandths of a GPU.
_DIGITS = 10_000
# Sharing a GPU costs each cell memory and some of its own speed: less than this is not worth it.
WORTH_GAIN = 1.05


@dataclass(frozen=True)
class SideBySide:
    """`together` cells of one model on one GPU gave `clips_per_s` in all: `gain` times those of one alone."""

    device: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    together: int
    mps: bool
    clips_per_s: float
    gain: float


@dataclass(frozen=True)
class Limit:
    """The most cells like this one that are to share a GPU, and the words that say why."""

    together: int
    why: str


@dataclass(frozen=True)
class Packing:
    """What was measured on one kind of GPU, under MPS or without. `origin` says where."""

    samples: tuple[SideBySide, ...]
    origin: str

    def limit(self, cell: Modelled, fitting: int) -> Limit | None:
        """How many of the `fitting` cells that memory has room for are to share a GPU.

        The number with the most clips a second counts, of cells of this module, backbone and length (with
        the same temporal pooling, where that was measured). A cell of another length takes at most what was
        best for the longest clips shorter than its own: longer ones fill a GPU better. None: nothing of the
        kind was measured.
        """
        own = [one for one in self.samples if (one.module, one.backbone) == (cell.module, cell.backbone)]
        known = [one.frames for one in own if one.frames <= cell.frames and one.together > 1]
        if not known:
            return None
        alike = [one for one in own if one.frames == max(known)]
        pooled = [one for one in alike if one.temporal_pooling == cell.temporal_pooling]
        found = _best(pooled if any(one.together > 1 for one in pooled) else alike, fitting)
        where = f"{cell.module} {cell.backbone} f{max(known)}, {self.origin}"
        if found is None:
            return Limit(1, f"so few were not measured together: {where}")
        if found.gain < WORTH_GAIN:
            return Limit(1, f"side by side at best {found.gain:.2f} x: {where}")
        return Limit(found.together, f"{found.together} side by side {found.gain:.2f} x: {where}")


def _best(samples: Sequence[SideBySide], fitting: int) -> SideBySide | None:
    """Of as many cells as fit; the fewer where two are equal."""
    possible = [one for one in samples if 1 < one.together <= fitting]
    return max(possible, key=lambda one: (one.clips_per_s, -one.together), default=None)


MemoryOf = Callable[[Cell, int], int]
"""(cell, num_classes) → the most bytes that torch is expected to allocate on one worker's GPU."""


@dataclass(frozen=True)
class CardMemory:
    """What is known of the GPUs: bytes of one card, None where nobody knows; measured peak over estimate.

    `packing` is what was measured side by side, None where nothing was.
    """

    card_bytes: int | None = None
    ratio: float = 1.0
    packing: Packing | None = None


@dataclass(frozen=True)
class Share:
    """The share of a GPU of `card_bytes` that a cell is given for `estimated_bytes` (not corrected).

    `rule` says what decided: the memory that it needs, or what was measured side by side.
    """

    gpus: float
    estimated_bytes: int
    card_bytes: int
    rule: str = BY_MEMORY


def cell_memory(cell: Cell, num_classes: int) -> int:
    """The estimate for one worker of a cell (imports torch)."""
    from trainables.models.memory_estimate import training_memory

    recipe = cell.recipe
    memory = training_memory(
        cell.module,
        cell.backbone,
        cell.temporal_pooling,
        cell.frames,
        num_classes,
        recipe.crop_size,
        moments=recipe.moments,
        bf16=recipe.precision in ("auto", "bf16"),
    )
    clips = -(-recipe.batch_size // cell.resources.workers)
    return memory.peak(-(-clips // recipe.accumulate)) + _uploads(cell, clips)


def _uploads(cell: Cell, clips: int) -> int:
    """Bytes of the two buffers that whole batches arrive in (`trainables.training.execution.upload`)."""
    height, width = _RECTANGLES.get(cell.recipe.augmentation, _WHOLE_PICTURES)
    return 2 * clips * cell.frames * height * width * 3


def share_of(cell: Cell, num_classes: int, known: CardMemory, memory_of: MemoryOf) -> Share | None:
    """What an `auto` cell is given; None where the study has said how many GPUs it is to have.

    Raises:
        NoCardError: nobody knows how much memory a GPU has.
    """
    if not cell.resources.auto_share:
        return None
    declared = cell.resources.gpu_memory_gb
    card = known.card_bytes if declared is None else int(declared * 1e9)
    if card is None:
        raise NoCardError(
            f"auto, but nobody knows the GPUs' memory until a cell has finished on one ({cell.name})",
            what_to_do="say gpu_memory_gb: 40 beside it, or how many GPUs: 0.5",
        )
    estimated = memory_of(cell, num_classes)
    fitting = smallest_share(estimated * known.ratio, card, cell.resources.workers)
    gpus, rule = _paying_share(cell, fitting, known.packing)
    return Share(gpus, estimated, card, rule)


def _paying_share(cell: Cell, fitting: float, packing: Packing | None) -> tuple[float, str]:
    """The share that pays, of at least the `fitting` one, and the rule that decided."""
    if packing is None or fitting == 1:
        return fitting, BY_MEMORY
    limit = packing.limit(cell, round(1 / fitting))
    if limit is None:
        return fitting, BY_MEMORY
    return _part(limit.together), limit.why


class NoCardError(ActionGridError):
    """`auto` for GPUs of unknown size."""

    exit_code = BAD_INPUT


def smallest_share(torch_bytes: float, card_bytes: int, workers: int = 1) -> float:
    """The smallest of 1/4, 1/3, 1/2 and 1 GPU whose part of the card's memory is enough.

    Workers of one cell never share a GPU: NCCL refuses two ranks on one device.
    """
    needed = torch_bytes * MARGIN + CONTEXT_BYTES
    parts = next((parts for parts in _PARTS if needed * parts <= card_bytes), 1)
    return 1.0 if workers > 1 else _part(parts)


def _part(parts: int) -> float:
    return _DIGITS // parts / _DIGITS


def allowed_bytes(gpus: float, card_bytes: int) -> float:
    """What torch may allocate in a share of a card, beside the process's own."""
    return min(gpus, 1.0) * card_bytes - CONTEXT_BYTES


def with_share(cell: Cell, found: Share | None) -> Cell:
    """The cell with the share that was found for it."""
    if found is None:
        return cell
    return replace(cell, resources=cell.resources.model_copy(update={"gpus_per_worker": found.gpus}))
