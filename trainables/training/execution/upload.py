"""From the ring to the training device: the next batch's bytes travel while the step of this one runs.

Frame store → threads → pinned ring → two buffers on the device, in turn → views (`Compute.inputs`) → step.
The copies run on a stream of their own. What waits for what is said with events; the host waits only where
the loader wants to overwrite a buffer of the ring that has not been copied yet. On a CPU nothing happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from trainables.data.clips.ring import Batch

_Sent = TypeVar("_Sent")
_BUFFERS = 2  # one that the step reads, one that the next batch arrives in


def uploaded(batches: Iterable[Batch], device: torch.device) -> Generator[Batch, None, None]:
    """The same batches in the same order, their pixels on `device`; labels and indices stay on the CPU.

    A batch's pixels hold until the next batch is asked for. One batch is fetched ahead, so an error of the
    loader's comes one batch early. Closing this closes `batches`.
    """
    if device.type == "cpu":
        yield from batches
    else:
        yield from one_ahead(batches, CudaLane(device))


class Lane(ABC, Generic[_Sent]):
    """A way to the device. Its methods enqueue work and do not wait for it."""

    @abstractmethod
    def send(self, batch: Batch) -> _Sent:
        """Start to copy `batch` into the buffer whose last batch is spent."""

    @abstractmethod
    def receive(self, sent: _Sent) -> Batch:
        """What was sent, for work that is enqueued from now on."""

    @abstractmethod
    def release(self, sent: _Sent) -> None:
        """All work on what was sent is enqueued: its buffer may be used again after that."""

    @abstractmethod
    def close(self) -> None:
        """Give the buffers up, whatever is still on its way."""


def one_ahead(batches: Iterable[Batch], lane: Lane[_Sent]) -> Generator[Batch, None, None]:
    """Hand out each batch once the one after it is on its way; at most two are on the device."""
    before: _Sent | None = None
    try:
        for batch in batches:
            sent = lane.send(batch)
            if before is not None:
                yield lane.receive(before)
                lane.release(before)
            before = sent
        if before is not None:
            yield lane.receive(before)
            lane.release(before)
    finally:
        lane.close()
        if isinstance(batches, Generator):
            batches.close()


@dataclass(frozen=True)
class _OnItsWay:
    batch: Batch
    buffer: int
    copied: torch.cuda.Event


class CudaLane(Lane[_OnItsWay]):
    """Copies on a stream of its own into two buffers of the training stream's memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: list[torch.Tensor | None] = [None] * _BUFFERS
        self._read: list[torch.cuda.Event | None] = [None] * _BUFFERS
        self._turn = 0

    def send(self, batch: Batch) -> _OnItsWay:
        """Copy behind whatever last read the buffer; the ring's buffer is free once the copy is done."""
        place, self._turn = self._turn, (self._turn + 1) % _BUFFERS
        target = self._room(place, batch.pixels)
        read = self._read[place]
        if read is not None:
            self._stream.wait_event(read)
        # The host sleeps where it waits for a buffer: the cores belong to the loader's threads.
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):
            target.copy_(batch.pixels, non_blocking=True)
        copied.record(self._stream)
        batch.buffer.copied_at(copied)
        return _OnItsWay(replace(batch, pixels=target), place, copied)

    def receive(self, sent: _OnItsWay) -> Batch:
        """The training stream goes on after the copy."""
        torch.cuda.current_stream(self._device).wait_event(sent.copied)
        return sent.batch

    def release(self, sent: _OnItsWay) -> None:
        """The next copy into this buffer starts after what the training stream has been given so far."""
        read = torch.cuda.Event()  # type: ignore[no-untyped-call]
        read.record(torch.cuda.current_stream(self._device))
        self._read[sent.buffer] = read

    def close(self) -> None:
        """Their memory goes back to the training stream, which must not use it before the last copy ended."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        self._buffers = [None] * _BUFFERS

    def _room(self, place: int, pixels: torch.Tensor) -> torch.Tensor:
        """As much of buffer `place` as `pixels` (N, ...) need: the first batch is the largest."""
        buffer = self._buffers[place]
        if buffer is None or len(buffer) < len(pixels):
            buffer = torch.empty(pixels.shape, dtype=pixels.dtype, device=self._device)
            # Before it was given to us, this memory may have been used by work that still runs.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            self._buffers[place] = buffer
        return buffer[: len(pixels)]
