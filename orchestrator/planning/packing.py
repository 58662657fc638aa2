"""How many small cells are worth putting on one GPU: what was measured side by side decides (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.planning.rates import Modelled

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
