"""The preallocated buffers that clips are decoded into, used in turn, and the batch that lies in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from trainables.data.clips.cut import Cut


class Slot:
    """One buffer, uint8 (N, C, T, H, W, 3); pinned where an accelerator copies from it."""

    def __init__(self, shape: tuple[int, ...], pin: bool) -> None:
        self.pinned = pin
        self.pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
        self._copied: torch.cuda.Event | None = None

    def copied_at(self, event: torch.cuda.Event) -> None:
        """Keep the buffer as it is until `event`, which follows the copy to the device."""
        self._copied = event

    def wait(self) -> None:
        """Return once the buffer may be overwritten."""
        if self._copied is not None:
            self._copied.synchronize()
            self._copied = None


class ClipRing:
    """`count` buffers for batches of up to `shape` = (N, C, T, H, W, 3)."""

    def __init__(self, shape: tuple[int, ...], count: int, pin: bool = False) -> None:
        self.shape = shape
        self.count = count
        self._slots: Iterator[Slot] = cycle([Slot(shape, pin) for _ in range(count)])

    def next_slot(self) -> Slot:
        """The buffer that was handed out longest ago."""
        slot = next(self._slots)
        slot.wait()
        return slot


@dataclass(frozen=True)
class Batch:
    """Clips of one step as the loader copied them: neither resized nor normalised.

    `pixels`: uint8 (N, C, T, H, W, 3), C clips a video (1 in training), valid until the next batch is asked
    for; `cuts`: how to make the views, one a video; `labels`: int64 (N,); `indices`: int64 (N,), places in
    the sequence of videos that was given; `size`: side of the finished views.
    """

    pixels: torch.Tensor
    cuts: Sequence[Cut]
    labels: torch.Tensor
    indices: torch.Tensor
    size: int
    slot: Slot

    @property
    def views(self) -> int:
        """Views a video, clips x crops."""
        return self.pixels.shape[1] * len(self.cuts[0].views)

    def chunks(self, pieces: int) -> Iterator[Batch]:
        """The batch in at most `pieces` parts, in order."""
        step = -(-len(self.labels) // pieces)
        for start in range(0, len(self.labels), step):
            part = slice(start, start + step)
            yield Batch(
                self.pixels[part],
                self.cuts[part],
                self.labels[part],
                self.indices[part],
                self.size,
                self.slot,
            )
