"""The way to the device, on streams that are simulated: real loader, real ring, the real `CudaLane`.

What a GPU would do later is kept in queues, one a stream, and done as late as an adversary may: a copy that
comes before the buffer was read, or after the loader wrote the buffer anew, gives wrong pixels here too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from trainables.data.clips.loader import eval_batches, train_batches, train_ring
from trainables.data.clips.resample import views_one_by_one
from trainables.data.clips.ring import Batch, ClipRing
from trainables.data.frames.manifest import Manifest, read_manifest
from trainables.data.frames.reader import DecordReader, ReadError
from trainables.recipe.cell_spec import Evaluation, Recipe
from trainables.training.execution import upload
from trainables.training.execution.upload import CudaLane, one_ahead, uploaded

RECIPE = Recipe(batch_size=2, crop_size=32, crop_scales=(1.0, 0.875))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def toy(toy_data: Path) -> Manifest:
    return read_manifest(toy_data / "manifest.parquet")


class Event:
    """Done once its record has been reached."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.done = False

    def record(self, stream: Stream) -> None:
        stream.operations.append(Operation(lambda: setattr(self, "done", True)))

    def synchronize(self) -> None:
        self.machine.run(until=self)


@dataclass(frozen=True)
class Operation:
    """Something that a stream does once `after` is done."""

    do: Callable[[], object]
    after: Event | None = None


@dataclass
class Stream:
    name: str
    machine: Machine
    operations: deque[Operation] = field(default_factory=deque)

    def wait_event(self, event: Event) -> None:
        self.operations.append(Operation(lambda: None, after=event))

    def wait_stream(self, other: Stream) -> None:
        event = Event(self.machine)
        event.record(other)
        self.wait_event(event)


class Machine(TorchFunctionMode):
    """Stands for `torch.cuda`: copies are queued on the stream that is current, and done by `run`."""

    def __init__(self, order: Sequence[str]) -> None:
        super().__init__()
        self.streams = {name: Stream(name, self) for name in ("main", "side")}
        self.order = order
        self.current = self.streams["main"]
        self.busy: list[str] = []

    def Stream(self, device: torch.device) -> Stream:  # noqa: N802 - torch's name
        return self.streams["side"]

    def Event(self, **settings: object) -> Event:  # noqa: N802
        return Event(self)

    def current_stream(self, device: torch.device) -> Stream:
        return self.current

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.copy_:
            assert kwargs == {"non_blocking": True}
            self.current.operations.append(Operation(lambda: args[0].copy_(args[1])))
            return args[0]
        return func(*args, **(kwargs or {}))

    def run(self, until: Event | None = None) -> None:
        """Do what can be done, the streams in their order of preference, until an event or the end."""
        while until is None or not until.done:
            ready = (self.streams[name] for name in self.order)
            stream = next((one for one in ready if one.operations and _may_start(one.operations[0])), None)
            if stream is None:
                assert until is None, "the host waits for what nobody will do"
                break
            operation = stream.operations.popleft()
            with torch._C.DisableTorchFunction():
                operation.do()
        left = [one.name for one in self.streams.values() if one.operations]
        assert until is not None or left == [], "a stream waits for what nobody will do"


def _may_start(operation: Operation) -> bool:
    return operation.after is None or operation.after.done


@pytest.fixture(params=[("side", "main"), ("main", "side")], ids=["eager copies", "late copies"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(request.param)
    for name in ("Stream", "Event", "current_stream", "stream"):
        monkeypatch.setattr(upload.torch.cuda, name, getattr(made, name))
    return made


def batches_of(toy: Manifest, ring: ClipRing | None = None, epoch: int = 1) -> Generator[Batch, None, None]:
    videos = toy.split("train")
    keywords: dict[str, Any] = {"seed": 0, "epoch": epoch, "rank": 0, "world": 1, "threads": 2}
    return train_batches(videos, RECIPE, 8, DecordReader(), ring=ring, **keywords)


def made(batch: Batch) -> torch.Tensor:
    """The views: what lies beside the cuts in a buffer is left from before."""
    return views_one_by_one(batch.pixels, batch.cuts, batch.size)


def read_later(machine: Machine, batch: Batch, seen: list[torch.Tensor]) -> None:
    """The step: the host only says what is to be read, the device reads it some time later."""
    machine.streams["main"].operations.append(Operation(lambda: seen.append(made(batch))))


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("slots", [3, 4])
def test_what_arrives_is_what_was_loaded_however_late_the_device_is(
    toy: Manifest, machine: Machine, slots: int
) -> None:
    expected = [made(batch) for batch in batches_of(toy)]
    assert len(expected) == 8
    ring = ClipRing(train_ring(toy.split("train"), RECIPE, 8, 1, pin=False).shape, slots)
    seen: list[torch.Tensor] = []
    with machine:
        for epoch in (1, 1):  # the ring and its events serve the next epoch too
            for batch in one_ahead(batches_of(toy, ring, epoch), CudaLane(CPU)):
                read_later(machine, batch, seen)
        machine.run()
    assert len(seen) == 16
    for found, wanted in zip(seen, expected * 2, strict=True):
        assert torch.equal(found, wanted)


def test_only_two_buffers_are_used_in_turn(toy: Manifest, machine: Machine) -> None:
    with machine:
        places = [batch.pixels.data_ptr() for batch in one_ahead(batches_of(toy), CudaLane(CPU))]
        machine.run()
    assert len(set(places)) == 2
    assert places[2:] == places[:-2]


def test_parts_of_a_batch_for_accumulation_lie_in_the_same_buffer(toy: Manifest, machine: Machine) -> None:
    expected = [made(batch) for batch in batches_of(toy)]
    seen: list[torch.Tensor] = []
    with machine:
        for batch in one_ahead(batches_of(toy), CudaLane(CPU)):
            parts = list(batch.chunks(2))
            assert [part.labels.tolist() for part in parts] == [[label] for label in batch.labels.tolist()]
            for part in parts:
                read_later(machine, part, seen)
        machine.run()
    assert torch.equal(torch.cat(seen), torch.cat(expected))


def test_a_smaller_last_batch_takes_a_part_of_its_buffer(toy: Manifest, machine: Machine) -> None:
    videos = toy.split("val")[:7]
    evaluation = Evaluation(crop_size=32, short_side=36, batch_size=3)

    def loaded() -> Generator[Batch, None, None]:
        return eval_batches(videos, evaluation, 8, DecordReader(), rank=0, world=1)

    expected = [made(batch) for batch in loaded()]
    seen: list[torch.Tensor] = []
    with machine:
        for batch in one_ahead(loaded(), CudaLane(CPU)):
            read_later(machine, batch, seen)
        machine.run()
    assert [len(one) for one in seen] == [3, 3, 1]
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


class Diary:
    """A lane that writes down what it is told; nothing is copied."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.sent = 0

    def send(self, batch: Batch) -> tuple[int, Batch]:
        self.lines.append(f"send {self.sent}")
        self.sent += 1
        return self.sent - 1, batch

    def receive(self, sent: tuple[int, Batch]) -> Batch:
        self.lines.append(f"arrive {sent[0]}")
        return sent[1]

    def release(self, sent: tuple[int, Batch]) -> None:
        self.lines.append(f"spent {sent[0]}")

    def close(self) -> None:
        self.lines.append("close")


def test_the_next_batch_is_on_its_way_before_a_batch_is_handed_out(toy: Manifest) -> None:
    diary = Diary()
    for at, _ in enumerate(one_ahead(batches_of(toy), diary)):  # type: ignore[arg-type]
        diary.lines.append(f"step {at}")
    assert diary.lines[:9] == [
        *("send 0", "send 1", "arrive 0", "step 0"),
        *("spent 0", "send 2", "arrive 1", "step 1", "spent 1"),
    ]
    assert diary.lines[-4:] == ["arrive 7", "step 7", "spent 7", "close"]
    most = sent = spent = 0
    for line in diary.lines:
        sent, spent = sent + line.startswith("send"), spent + line.startswith("spent")
        most = max(most, sent - spent)
    assert (sent, spent, most) == (8, 8, 2)


def test_closing_early_ends_the_loader_and_the_lane(toy: Manifest) -> None:
    diary = Diary()
    batches = one_ahead(batches_of(toy), diary)  # type: ignore[arg-type]
    next(batches)
    assert loader_threads() != []
    batches.close()
    assert diary.lines == ["send 0", "send 1", "arrive 0", "close"]
    assert loader_threads() == []


def test_an_error_of_the_loader_comes_through_and_nothing_stays(toy: Manifest) -> None:
    def failing() -> Generator[Batch, None, None]:
        with_error = batches_of(toy)
        yield next(with_error)
        yield next(with_error)
        with_error.close()
        raise ReadError("lost; video; restore it")

    diary, seen = Diary(), 0
    with pytest.raises(ReadError, match="lost"):
        for _ in one_ahead(failing(), diary):  # type: ignore[arg-type]
            seen += 1
    assert seen == 1, "one batch early"
    assert diary.lines[-1] == "close"
    assert loader_threads() == []


def test_a_step_that_fails_leaves_nothing_behind(toy: Manifest) -> None:
    diary = Diary()

    def train() -> None:
        batches = one_ahead(batches_of(toy), diary)  # type: ignore[arg-type]
        try:
            for _ in batches:
                raise MemoryError
        finally:
            batches.close()

    with pytest.raises(MemoryError):
        train()
    assert diary.lines[-1] == "close"
    assert loader_threads() == []


def test_on_a_cpu_the_batches_are_the_very_same(toy: Manifest) -> None:
    given = list(batches_of(toy))[:3]
    assert all(one is other for one, other in zip(uploaded(given, CPU), given, strict=True))
    batches = batches_of(toy)
    through = uploaded(batches, CPU)
    next(through)
    assert loader_threads() != []
    through.close()
    assert loader_threads() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_too(toy: Manifest) -> None:
    device = torch.device("cuda", 0)
    expected = [made(batch) for batch in batches_of(toy)]
    ring = train_ring(toy.split("train"), RECIPE, 8, 1, pin=True)
    assert ring.count == 4
    for _ in range(3):
        batches = uploaded(batches_of(toy, ring), device)
        seen = [made(replace(batch, pixels=batch.pixels.cpu())) for batch in batches]
        assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))
