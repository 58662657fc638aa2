"""A trained network for videos of one's own: files in, classes with probabilities out.

A video is read exactly as a dataset's are (`trainables.data.ingest`): decoded whole in a process of its own
and judged, its frames kept as the training's were, in a temporary folder. What an evaluation measured of the
same file under the same protocol comes out again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch

from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import MANIFEST_FILE, SHARDS, escaped
from trainables.data.frames.manifest import Manifest, Quarantined, Video
from trainables.recipe.cell_spec import Average, CellSpec, Evaluation, resolved_protocol
from trainables.training.execution.device import Compute, Normalisation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trainables.data.clips.ring import Batch
    from trainables.data.frames.frame_format import FrameFormat
    from trainables.data.ingest.probe_worker import ProbeWorker
    from trainables.models.video_model import VideoModel

Device = Literal["auto", "cpu"]
"""`auto`: a GPU if there is one, in the precision that the recipe has on it; `cpu`: the CPU."""


class VideoError(ActionGridError):
    """A video file that cannot be used: missing, damaged, or no video."""

    failure_kind = FailureKind.DATA


@dataclass(frozen=True)
class UnusableVideo:
    """A file that is no usable video, and why; `path` is text (`catalog.storage.layout.escaped`)."""

    path: str
    reason: str


@dataclass(frozen=True)
class VideoPrediction:
    """What a network says of one video: `logits` and `probabilities` (K,) over `classes`.

    `logits` are the mean over the `views`; `probabilities` are their softmax, or, where probabilities were
    averaged, the mean of each view's. `frames` were decoded.
    """

    path: str
    frames: int
    views: int
    classes: tuple[str, ...]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def top(self, count: int = 5) -> tuple[tuple[str, float], ...]:
        """The `count` most probable classes with their probabilities, the first one first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return tuple((self.classes[place], float(self.probabilities[place])) for place in order)


@dataclass(frozen=True)
class _Read:
    """A video whose frames lie in `folder`, as a dataset of its own."""

    video: Video
    folder: Path
    frame_format: FrameFormat


_ReadVideos = Generator[_Read | UnusableVideo, None, None]


@dataclass(frozen=True)
class VideoClassifier:
    """A network in evaluation mode, and all that turns a video into its input.

    `spec` is the cell that it was trained as; its `evaluation` is the protocol that is not told otherwise.
    `frame_format` is how the frames of its training videos were kept.
    """

    spec: CellSpec
    classes: tuple[str, ...]
    frame_format: FrameFormat
    model: VideoModel
    compute: Compute

    @classmethod
    def of(
        cls,
        spec: CellSpec,
        classes: tuple[str, ...],
        frame_format: FrameFormat,
        tensors: dict[str, torch.Tensor],
        device: Device = "auto",
        **more: Any,  # noqa: ANN401 - the further fields of a subclass
    ) -> Self:
        """The network of `spec` with these weights, on its device.

        Raises:
            ParentMismatchError: the tensors are those of another architecture.
        """
        compute = _compute(spec, device)
        return cls(spec, classes, frame_format, _network(spec, tensors, compute), compute, **more)

    @property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of RGB in [0, 1] that the input is normalised with."""
        return Normalisation.of(self.spec.module, self.spec.backbone)

    @property
    def protocol(self) -> Evaluation:
        """The evaluation protocol of the cell: which frames, how many clips and crops, sizes in pixels."""
        return self.spec.evaluation

    def predict(
        self, video: str | Path, *, average: Average = "logits", **protocol: object
    ) -> VideoPrediction:
        """What the network says of one video file.

        `protocol` names fields of `Evaluation`, such as `clips=10, crops=3`; the others are the cell's own.

        Raises:
            VideoError: the file is missing, damaged, or no video.
            ProtocolError: a protocol that no video can be measured with.
        """
        (found,) = self.predict_all([video], average=average, **protocol)
        if isinstance(found, UnusableVideo):
            raise VideoError(found.reason, found.path, "give another file")
        return found

    def predict_all(
        self, videos: Iterable[str | Path], *, average: Average = "logits", **protocol: object
    ) -> Iterator[VideoPrediction | UnusableVideo]:
        """The same for many files, one after another; an unusable one does not stop the others.

        Raises:
            ProtocolError: a protocol that no video can be measured with.
            StoreWriteError: the folder for temporary files is full.
        """
        evaluation = resolved_protocol(self.protocol, protocol)
        return (
            self._predicted(one, evaluation, average) if isinstance(one, _Read) else one
            for one in _read_each(videos, self.frame_format)
        )

    def clips(self, video: str | Path, **protocol: object) -> torch.Tensor:
        """The model's input for one video: all views, float (clips x crops, 3, T, S, S), normalised.

        Raises:
            VideoError, ProtocolError: as `predict`.
        """
        (found,) = self.clips_of_all([video], **protocol)
        if isinstance(found, UnusableVideo):
            raise VideoError(found.reason, found.path, "give another file")
        return found

    def clips_of_all(
        self, videos: Iterable[str | Path], **protocol: object
    ) -> Iterator[torch.Tensor | UnusableVideo]:
        """The same for many files, one after another; an unusable one does not stop the others.

        Raises:
            ProtocolError, StoreWriteError: as `predict_all`.
        """
        evaluation = resolved_protocol(self.protocol, protocol)
        return (
            self.compute.inputs(self._batch(one, evaluation), self.normalisation).clone()
            if isinstance(one, _Read)
            else one
            for one in _read_each(videos, self.frame_format)
        )

    def _batch(self, read: _Read, evaluation: Evaluation) -> Batch:
        from trainables.data.clips.loader import eval_batches
        from trainables.data.frames.store_reader import open_reader

        manifest = Manifest("video", self.classes, (read.video,), frame_format=read.frame_format)
        reader = open_reader(manifest, read.folder / MANIFEST_FILE, memory_bytes=0)
        frames, threads = self.spec.frames, self.spec.threads
        (batch,) = eval_batches((read.video,), evaluation, frames, reader, rank=0, world=1, threads=threads)
        return batch

    def _predicted(self, read: _Read, evaluation: Evaluation, average: Average) -> VideoPrediction:
        from trainables.training.evaluate import in_pieces

        batch = self._batch(read, evaluation)
        with self.compute.backends(), torch.inference_mode():
            clips = self.compute.inputs(batch, self.normalisation)
            with self.compute.autocast():
                views = in_pieces(self.model, clips, evaluation.batch_size).float()
            logits = views.mean(dim=0)
            softmax = logits.softmax(dim=0) if average == "logits" else views.softmax(dim=1).mean(dim=0)
        return VideoPrediction(
            path=read.video.path,
            frames=read.video.frames,
            views=batch.views,
            classes=self.classes,
            logits=logits.cpu().numpy(),
            probabilities=softmax.cpu().numpy(),
        )


def _compute(spec: CellSpec, device: Device) -> Compute:
    if device == "cpu":
        return Compute(torch.device("cpu"), spec.recipe.precision == "bf16")
    return Compute.choose(spec.recipe, 0)


def _network(spec: CellSpec, tensors: Mapping[str, torch.Tensor], compute: Compute) -> VideoModel:
    """The network with its weights, in evaluation mode; nobody's random numbers are drawn."""
    from trainables.training.initialise import initial_model, load_strictly

    with torch.random.fork_rng(devices=[]):
        model = initial_model(spec, None, compute, 0).model
    load_strictly(model, dict(tensors), spec.cell)
    return compute.place(model).eval()


def _read_each(
    videos: Iterable[str | Path], frame_format: FrameFormat
) -> Generator[_Read | UnusableVideo, None, None]:
    """Each file as it is read; its frames stand until the next one is asked for."""
    from trainables.data.ingest.probe_worker import ProbeWorker

    with closing(ProbeWorker()) as worker:
        for path in videos:
            with TemporaryDirectory(prefix="actiongrid-video-") as folder:
                yield _read(Path(path), worker, Path(folder), frame_format)


def _read(path: Path, worker: ProbeWorker, folder: Path, frame_format: FrameFormat) -> _Read | UnusableVideo:
    from trainables.data.datasets.base import Entry
    from trainables.data.ingest.batch import BatchRecord, BatchTask, ingest
    from trainables.data.ingest.checked import checked_video

    if path.is_dir():
        return UnusableVideo(escaped(str(path)), "a folder: name the files in it")
    task = BatchTask(0, (path,), folder / SHARDS, folder / "spool", frame_format)
    (record,) = [event for event in ingest(task, worker) if isinstance(event, BatchRecord)]
    video = checked_video(Entry(path, "val", 0), record.videos[0], frame_format, min_frames=1)
    if isinstance(video, Quarantined):
        return UnusableVideo(escaped(str(path)), video.reason)
    return _Read(video, folder, frame_format)
