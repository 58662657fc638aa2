"""Errors of a file that people write: one clear line for each wrong field, with what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.layout import escaped

_LONGEST = 1000  # characters of an error's line: a file's value may have 100,000
_HEAD = 600
_MOST = 50  # problems that one error names
Location = tuple[str | int, ...]


def field_path(location: Location) -> str:
    """`("recipe", "overrides", 1, "set")` → `recipe.overrides[1].set`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "architecture": ("module",),
    "arch": ("module",),
    "bs": ("batch_size",),
    "batch": ("batch_size",),
    "clip_len": ("frames",),
    "clip_length": ("frames",),
    "crop": ("crop_size",),
    "folder": ("path",),
    "gpus": ("gpus_per_worker",),
    "hflip": ("flip",),
    "horizontal_flip": ("flip",),
    "learning_rate": ("lr",),
    "lr_schedule": ("schedule",),
    "lr_scheduler": ("schedule",),
    "max_epochs": ("epochs",),
    "model": ("module", "backbone"),
    "n_frames": ("frames",),
    "network": ("backbone",),
    "num_epochs": ("epochs",),
    "num_frames": ("frames",),
    "num_segments": ("frames",),
    "num_workers": ("workers",),
    "optim": ("optimiser",),
    "optimizer": ("optimiser",),
    "pretrained": ("init",),
    "root": ("path",),
    "scheduler": ("schedule",),
    "seeds": ("seed",),
    "val_ratio": ("val_fraction",),
    "val_split": ("val_fraction",),
    "wd": ("weight_decay",),
}
"""What a field is called elsewhere, and by which of ours it is meant: the first one that is allowed."""


def closest_spelling(word: object, allowed: Iterable[object]) -> str | None:
    """The allowed spelling that is closest to `word`, or what is meant by it; None where nothing is close."""
    spellings = {str(option).lower(): str(option) for option in allowed}
    for meant in _OTHER_NAMES.get(str(word).lower().replace("-", "_"), ()):
        if meant in spellings:
            return spellings[meant]
    close = difflib.get_close_matches(str(word)[:100].lower(), list(spellings), n=1, cutoff=0.6)
    return spellings[close[0]] if close else None


def choices(word: object, allowed: Iterable[object]) -> str:
    """The tail of an error line: `allowed: a, b; did you mean a?`."""
    options = [str(option) for option in allowed]
    close = closest_spelling(word, options)
    tail = f"; did you mean {close}?" if close else ""
    return f"allowed: {', '.join(options)}{tail}"


@dataclass(frozen=True)
class Problem:
    """One wrong field: where it is, and what is wrong with it (with what is allowed)."""

    location: Location
    what: str
    line: int | None = None

    def text(self, source: str) -> str:
        """The problem as one line, led by the file (and line) it is in."""
        place = source if self.line is None else f"{source}:{self.line}"
        path = field_path(self.location)
        parts = (place, path, self.what) if path else (place, self.what)
        line = escaped(" ".join(": ".join(parts).split()))
        return line if len(line) <= _LONGEST else f"{line[:_HEAD]} … {line[_HEAD - _LONGEST :]}"


class FieldsError(ActionGridError):
    """A file that cannot be used. Its text has one line for each of its problems."""

    exit_code = BAD_INPUT

    @classmethod
    def of(cls, source: str, problems: Sequence[Problem]) -> Self:
        """The error that names the problems of the file `source`, in their order; of very many the first."""
        lines = list(dict.fromkeys(problem.text(source) for problem in problems))
        more = [f"{source}: and {len(lines) - _MOST} more" for _ in lines[_MOST : _MOST + 1]]
        return cls("\n".join([*lines[:_MOST], *more]))

    @property
    def lines(self) -> tuple[str, ...]:
        """One line for each problem, in the file's order."""
        return tuple(str(self).splitlines())
