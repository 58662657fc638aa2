"""What the benchmarks of a whole cell share: a store of generated videos, and a cell that trains on it.

The cell is `trainables.training.session.CellSession`, that is what `actiongrid run` trains: its switches, its
ring, its upload. The store holds few videos, listed often: it is in the page cache, so no disk is measured.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.loader import SHAPES, Shape, prepare
from catalog.storage.layout import SHARDS
from orchestrator.planning.measurement_files import model_named
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, Video, read_manifest, write_manifest
from trainables.models.macs import model_cost
from trainables.recipe.cell_spec import CellSpec, Evaluation, Recipe

if TYPE_CHECKING:
    import torch

    from trainables.data.clips.ring import Batch, ClipRing
    from trainables.data.frames.reader import FrameReader
    from trainables.training.session import CellSession

CLASSES = 200
# Enough that no epoch ends within a measurement: its end would be measured too.
LISTED = 200_000
ALL_SHAPES = SHAPES | {
    "tiny": Shape(96, 80, 8, 16, "libx264", "mp4", {"crf": "23", "preset": "ultrafast"}),
}


@dataclass(frozen=True)
class Setting:
    """One cell to measure. `model` is named as cells are, such as TAM-ResNet50-tp; sizes are in pixels."""

    model: str
    frames: int
    batch: int
    crop: int = 224
    threads: int = 1

    @property
    def place(self) -> tuple[str, str, bool]:
        """Module, backbone and temporal pooling.

        Raises:
            RatesError: no such model.
        """
        return model_named(self.model, Path("--model"), 1)

    @property
    def macs(self) -> int:
        """Of one clip's forward pass."""
        return model_cost(*self.place, self.frames, CLASSES, self.crop).macs


def make_store(shape: str, folder: Path) -> Path:
    """Generated videos of this shape as a frame store; the path of its manifest."""
    made = prepare(ALL_SHAPES[shape], folder)
    videos = tuple(replace(video, label=at % CLASSES) for at, video in enumerate(made.videos))
    both = (*videos, *(replace(video, split="val") for video in videos))
    classes = tuple(f"class {number}" for number in range(CLASSES))
    manifest = Manifest("generated", classes, both, frame_format=FrameFormat())
    write_manifest(manifest, folder / "manifest.parquet")
    return folder / "manifest.parquet"


def listed(manifest: Path, split: str, videos: int = LISTED) -> tuple[Video, ...]:
    """The store's few videos, again and again."""
    own = [video for video in read_manifest(manifest).videos if video.split == split]
    return tuple(own * -(-videos // len(own)))[:videos]


@dataclass(frozen=True)
class Source:
    """What a cell's loader draws its batches from, at one size of ring."""

    spec: CellSpec
    videos: tuple[Video, ...]
    reader: FrameReader
    ring: ClipRing

    @classmethod
    def of(cls, spec: CellSpec, *, pin: bool) -> Source:
        """The listed videos of the spec's store; decoded pictures are not kept."""
        from trainables.data.clips.loader import train_ring
        from trainables.data.frames.store_reader import FrameStoreReader

        manifest = Path(spec.manifest)
        videos = listed(manifest, "train")
        ring = train_ring(videos, spec.recipe, spec.frames, 1, pin)
        return cls(spec, videos, FrameStoreReader(manifest.parent / SHARDS), ring)

    def batches(self, threads: int) -> Generator[Batch, None, None]:
        """The loader's batches for ever, in the ring."""
        from trainables.data.clips.loader import train_batches

        spec = self.spec
        for epoch in count(1):
            yield from train_batches(
                self.videos,
                spec.recipe,
                spec.frames,
                self.reader,
                seed=spec.seed,
                epoch=epoch,
                rank=0,
                world=1,
                threads=threads,
                ring=self.ring,
            )


@dataclass(frozen=True)
class Cell:
    """A cell as a worker opens it, and what feeds it."""

    setting: Setting
    session: CellSession
    source: Source

    @classmethod
    def open(cls, setting: Setting, manifest: Path, run_dir: Path) -> Cell:
        """Build the model on its device."""
        import torch

        from trainables.training.session import CellSession

        torch.set_num_threads(1)
        spec = spec_of(setting, manifest, run_dir)
        session = CellSession.open(spec, rank=0, world=1, local_rank=0)
        source = Source.of(spec, pin=session.compute.device.type == "cuda")
        return cls(setting, session, source)

    @property
    def device_name(self) -> str:
        """As results name it."""
        from trainables.training.result import hardware

        return str(hardware(self.session.compute, 1)["device"])


def spec_of(setting: Setting, manifest: Path, run_dir: Path) -> CellSpec:
    """The cell's configuration: the reference recipe from random weights."""
    module, backbone, pooled = setting.place
    return CellSpec(
        cell=f"{setting.model}-f{setting.frames}@generated",
        key="0" * 32,
        module=module,
        backbone=backbone,
        temporal_pooling=pooled,
        frames=setting.frames,
        dataset="generated",
        seed=0,
        num_classes=CLASSES,
        recipe=Recipe(init="random", batch_size=setting.batch, crop_size=setting.crop),
        evaluation=Evaluation(crop_size=setting.crop, short_side=setting.crop + setting.crop // 8),
        manifest=str(manifest),
        run_dir=str(run_dir),
        threads=setting.threads,
    )


class Clock:
    """How long the training stream was busy with steps, by events on it; on a CPU by the wall clock.

    A step's time goes from where the stream reaches its first operation to its last: gaps between the
    kernels within a step count as busy, waiting for the next batch does not.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self._cuda = torch.cuda if device.type == "cuda" else None
        self._marks: list[tuple[Any, Any]] = []
        self._begun: Any = None
        self._given: deque[Any] = deque()

    def begin(self) -> None:
        """A step is about to be given to the device."""
        self._begun = self._mark()

    def end(self) -> None:
        """It has been given."""
        self._marks.append((self._begun, self._mark()))

    def wait(self) -> None:
        """Until all that was given to the device is done."""
        if self._cuda is not None:
            self._cuda.synchronize()

    def at_most_ahead(self, steps: int) -> None:
        """Wait until no more than so many steps are left to be done; called after each step."""
        if self._cuda is None:
            return
        self._given.append(self._mark())
        if len(self._given) > steps:
            self._given.popleft().synchronize()

    def busy_seconds(self) -> float:
        """Sum over the steps."""
        self.wait()
        if self._cuda is None:
            return float(sum(end - begun for begun, end in self._marks))
        return sum(begun.elapsed_time(end) for begun, end in self._marks) / 1000

    def _mark(self) -> Any:  # noqa: ANN401 - an event, or seconds
        if self._cuda is None:
            return time.perf_counter()
        event = self._cuda.Event(enable_timing=True, blocking=True)
        event.record()
        return event


def tflops(setting: Setting, clips_per_s: float) -> float:
    """Achieved by a training step, at 6 FLOPs a MAC and clip."""
    return 6 * setting.macs * clips_per_s / 1e12


def use_device(device: str) -> None:
    """Hide the GPUs where the CPU is wanted; before torch is imported.

    Raises:
        SystemExit: a GPU is wanted and there is none.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SystemExit("error: no GPU; --device cuda; say --device cpu")


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print the rows as a JSON list, or a line each."""
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
