"""A dataset in folders: one a class, or one a class in each of a folder of training and one of validation."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from catalog.storage.atomic import user_path
from catalog.storage.layout import escaped
from trainables.data.datasets.base import (
    SPLITS,
    VIDEO_SUFFIXES,
    DatasetError,
    Entry,
    Listing,
    SourceAbsentError,
    SplitWord,
    alike_notes,
    manifest_order,
    named_by_split,
    same_name,
    split_word,
    video_suffix,
)
from trainables.data.datasets.own_files import FolderDataset, SplitFolders, split_by_name
from trainables.data.datasets.user_files import (
    HIDDEN,
    OUTSIDE,
    Found,
    is_folder,
    is_ignored_folder,
    items,
    scan,
)
from trainables.recipe.fields import Split

_ANSWER = (
    "say in the dataset's declaration `splits: {train: FOLDER, val: FOLDER}`, or `splits: none` where each"
)
_ASK = f"{_ANSWER} folder is a class"


def list_folder(config: FolderDataset) -> Listing:
    """List every video; what else lies there is left out with a reason, or ignored and counted.

    Raises:
        DatasetError: no such folder, one that cannot be read, a layout that could be read in two ways, fewer
            than two classes, a class without a video, or one file in two classes.
    """
    root = user_path(config.path).absolute()
    if not root.is_dir():
        raise SourceAbsentError(
            "dataset folder not found",
            root,
            "give the folder that holds one folder per class, "
            "where it lies on this machine: no result changes by it",
        )
    top = _read_top(root)
    splits = _splits(config, root, top.folders)
    return _list_classes(config, root, top) if splits is None else _list_splits(config, root, top, splits)


_LISTS = frozenset((".txt", ".csv", ".tsv", ".json", ".jsonl", ".list", ".lst", ".xlsx", ".xml", ".pkl"))


@dataclass(frozen=True)
class _Top:
    """What lies in a folder of class folders (or of splits): its folders and files by name, and the rest."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    rest: Found


def _read_top(folder: Path) -> _Top:
    rest = Found()
    folders, files = [], []
    for item in items(folder):
        if not is_folder(item):
            _check_link(item)
            files.append(item.name)
            rest.ignored[HIDDEN if item.name.startswith(".") else OUTSIDE] += 1
        elif ignored := is_ignored_folder(item.name):
            rest.ignored[ignored] += 1
        else:
            folders.append(item.name)
    return _Top(tuple(folders), tuple(files), rest)


def _check_link(item: os.DirEntry[str]) -> None:
    """Refuse a link that leads nowhere where class folders are: it may be a class."""
    if item.is_symlink() and not item.name.startswith(".") and not Path(item.path).exists():
        raise DatasetError("the link leads nowhere", escaped(item.path), "mend it or remove it")


def _splits(config: FolderDataset, root: Path, folders: Sequence[str]) -> SplitFolders | None:
    """The folders of training and of validation, None where each folder is a class.

    Raises:
        DatasetError: the names do not tell.
    """
    if isinstance(config.splits, SplitFolders):
        _check_there(config.splits, root, folders)
        return config.splits
    named: defaultdict[SplitWord, list[str]] = defaultdict(list)
    for name in folders:
        if (word := split_word(name)) is not None:
            named[word].append(name)
    if config.splits == "none":
        return None
    if not named:
        alike = named_by_split(folders)
        if not alike:
            return None
        return _guessed(root, defaultdict(list, _one_group(alike, root, len(folders))), len(folders))
    if named["train"] == ["train"] and "val" in named["val"] and not _hold_videos(root, ("train", "val")):
        return SplitFolders(train="train", val="val")
    return _guessed(root, named, len(folders))


def _one_group(
    groups: list[dict[SplitWord, list[str]]], root: Path, folders: int
) -> dict[SplitWord, list[str]]:
    """The folders of splits whose names have more words (`ucf_train`, `ucf_test`).

    Raises:
        DatasetError: there are several (`run_train`, `run_test`, `walk_train`, …), or other folders, too.
    """
    names = [f"{escaped(name)}/" for group in groups for names in group.values() for name in names]
    if len(groups) > 1 or len(names) < folders:
        raise _unclear(f"{' and '.join(names[:4])} are named after classes and splits", root)
    return groups[0]


def _hold_videos(root: Path, folders: Iterable[str]) -> bool:
    """Whether each of these folders holds videos itself, and no folders."""
    return all(
        not _has_folders(root / name) and any(video_suffix(item.name) for item in items(root / name))
        for name in folders
    )


def _guessed(root: Path, named: Mapping[SplitWord, list[str]], folders: int) -> SplitFolders | None:
    words = [f"{name}/" for names in named.values() for name in names]
    nested = [name for names in named.values() for name in names if _has_folders(root / name)]
    validation = named["val"] or named["test"]
    if not nested and len(words) < min(folders, 2):
        return None  # a class that is called so, such as the vehicle, among others
    if not nested:
        raise _unclear(f"{' and '.join(words)} hold videos themselves, no class folders", root)
    if len(named["train"]) != 1 or len(validation) != 1:
        raise _unclear(f"{' and '.join(words)}: not one folder of training and one of validation", root)
    chosen = SplitFolders(train=named["train"][0], val=validation[0])
    if flat := [f"{name}/" for name in (chosen.train, chosen.val) if name not in nested]:
        raise _unclear(f"{' and '.join(flat)}: no class folders in it", root)
    return chosen


def _has_folders(folder: Path) -> bool:
    return any(is_folder(item) and not is_ignored_folder(item.name) for item in items(folder))


def _unclear(what: str, where: Path) -> DatasetError:
    return DatasetError(f"classes or splits? {what}", where, _ASK)


def _check_there(splits: SplitFolders, root: Path, folders: Sequence[str]) -> None:
    missing = [name for name in (splits.train, splits.val) if name not in folders]
    if missing:
        raise DatasetError(
            f"no folder {' and '.join(missing)}", root, f"under `splits` name two of: {', '.join(folders)}"
        )


def _check_inside(config: FolderDataset, root: Path, found: Mapping[str, Found]) -> None:
    """Refuse splits below the classes (`walk/train/`, `walk/test/`): they would be mixed."""
    for name, one in {} if config.splits == "none" else found.items():
        folders = {path.parent.relative_to(root) for path, _ in one.videos}
        parts = sorted({f"{part}/" for folder in folders for part in folder.parts[1:]})
        for group in named_by_split(parts):
            raise DatasetError(
                f"splits inside a class: {escaped(name)}/ holds "
                f"{' and '.join(escaped(one) for names in group.values() for one in names)}",
                root,
                "move the splits above the classes (train/CLASS/, val/CLASS/), list the videos in a CSV "
                "file, or say `splits: none` to mix them"
                if len(found) > 1
                else f"if these are splits, give {escaped(name)}/ as the dataset's path",
            )


def _check_lists(config: FolderDataset, root: Path, top: _Top, empty: Iterable[str]) -> None:
    """Refuse lists of the splits beside the classes (`trainlist01.txt`, `test.csv`): nobody reads them."""
    files = [*top.files, *(f"{name}/{item.name}" for name in empty for item in items(root / name))]
    lists = {Path(name).stem: name for name in files if Path(name).suffix.lower() in _LISTS}
    for group in [] if config.splits == "none" else named_by_split(lists):
        names = " and ".join(escaped(lists[stem]) for stems in group.values() for stem in stems[:1])
        raise DatasetError(
            f"lists of the splits, which a folder's videos are not split by: {names}",
            root,
            "list the videos in one CSV file with the columns path,label,split, or say `splits: none` to "
            "split them by their names",
        )


@dataclass(frozen=True)
class _Classes:
    """The classes of one folder: by name (NFC) all that lies in the folders of that name."""

    found: Mapping[str, Found]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes with a video, or something that was to be one."""
        return tuple(name for name, one in self.found.items() if one.videos or one.left_out)

    @property
    def empty(self) -> tuple[str, ...]:
        return tuple(name for name in self.found if name not in self.names)


def _read_classes(folder: Path, folders: Iterable[str]) -> _Classes:
    found: dict[str, Found] = {}
    for name in folders:
        found.setdefault(same_name(name), Found()).take(scan(folder / name))
    return _Classes(found)


def _list_classes(config: FolderDataset, root: Path, top: _Top) -> Listing:
    classes = _read_classes(root, top.folders)
    _check_inside(config, root, classes.found)
    _check_classes(classes, config, root)
    _check_lists(config, root, top, (name for name in top.folders if same_name(name) in classes.empty))
    names = classes.names
    entries = split_by_name(
        (
            (path, path.relative_to(root).as_posix(), label)
            for label, name in enumerate(names)
            for path, _ in classes.found[name].videos
        ),
        config.val_fraction,
    )
    notes = [*_notes(classes.empty, names), *_below(classes, root)]
    return _listing(names, entries, [top.rest, *classes.found.values()], notes)


def _list_splits(config: FolderDataset, root: Path, top: _Top, splits: SplitFolders) -> Listing:
    folders: dict[Split, str] = {"train": splits.train, "val": splits.val}
    tops = {split: _read_top(root / folders[split]) for split in SPLITS}
    read = {split: _read_classes(root / folders[split], tops[split].folders) for split in SPLITS}
    _check_classes(read["train"], config, root / splits.train)
    names = read["train"].names
    _check_validation(read["val"], read["train"], config, root / splits.val)
    entries = [
        Entry(path, split, label)
        for split in SPLITS
        for label, name in enumerate(names)
        for path, _ in read[split].found.get(name, Found()).videos
    ]
    rest = [top.rest, *(one.rest for one in tops.values())]
    found = [one for split in SPLITS for one in read[split].found.values()]
    empty = (*read["train"].empty, *read["val"].empty)
    notes = [*_unused(root, top, splits), *_notes(empty, names), *_unmeasured(entries, names)]
    return _listing(names, entries, [*rest, *found], notes)


def _videos_in(folder: Path) -> int:
    """How many videos lie in a folder itself."""
    with suppress(OSError):
        return sum(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir())
    return 0


def _check_classes(classes: _Classes, config: FolderDataset, folder: Path) -> None:
    if not classes.names and (loose := _videos_in(folder)):
        lie = "1 video lies" if loose == 1 else f"{loose} videos lie"
        raise DatasetError(f"{lie} directly in the folder", folder, "put each class into a folder of its own")
    if len(classes.names) < 2:
        found = ", ".join(map(escaped, classes.names)) or "none"
        # a folder without a single video may be a mount whose machine is away
        kind = DatasetError if classes.names else SourceAbsentError
        raise kind(
            f"at least two classes are needed, found {len(classes.names)} ({found})",
            folder,
            f"put videos ({' '.join(sorted(VIDEO_SUFFIXES))}) into one folder per class",
        )
    _check_empty(classes, config, folder)


def _check_empty(classes: _Classes, config: FolderDataset, folder: Path) -> None:
    if classes.empty and not config.allow_empty_classes:
        raise DatasetError(
            f"class folders without a video: {', '.join(map(escaped, classes.empty))}",
            folder,
            "add videos, remove the folders, or leave these classes out with allow_empty_classes: true",
        )


def _check_validation(val: _Classes, train: _Classes, config: FolderDataset, folder: Path) -> None:
    unknown = sorted(set(val.names) - set(train.names))
    if unknown:
        raise DatasetError(
            f"validation classes without training videos: {', '.join(map(escaped, unknown))}",
            folder,
            "add them to train/ or remove them",
        )
    _check_empty(val, config, folder)


def _unused(root: Path, top: _Top, splits: SplitFolders) -> list[str]:
    """A line for each folder beside the splits that holds videos."""
    others = [name for name in top.folders if name not in (splits.train, splits.val)]
    counts = {name: len(scan(root / name).videos) for name in others}
    return [
        f"{escaped(name)}/ holds {count} videos that are not used: {splits.train}/ is trained on, "
        f"{splits.val}/ is measured on"
        for name, count in counts.items()
        if count
    ]


def _notes(empty: Sequence[str], names: Sequence[str]) -> list[str]:
    left = [f"classes left out, without a video: {', '.join(map(escaped, empty))}"] if empty else []
    return left + alike_notes(names)


def _below(classes: _Classes, root: Path) -> list[str]:
    """A line where class folders hold further folders of videos, which are no classes of their own."""
    below = {
        name: sorted({part for path, _ in found.videos for part in path.relative_to(root).parts[1:-1][:1]})
        for name, found in classes.found.items()
    }
    several = {name: parts for name, parts in below.items() if len(parts) > 1}
    if not several:
        return []
    name, parts = next(iter(several.items()))
    first = f"{escaped(name)}/ with {', '.join(map(escaped, parts[:3]))}{', …' * (len(parts) > 3)}"
    return [f"class folders with further folders, whose videos are the class's: {len(several)} ({first})"]


def _unmeasured(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """A line where classes have no video in validation: no accuracy says anything of them."""
    measured = {entry.label for entry in entries if entry.split == "val"}
    lost = [escaped(name) for label, name in enumerate(names) if label not in measured]
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    return [f"classes without a validation video: {', '.join(lost[:5])}{more}"] if lost and measured else []


def _listing(
    classes: tuple[str, ...], entries: Iterable[Entry], found: Iterable[Found], notes: Iterable[str]
) -> Listing:
    together = Found()
    for one in found:
        together.take(one)
    ordered = manifest_order(entries)
    check_one_label(ordered, dict(together.videos), classes)
    ignored = tuple(sorted((kind, count) for kind, count in together.ignored.items() if count))
    left_out = tuple(sorted(together.left_out, key=lambda one: one.path))
    return Listing(tuple(map(escaped, classes)), ordered, left_out, ignored, tuple(notes))


def check_one_label(entries: Iterable[Entry], real: Mapping[Path, str], classes: Sequence[str]) -> None:
    """Refuse one file, reached by two paths, in two classes.

    Raises:
        DatasetError: there is one; names both paths.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(real[entry.path], entry)
        if other.label != entry.label:
            names = f"{escaped(str(other.path))} and {escaped(str(entry.path))}"
            labels = f"{escaped(classes[other.label])} and {escaped(classes[entry.label])}"
            raise DatasetError(f"one file in two classes, {labels}", names, "remove one of them")
