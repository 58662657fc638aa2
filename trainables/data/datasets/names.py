"""Names of folders, classes and splits: which of them are one, and which words mean a split."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal
from unicodedata import normalize

from trainables.recipe.fields import Split

SplitWord = Literal["train", "val", "test"]

_WORDS: Mapping[str, SplitWord] = {
    **dict.fromkeys(("train", "training", "trains", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "vals", "valid", "validate", "validation", "validating", "dev", "devel"), "val"),
    **dict.fromkeys(("eval", "evaluate", "evaluation", "holdout"), "val"),
    **dict.fromkeys(("test", "tests", "testing", "tst"), "test"),
}
_FILLERS = frozenset(
    (
        *("set", "sets", "split", "splits", "data", "dataset", "subset", "part", "folder", "dir"),
        *("video", "videos", "clip", "clips", "file", "files", "list", "images", "frames"),
    )
)
_PARTS = re.compile(r"[^\W\d_]+|\d+")
SPLIT_VALUES: Mapping[str, Split] = {word: role for word, role in _WORDS.items() if role != "test"}
"""What a list may call a split, in lower case."""


def split_word(folder: str) -> SplitWord | None:
    """The split that a folder's name means: `Train`, `validation_set`, `test-256`; None where it means none.

    Numbers and words such as `videos` may stand beside the split's own word, nothing else: `training dog` is
    a class of Kinetics.
    """
    words = [word for word in _PARTS.findall(folder.casefold()) if not word.isdecimal()]
    found = [role for word in words if (role := _word(word)) is not None]
    others = [word for word in words if _word(word) is None and word not in _FILLERS]
    return found[0] if len(set(found)) == 1 and not others else None


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
