"""What a dataset is to its builder: listed videos with split and label, what is left out, and the error.

Also which names of folders and classes are one, and which words mean a split.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind
from catalog.storage.layout import escaped
from trainables.recipe.fields import Split

SPLITS: tuple[Split, ...] = ("train", "val")
VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "f4v", "mkv", "webm", "avi", "divx", "flv", "gif"),
        *("mpg", "mpeg", "mpe", "m1v", "m2v", "vob", "ts", "mts", "m2ts", "wmv", "asf", "ogv", "ogm"),
        *("mxf", "y4m", "h264", "264", "hevc", "h265", "265", "ivf", "nut", "dv", "rm", "rmvb"),
    )
)


class DatasetError(ActionGridError):
    """A dataset cannot be built as configured: `what; where; what to do`."""

    exit_code = BAD_INPUT
    failure_kind = FailureKind.DATA


class SourceAbsentError(DatasetError):
    """What a dataset is made from is not there at the moment, such as a folder of another machine."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before it is built; None where only building can tell."""

    num_classes: int | None
    train_videos: int | None
    val_videos: int | None
    how_to_get: str


@dataclass(frozen=True)
class Entry:
    """One video that a dataset lists, before anything is known of its content."""

    path: Path
    split: Split
    label: int


@dataclass(frozen=True)
class LeftOut:
    """Something that a dataset lists and that cannot be used, known without decoding anything.

    `path` is the file that was looked for, or the annotation's own name where no file is known. `reason`
    begins with its kind: "missing: ", "duplicate: ", "unknown class: ", "no label: " or "unreadable: ".
    """

    path: str
    reason: str


@dataclass(frozen=True)
class DatasetFolders:
    """Where the user keeps an official dataset: its folder of videos, and its annotation files' folder.

    Not part of the configuration: where files lie never changes an experiment.
    """

    videos: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Listing:
    """All that a dataset lists: classes in label order, videos in manifest order, and what is left out.

    `ignored` counts what lies among the videos and is none, by kind (docs/datasets.md). `notes` are lines for
    the user about what was read in one of several ways.
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def manifest_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Training before validation, then by label and path."""
    return tuple(sorted(entries, key=lambda e: (SPLITS.index(e.split), e.label, str(e.path))))


SplitWord = Literal["train", "val", "test"]

_WORDS: Mapping[str, SplitWord] = {
    **dict.fromkeys(("train", "training", "trains", "trn", "tr", "trainval"), "train"),
    **dict.fromkeys(("val", "vals", "vali", "valid", "validate", "validation", "validating"), "val"),
    **dict.fromkeys(("va", "vld", "minival", "dev", "devel", "eval", "evaluate", "evaluation"), "val"),
    "holdout": "val",
    **dict.fromkeys(("test", "tests", "testing", "tst", "te"), "test"),
}
_FILLERS = frozenset(
    (
        *("set", "sets", "split", "splits", "data", "dataset", "subset", "part", "folder", "dir"),
        *("video", "videos", "clip", "clips", "file", "files", "list", "images", "frames"),
    )
)
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HOLD_OUT = re.compile(r"hold[\W_]out")
SPLIT_VALUES: Mapping[str, Split] = {word: role for word, role in _WORDS.items() if role != "test"}
"""What a list may call a split, in lower case."""


def split_word(folder: str) -> SplitWord | None:
    """The split that a folder's name means: `Train`, `validation_set`, `test-256`; None where it means none.

    Numbers and words such as `videos` may stand beside the split's own word, nothing else: `training dog` is
    a class of Kinetics.
    """
    role, others = _role_and_rest(folder)
    return role if not others else None


def named_by_split(names: Iterable[str]) -> list[dict[SplitWord, list[str]]]:
    """Groups of names that are one but for a split's word, such as `ucf_train` and `ucf_test`: by split."""
    groups: defaultdict[tuple[str, ...], dict[SplitWord, list[str]]] = defaultdict(dict)
    for name in names:
        role, rest = _role_and_rest(name)
        if role is not None:
            groups[rest].setdefault(role, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _role_and_rest(name: str) -> tuple[SplitWord | None, tuple[str, ...]]:
    """The one split that a name's words mean (None: none or several), and its other words."""
    spaced = _CAMEL.sub(" ", name).casefold()
    words = [word for word in _PARTS.findall(_HOLD_OUT.sub("holdout", spaced)) if not word.isdecimal()]
    found = {role for word in words if (role := _word(word)) is not None}
    rest = tuple(word for word in words if _word(word) is None and word not in _FILLERS)
    return (found.pop() if len(found) == 1 else None), rest


def _word(word: str) -> SplitWord | None:
    if word in _WORDS:
        return _WORDS[word]
    parts = (word.removesuffix(filler) for filler in sorted(_FILLERS) if word.endswith(filler))
    return next((_WORDS[part] for part in parts if part in _WORDS), None)


def same_name(name: str) -> str:
    """A name in its one form (NFC): `é` as one character, however a file system or an editor writes it."""
    return name if name.isascii() else normalize("NFC", name)


def look_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that differ in capitals, spaces, underscores or a number's zeros alone."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[_loose(name)].append(name)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _loose(name: str) -> str:
    folded = " ".join(re.split(r"[\s_]+", normalize("NFKC", name).casefold().strip(" _")))
    number = re.fullmatch(r"0*([0-9]+)(\.[0-9]*)?", folded)
    return number[1] + (number[2] or "").rstrip(".0") if number else folded


def alike_notes(names: Iterable[str]) -> list[str]:
    """A line for each group of classes whose names are nearly one."""
    return [
        f"classes {' and '.join(map(escaped, group))} differ only in capitals, spaces or zeros: "
        f"they are {len(group)} classes"
        for group in look_alike(names)
    ]


def video_suffix(name: str) -> str | None:
    """A video's suffix in lower case; None where the name has none of a video."""
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    return suffix if suffix in VIDEO_SUFFIXES else None
