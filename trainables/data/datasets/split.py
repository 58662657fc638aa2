"""A train/val split that depends on names only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from trainables.data.datasets.base import SPLITS, Entry


def split_by_name(files: Iterable[tuple[Path, str, int]], val_fraction: float) -> tuple[Entry, ...]:
    """Give each (path, name, label) a split, class by class, in the order of a hash of its name.

    Depends neither on where the dataset lies nor on which videos turn out to be damaged, so that mending
    one video never moves another between splits. A class with two or more videos has one in each split.
    """
    by_label: defaultdict[int, list[tuple[str, Path]]] = defaultdict(list)
    for path, name, label in files:
        by_label[label].append((sha256(name.encode()).hexdigest(), path))
    return tuple(
        entry
        for label in sorted(by_label)
        for entry in _split_class(sorted(by_label[label]), label, val_fraction)
    )


def _split_class(hashed: list[tuple[str, Path]], label: int, val_fraction: float) -> list[Entry]:
    num_val = 0
    if len(hashed) > 1:
        num_val = min(len(hashed) - 1, max(1, round(len(hashed) * val_fraction)))
    val = [Entry(path, "val", label) for _, path in hashed[:num_val]]
    return val + [Entry(path, "train", label) for _, path in hashed[num_val:]]


def manifest_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Training before validation, then by label and path."""
    return tuple(sorted(entries, key=lambda e: (SPLITS.index(e.split), e.label, str(e.path))))
