"""A folder of videos: `class/video.ext`, or `train/class/video.ext` beside `val/class/video.ext`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from trainables.data.datasets.base import SPLITS, DatasetError, DatasetInfo, Entry, FilesConfig, Listing
from trainables.data.datasets.split import manifest_order, split_by_name

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "flv", "mpg", "mpeg", "vob"),
        *("ts", "mts", "m2ts", "wmv", "asf", "3gp", "ogv"),
    )
)


class FolderDataset(FilesConfig):
    """Videos in one folder per class. `path` is relative to the working directory unless absolute."""

    kind: Literal["folder"] = "folder"

    def info(self) -> DatasetInfo:
        """Nothing is known before the folder is read."""
        return DatasetInfo(None, None, None, f"put the videos into {self.path}/<class>/<video>.mp4")


def list_folder(config: FolderDataset) -> Listing:
    """List every file with a video's suffix; other files are ignored.

    Raises:
        DatasetError: no such folder, fewer than two classes, or a validation class without training videos.
    """
    root = Path(config.path).absolute()
    if not root.is_dir():
        raise DatasetError(
            f"dataset folder not found; {root}; give the folder that holds one folder per class"
        )
    if all((root / split).is_dir() for split in SPLITS):
        return _list_splits(root)
    classes = _class_folders(root)
    _check_classes(classes, root)
    files = (
        (path, path.relative_to(root).as_posix(), label)
        for label, name in enumerate(classes)
        for path in _videos(root / name)
    )
    return Listing(classes, manifest_order(split_by_name(files, config.val_fraction)))


def _list_splits(root: Path) -> Listing:
    classes = _class_folders(root / "train")
    _check_classes(classes, root / "train")
    unknown = sorted(set(_class_folders(root / "val")) - set(classes))
    if unknown:
        raise DatasetError(
            f"validation classes without training videos: {', '.join(unknown)}; {root / 'val'}; "
            "add them to train/ or remove them"
        )
    entries = [
        Entry(path, split, label)
        for split in SPLITS
        for label, name in enumerate(classes)
        for path in _videos(root / split / name)
    ]
    return Listing(classes, manifest_order(entries))


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return tuple(name for name in names if any(_videos(folder / name)))


def _check_classes(classes: tuple[str, ...], folder: Path) -> None:
    if len(classes) < 2:
        found = ", ".join(classes) or "none"
        raise DatasetError(
            f"at least two classes are needed, found {len(classes)} ({found}); {folder}; "
            f"put videos ({' '.join(sorted(VIDEO_SUFFIXES))}) into one folder per class"
        )


def _videos(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith("."):
            yield path
