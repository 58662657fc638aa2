"""A first study for a folder of one's own videos: what lies there, what suits it, and the commented file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from catalog.names import count_text
from catalog.storage.sizes import bytes_text
from trainables.data.datasets import OFFICIAL, Listing
from trainables.data.datasets.base import DatasetError
from trainables.data.datasets.listing import list_dataset
from trainables.data.datasets.own_files import CsvDataset, FolderDataset, SplitFolders

_PROBED = 12  # videos
_LONG_SECONDS = 30.0
_COMMENTS = 32  # the column that they begin after
_LARGE_CROP, _SMALL_CROP = 224, 112
_FEWEST_EPOCHS, _MOST_EPOCHS = 15, 100
_STEPS = 200
"""Steps of the optimiser that a first training has at least: after 30, results were still at chance."""
_SIDED = re.compile(r"(?<![a-z])(left|right|(counter|anti)?-?clockwise)(?![a-z])", re.IGNORECASE)

Splits = SplitFolders | Literal["none"] | None


@dataclass(frozen=True)
class VideoFacts:
    """What a video's header says: pictures, seconds, and the shorter side in pixels."""

    frames: int
    seconds: float
    short_side: int


@dataclass(frozen=True)
class Found:
    """What lies in a folder, or is listed in a file, as a study declares it; `probed` are some of it."""

    config: FolderDataset | CsvDataset
    listing: Listing
    bytes: int
    probed: tuple[VideoFacts, ...]
    unreadable: int

    split_is_given: bool = False

    def videos(self, split: str) -> int:
        """How many videos of `train` or `val` are listed."""
        return sum(entry.split == split for entry in self.listing.entries)


def look_at(source: Path, splits: Splits = None) -> Found:
    """List the videos of a folder or CSV file, and read the headers of some that lie evenly spaced.

    Raises:
        DatasetError: it cannot be read as a dataset; says what to do.
    """
    config, listing = _listed(source, splits)
    paths = [entry.path for entry in listing.entries]
    step = -(-len(paths) // _PROBED)
    read = [_facts(path) for path in paths[::step]]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    known = tuple(one for one in read if one is not None)
    return Found(config, listing, size, known, len(read) - len(known), _split_is_given(config, listing))


def _split_is_given(config: FolderDataset | CsvDataset, listing: Listing) -> bool:
    """Whether folders or a column say which videos are for validation: then no share of them is drawn."""
    if len(listing.entries) <= 2 * len(listing.classes):
        return False  # any share draws one of two
    other = list_dataset(config.model_copy(update={"val_fraction": 0.9}))
    return other.entries == listing.entries


def _listed(source: Path, splits: Splits) -> tuple[FolderDataset | CsvDataset, Listing]:
    if source.is_file():
        listed = CsvDataset(path=str(source))
        return listed, list_dataset(listed)
    config = FolderDataset(path=str(source), splits=splits)
    try:
        return config, list_dataset(config)
    except DatasetError as error:
        without = config.model_copy(update={"allow_empty_classes": True})
        try:
            return without, list_dataset(without)
        except DatasetError:
            raise error from None


def _facts(path: Path) -> VideoFacts | None:
    """None where the file is no video that could be opened; `run` says what is wrong with each."""
    import av

    from catalog.storage.errors import ActionGridError
    from trainables.data.ingest.decode import open_pyav

    try:
        with open_pyav(str(path)) as (container, stream):
            rate = float(stream.average_rate or 0)
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or round(seconds * rate)
            return VideoFacts(frames, seconds or frames / max(rate, 1.0), min(stream.width, stream.height))
    except (av.error.FFmpegError, ActionGridError, OSError, ValueError):
        return None


@dataclass(frozen=True)
class Choices:
    """What suits the videos and the machine."""

    backbone: str
    frames: tuple[int, ...]
    crop: int
    short_side: int
    dense_rate: int | None
    batch: int
    gpu: bool
    epochs: int = _FEWEST_EPOCHS

    @property
    def continued_epochs(self) -> int:
        """Of cells that start from another's checkpoint."""
        return max(8, -(-self.epochs // 3))


def choose(found: Found, *, gpu: bool) -> Choices:
    """A study that ends soon: a small model where there is no GPU, crops that the videos have pixels for.

    Two lengths where three of four videos have pictures for both; dense sampling where most are long.
    """
    sides = [one.short_side for one in found.probed] or [256]
    lengths = sorted(one.frames for one in found.probed) or [64]
    crop = min(_LARGE_CROP if gpu else _SMALL_CROP, max(32, min(sides) // 16 * 16))
    videos = found.videos("train")
    batch = max(2, min(16, videos // 2, max(4, videos // 4)))
    is_long = bool(found.probed) and median(one.seconds for one in found.probed) > _LONG_SECONDS
    return Choices(
        backbone="resnet18" if gpu else "tiny",
        frames=(8, 16) if lengths[len(lengths) // 4] >= 16 else (8,),
        crop=crop,
        short_side=round(crop * 8 / 7),
        dense_rate=8 if is_long else None,
        batch=batch,
        gpu=gpu,
        epochs=min(max(_FEWEST_EPOCHS, -(-_STEPS // _steps_an_epoch(found, batch))), _MOST_EPOCHS),
    )


def study_name(source: Path) -> str:
    """A name for the study and its dataset after the folder's own; never one of an official dataset."""
    plain = re.sub(
        r"[^A-Za-z0-9._-]+", "-", source.resolve().stem if source.is_file() else source.resolve().name
    )
    name = plain.strip("-._") or "videos"
    return f"{name}-own" if name in OFFICIAL else name


def facts_lines(found: Found) -> list[str]:
    """What was found, in words: videos by split, classes and their sizes, lengths and sides of some."""
    listing = found.listing
    by_class = Counter(entry.label for entry in listing.entries)
    fewest, most = min(by_class.values()), max(by_class.values())
    videos = f"{len(listing.entries)} videos ({bytes_text(found.bytes)})"
    spread = f"{fewest} to {most}" if fewest < most else str(most)
    lines = [
        f"{videos} in {len(listing.classes)} classes of {spread} videos",
        f"{found.videos('train')} videos to train on, {found.videos('val')} to validate on",
    ]
    if found.probed:
        seconds = sorted(one.seconds for one in found.probed)
        sides = sorted(one.short_side for one in found.probed)
        frames = sorted(one.frames for one in found.probed)
        lines.append(
            f"{len(found.probed)} of them looked into: {seconds[0]:.1f} to {seconds[-1]:.1f} s, "
            f"{frames[0]} to {frames[-1]} frames, shorter side {sides[0]} to {sides[-1]} px"
        )
    if found.unreadable:
        lines.append(f"{found.unreadable} that were looked into cannot be opened: a run leaves such out")
    lines += [f"unusable: {count_text(len(listing.left_out), 'file')}"] * bool(listing.left_out)
    return [*lines, *listing.notes]


def study_text(name: str, path: str, found: Found, chosen: Choices) -> str:
    """The study's file: YAML that `plan` accepts, each choice with its reason. `path` is as it is written."""
    sections = [
        _head(name, found),
        _axes(name, chosen),
        _datasets(name, path, found),
        _recipe(chosen, found),
        _evaluation(chosen),
        _resources(chosen),
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _line(text: str, why: str = "") -> str:
    """A line of the file with the reason beside it."""
    return f"{text:<{_COMMENTS}} # {why}" if why else text


def _head(name: str, found: Found) -> list[str]:
    return [
        "# A first study, small enough to end soon; the published recipe: docs/protocol.md.",
        "# What was found:",
        *(f"#   {line}" for line in facts_lines(found)),
        f"name: {json.dumps(name)}",
        "# The validation videos choose the epoch that training with longer clips starts from, which makes",
        "# accuracies a little too good. With the next line a tenth of the training videos chooses instead:",
        "# choose_on: 10%",
    ]


def _axes(name: str, chosen: Choices) -> list[str]:
    larger = "also: inception_v1, resnet50, resnet101" if chosen.gpu else "with a GPU: resnet18, resnet50, …"
    return [
        _line("axes:", "every combination is a cell: one training"),
        _line("  module: [tsn, tam]", "how frames meet; also: s3d, i3d"),
        _line(f"  backbone: [{chosen.backbone}]", larger),
        _line("  temporal_pooling: [false]", "[false, true] tries both"),
        _line(
            f"  frames: {list(chosen.frames)}",
            "of a clip, multiples of 8; a longer one starts from a shorter",
        ),
        f"  dataset: [{json.dumps(name)}]",
        _line("  seed: [0]", "three or more, [0, 1, 2], show the spread by chance; two say little"),
    ]


def _datasets(name: str, path: str, found: Found) -> list[str]:
    config = found.config
    lines = ["datasets:", f"  {json.dumps(name)}:", f"    kind: {config.kind}"]
    lines.append(f"    path: {json.dumps(path, ensure_ascii=False)}")
    if isinstance(config, FolderDataset):
        if isinstance(config.splits, SplitFolders):
            lines.append(f"    splits: {json.dumps(config.splits.model_dump(), ensure_ascii=False)}")
        elif config.splits:
            lines.append(_line("    splits: none", "each folder is a class"))
        if config.allow_empty_classes:
            lines.append(_line("    allow_empty_classes: true", "class folders without a video are left out"))
    says = "the file's column says" if isinstance(config, CsvDataset) else "the folders of the splits say"
    drawn = _line("    val_fraction: 0.2", "of each class, by the videos' names, for validation")
    split = f"    # {says} which videos are for validation" if found.split_is_given else drawn
    return [
        *lines,
        split,
        _line("    allow_missing: 0.2", "more damaged videos than this share stop the build"),
    ]


def _flip(found: Found) -> str:
    """Whether clips are mirrored: not where a class is told from another by left and right."""
    sided = next((name for name in found.listing.classes if _SIDED.search(name)), None)
    if sided is None:
        return _line("    flip: 0.5", "0.0 where left and right tell classes apart")
    return _line("    flip: 0.0", f"clips are not mirrored: class {json.dumps(sided, ensure_ascii=False)}")


def _recipe(chosen: Choices, found: Found) -> list[str]:
    imagenet = _line("    init: imagenet", "downloaded, or from --weights-dir")
    random = _line("    init: random", "there are no ImageNet weights for `tiny`")
    lines = [
        _line("recipe:", "what is not given here follows the published protocol"),
        "  base:",
        imagenet if chosen.gpu else random,
        f"    batch_size: {chosen.batch}",
        "    lr: 0.01",
        _line(f"    crop_size: {chosen.crop}", "pixels: no larger than the videos that were looked into"),
        _flip(found),
    ]
    if chosen.dense_rate:
        lines.append(_line("    sampling: dense", "the videos are long: frames near each other"))
        lines.append(_line(f"    sampling_rate: {chosen.dense_rate}", "every so many frames"))
    return [
        *lines,
        _line(f"  starter: {{epochs: {chosen.epochs}}}", f"the first cell of a chain{_steps(chosen, found)}"),
        _line(f"  finetune: {{epochs: {chosen.continued_epochs}}}", "those that start from its checkpoint"),
    ]


def _steps_an_epoch(found: Found, batch: int) -> int:
    return max(1, found.videos("train") // batch)


def _steps(chosen: Choices, found: Found) -> str:
    """How many steps the epochs are, where there are more of them because there are few videos."""
    if chosen.epochs == _FEWEST_EPOCHS:
        return ""
    steps = chosen.epochs * _steps_an_epoch(found, chosen.batch)
    return f": {steps} steps, fewer of so few videos learn nothing"


def _evaluation(chosen: Choices) -> list[str]:
    uniform = [_line("  sampling: uniform", "frames evenly spaced over the whole video"), "  clips: 1"]
    dense = ["  sampling: dense", f"  sampling_rate: {chosen.dense_rate}"]
    return [
        "evaluation:",
        *([*dense, _line("  clips: 4", "along the video, averaged")] if chosen.dense_rate else uniform),
        f"  crop_size: {chosen.crop}",
        f"  short_side: {chosen.short_side}",
        f"  batch_size: {chosen.batch}",
    ]


def _resources(chosen: Choices) -> list[str]:
    held = (
        "cpus_per_worker: 4, gpus_per_worker: 1" if chosen.gpu else "cpus_per_worker: 1, gpus_per_worker: 0"
    )
    return [
        _line("resources:", "what one cell holds; as many cells run at once as fit"),
        f"  default: {{workers: 1, {held}}}",
    ]


def path_beside(source: Path, study: Path) -> str:
    """How a study names its videos: from its own folder where they lie in it, else whole."""
    whole, folder = source.resolve(), study.resolve().parent
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)


def told_splits(text: str | None) -> Splits:
    """What `--splits` says: `none`, or the folders `TRAIN,VAL`.

    Raises:
        DatasetError: neither.
    """
    if text is None or text == "none":
        return "none" if text else None
    names: Sequence[str] = [part.strip() for part in text.split(",")]
    if len(names) != 2 or not all(names):
        raise DatasetError("splits not understood", f"--splits {text}", "write none, or TRAIN,VAL")
    return SplitFolders(train=names[0], val=names[1])
