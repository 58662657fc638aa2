"""A finished cell as a network that predicts, from Python: `from orchestrator import load_cell`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import Catalog
from catalog.queries.cells import cell_with_key, evaluations_of_cell
from catalog.storage.atomic import MissingStorageError
from catalog.storage.layout import unescaped
from catalog.storage.storage import Storage, default_storage, open_storage
from orchestrator.evaluation.cells import VideoSets, choose_cell
from orchestrator.evaluation.jobs import Wanted, check_checkpoint, make_job
from trainables.inference.classifier import Device, VideoClassifier
from trainables.recipe.cell_spec import Which
from trainables.recipe.local_files import fetch_run
from trainables.training.checkpoint import load_state

if TYPE_CHECKING:
    from orchestrator.evaluation.cells import FinishedCell
    from orchestrator.evaluation.jobs import EvaluationJob


@dataclass(frozen=True)
class Origin:
    """Where a loaded network comes from: what a model card says beside the recipe.

    `which` checkpoint of `epoch` it is, whose file has the hash `sha256`; `evaluations` are rows of the view
    of this name, in the words of the catalog; `versions` are those that trained it; `train_hash` and
    `val_hash` identify the videos, of which there are so many; `others` are finished cells that have the same
    name, and were not meant.
    """

    study: str
    superseded: bool
    which: Which
    epoch: int
    sha256: str
    train_hash: str
    val_hash: str
    train_videos: int
    val_videos: int
    evaluations: tuple[dict[str, Any], ...]
    versions: dict[str, str]
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadedCell(VideoClassifier):
    """A finished cell's network with the weights that its study reports, ready for videos."""

    origin: Origin | None = None

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.spec.cell

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.spec.key

    def validation_videos(self, count: int) -> tuple[Path, ...]:
        """At most `count` validation videos of its dataset whose files stand on this machine."""
        from trainables.data.frames.manifest import read_manifest

        videos = read_manifest(Path(self.spec.manifest)).split("val")
        paths = (Path(unescaped(video.path)) for video in videos)
        return tuple(islice((path for path in paths if path.is_file()), count))

    def __repr__(self) -> str:
        """One line: which cell of which study, and which checkpoint of it."""
        origin = self.origin
        if origin is None:
            return self.name
        older = " (superseded)" if origin.superseded else ""
        which = f"{origin.which} checkpoint, epoch {origin.epoch}"
        return f"{self.name} of study {origin.study}{older}, key {self.key[:12]}, {which}"


def load_cell(
    name: str,
    storage: str | Path | Storage | None = None,
    *,
    study: str | None = None,
    checkpoint: Which | None = None,
    device: Device = "auto",
) -> LoadedCell:
    """Load a finished cell for inference.

    Args:
        name: A cell's name, the beginning of its key, or a name without dataset or seed where one finished
            cell is called so, such as `TAM-ResNet50-tp-f16`.
        storage: Directory, `s3://…` or `gs://…`; default: $ACTIONGRID_STORAGE or ./actiongrid-storage.
        study: Only cells of this study.
        checkpoint: Whose weights; default: the checkpoint that the study reports, as figures do.
        device: `auto` takes a GPU if there is one.

    Returns:
        The network in evaluation mode with its class names, normalisation and sampling.

    Raises:
        CellChoiceError: no finished cell, or several where one was meant; it lists them.
        EvaluationError: its files or the manifest of its dataset are gone or damaged.
        CheckpointError: the weights do not match their checksum.
        MissingStorageError: nothing was ever stored there.
    """
    place = _opened(storage)
    with Catalog.open(place.root) as catalog:
        cell, others = choose_cell(catalog, name, study)
        rows = evaluations_of_cell(catalog, cell.key).to_pylist()
        (known,) = cell_with_key(catalog, cell.key).to_pylist()
    fetch_run(place, place.layout.run_dir(cell.cell, cell.key))
    job = make_job(cell, Wanted(checkpoint=checkpoint), place, VideoSets(place.layout))
    check_checkpoint(job.spec)
    return LoadedCell.of(
        job.spec.cell,
        job.videos.manifest.classes,
        job.videos.manifest.frame_format,
        load_state(Path(job.spec.checkpoint), job.spec.sha256)["model"],
        device,
        origin=_origin(cell, job, rows, others, superseded=not known["current"]),
    )


def _opened(storage: str | Path | Storage | None) -> Storage:
    from trainables.data.frames.transfer import fetch_manifests

    place = storage if isinstance(storage, Storage) else open_storage(str(storage or default_storage()))
    place.connect()
    fetch_manifests(place)
    if not place.exists():
        raise MissingStorageError.of(place.location)
    return place


def _origin(
    cell: FinishedCell,
    job: EvaluationJob,
    rows: list[dict[str, Any]],
    others: tuple[str, ...],
    *,
    superseded: bool,
) -> Origin:
    from trainables.training.result import read_result

    manifest, trained = job.videos.manifest, read_result(job.run_dir, cell.key)
    return Origin(
        study=cell.study,
        superseded=superseded,
        which=job.spec.which,
        epoch=job.spec.epoch,
        sha256=job.spec.sha256,
        train_hash=job.videos.train_hash,
        val_hash=job.videos.val_hash,
        train_videos=len(manifest.split("train")),
        val_videos=len(manifest.split("val")),
        evaluations=tuple(row for row in rows if row["checkpoint"] == job.spec.which),
        versions={} if trained is None else dict(trained.versions),
        others=others,
    )
