"""What a loader copies of each frame, so that the training device can make all views of a clip from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainables.data.clips.augment import Box, View

VERSION = "1"  # of the views' pixels: of this file and of `trainables.data.clips.resample`


@dataclass(frozen=True)
class Cut:
    """The rectangle `source` of every frame of a clip, and the views of that rectangle."""

    source: Box
    views: tuple[View, ...]


def cut_of(views: Sequence[View], width: int, height: int) -> Cut:
    """The smallest rectangle of a (width, height) frame that gives `views` exactly.

    Where the frame is resized before it is cropped, that is all of it: pixels beside a crop weigh in.
    """
    if any(view.scaled != (width, height) for view in views):
        return Cut(Box(0, 0, width, height), tuple(views))
    left = min(view.box.left for view in views)
    top = min(view.box.top for view in views)
    right = max(view.box.left + view.box.width for view in views)
    bottom = max(view.box.top + view.box.height for view in views)
    source = Box(left, top, right - left, bottom - top)
    return Cut(source, tuple(_moved(view, source) for view in views))


def _moved(view: View, source: Box) -> View:
    box = view.box
    inside = Box(box.left - source.left, box.top - source.top, box.width, box.height)
    return View((source.width, source.height), inside, view.flip)
