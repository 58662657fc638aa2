"""How sure the accuracies of a table are: the columns of their intervals, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboards.render.comparison import Difference
from dashboards.statistics import accuracy_in_words, interval_in_words, mean_over_seeds_from
from dashboards.statistics.columns import differences_to_published, mean_intervals

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Row = Mapping[str, Any]

FEW_CLASSES = 5
"""With so many classes or fewer, five guesses are never wrong: top-5 is 100 % and says nothing."""

CAPTION = (
    "Intervals of accuracies are at 95 %, from the number of videos that an accuracy was measured on and, "
    "where several seeds are averaged, from how they differ: in their accuracies, and in what they say of "
    "single videos. Of one seed alone the training's own variance is not known and not in it."
)
"""What a reader has to know of the intervals of figures (`docs/statistics.md`, sections 1 and 2)."""
ASSUMED = (
    "Where the predictions of a mean's seeds are not known, or too many to be read for a page, a third of a "
    "video's variance is taken for what seeds disagree about single videos: its interval can then be wider "
    "or narrower than that of a table by actiongrid results --pivot, which reads them all."
)
"""What is different where `with_intervals` finds no `within` of a mean."""


@dataclass(frozen=True)
class Accuracy:
    """The columns of an accuracy (percent), of its videos, and of the seeds that it is the mean of.

    `seeds` counts the averaged trainings, `std` is their sample standard deviation (points); neither is
    named where a row is one training.
    """

    name: str = "top1"
    videos: str = "eval_videos"
    seeds: str | None = None
    std: str | None = None

    @property
    def low(self) -> str:
        """The column of the interval's lower bound."""
        return f"{self.name}_low"

    @property
    def high(self) -> str:
        """The column of the interval's upper bound."""
        return f"{self.name}_high"

    @property
    def within(self) -> str:
        """The column of the mean's `within_video_variance`, empty where its predictions are not known."""
        return f"{self.name}_within"


MEAN = Accuracy("top1", seeds="seeds", std="top1_std")
"""The top-1 of most figures: a mean over seeds."""
PUBLISHED = Accuracy("published_top1", "published_videos")
"""The published top-1 beside one's own: of one training, whose own variance nobody knows."""


def top5_tells(num_classes: int | None) -> bool:
    """Return whether there are enough classes for top-5 to say something; also where nobody knows them."""
    return num_classes is None or num_classes > FEW_CLASSES


def with_telling_top5(table: pa.Table, num_classes: int | None, names: Sequence[str] = ("top5",)) -> pa.Table:
    """Return a table without the columns of top-5 where there are so few classes that it says nothing."""
    if top5_tells(num_classes):
        return table
    return table.drop_columns([name for name in names if name in table.column_names])


def with_intervals(table: pa.Table, *accuracies: Accuracy) -> pa.Table:
    """Return a table with `_low` and `_high` (percent, 0 to 100) behind each of its accuracies.

    They are empty where an accuracy is, where it is not finite, or where nobody knows the number of videos.
    What the seeds of a mean disagree about is known where the table has its column `_within`.
    """
    import pyarrow as pa

    if not accuracies:
        return table
    # All columns at once: many hold the same accuracies, and each is reckoned once.
    columns = [np.concatenate(parts) for parts in zip(*(_of(table, one) for one in accuracies), strict=True)]
    ends = [np.split(end, len(accuracies)) for end in mean_intervals(*columns)]
    for one, *own in zip(accuracies, *ends, strict=True):
        bounds = [pa.array(end, pa.float64(), from_pandas=True) for end in own]
        table = _with_columns(table, one.name, dict(zip((one.low, one.high), bounds, strict=True)))
    return table


def _of(table: pa.Table, one: Accuracy) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers]:
    """The accuracies, their videos, seeds, the deviations of these, and what seeds disagree about."""
    known = one.within if one.within in table.column_names else None
    accuracies, videos, seeds, std, within = (
        _numbers(table, name) for name in (one.name, one.videos, one.seeds, one.std, known)
    )
    return accuracies, videos, seeds, std, within


def _numbers(table: pa.Table, name: str | None) -> Numbers:
    """A column of numbers; NaN where it is empty, or nobody names one."""
    import pyarrow as pa

    if name is None:
        return np.full(table.num_rows, np.nan)
    column = table.column(name).cast(pa.float64()).combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=float)


def _with_columns(table: pa.Table, behind: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """The table with these columns, in their order, behind the one of this name."""
    place = table.column_names.index(behind) + 1
    for offset, (name, values) in enumerate(columns.items()):
        table = table.add_column(place + offset, name, values)
    return table


def with_difference_to_published(
    table: pa.Table, accuracy: Accuracy, published: Accuracy = PUBLISHED
) -> pa.Table:
    """Return a table with the interval of `published`, and that of own minus published top-1 (points).

    `difference_low` and `difference_high` stand behind `difference`; where on how many videos the published
    accuracy was measured is not known, it is taken to be that of one's own.
    """
    import pyarrow as pa

    table = with_intervals(table, published)
    literature = (_numbers(table, name) for name in (published.name, published.videos))
    unknown = table.column("difference").is_null().to_numpy()
    ends = [
        np.where(unknown, np.nan, end) for end in differences_to_published(_of(table, accuracy), *literature)
    ]
    bounds = (pa.array(end, pa.float64(), from_pandas=True) for end in ends)
    columns = ("difference_low", "difference_high")
    return _with_columns(table, "difference", dict(zip(columns, bounds, strict=True)))


def with_differences(
    table: pa.Table, name: str, found: Sequence[Difference], verdicts: tuple[str, str, str]
) -> pa.Table:
    """Return a table with how sure its differences are, behind the column `name` (points).

    `{name}_low` and `{name}_high` are the 95 % interval, `{name}_paired` whether it is by video,
    `{name}_p` and `{name}_holm` the p-value alone and corrected for all rows. `{name}_verdict` is the first
    of `verdicts` where it is told from 0 and above it, the second where it is below, else the third. All
    are empty where the interval is not known.
    """
    import pyarrow as pa

    known = [None if math.isnan(one.low) else one for one in found]
    above, below, untold = verdicts
    columns = {
        f"{name}_low": pa.array([one and one.low for one in known], pa.float64()),
        f"{name}_high": pa.array([one and one.high for one in known], pa.float64()),
        f"{name}_paired": pa.array([one and one.paired for one in known], pa.bool_()),
        f"{name}_p": pa.array([one and one.p for one in known], pa.float64()),
        f"{name}_holm": pa.array([one and one.holm for one in known], pa.float64()),
        f"{name}_verdict": pa.array(
            [one and (untold if not one.sure else above if one.estimate > 0 else below) for one in known],
            pa.string(),
        ),
    }
    return _with_columns(table, name, columns)


def difference_in_words(row: Row, name: str, what: str = "points") -> str:
    """Return a difference of `with_differences`: `+2.20 points (+0.4 to +4.0 by video)`; `what`: its unit."""
    span = interval_in_words(row[f"{name}_low"], row[f"{name}_high"], signed=True)
    beside = " by video" if row[f"{name}_paired"] else ""
    return f"{row[name]:+.2f} {what}" + (f" ({span}{beside})" if span else "")


def with_within(table: pa.Table, accuracy: Accuracy, within: Sequence[float | None]) -> pa.Table:
    """Return a table with the column `accuracy.within`, for `with_intervals`; as it is where all are None."""
    import pyarrow as pa

    if all(one is None for one in within):
        return table
    return table.append_column(accuracy.within, pa.array(within, pa.float64()))


def about_intervals(table: pa.Table, *accuracies: Accuracy) -> str:
    """Return what a reader has to know of a table's intervals: `ASSUMED` too where it is true of a mean."""
    assumed = any(
        row[one.low] is not None and (row[one.seeds] or 1) > 1 and row.get(one.within) is None
        for one in accuracies
        if one.seeds in table.column_names and one.low in table.column_names
        for row in table.to_pylist()
    )
    return f"{CAPTION} {ASSUMED}" if assumed else CAPTION


def bounds_of(row: Row, accuracy: Accuracy) -> tuple[float, float] | None:
    """Return the 95 % interval of a row: that of `with_intervals`, or what its numbers alone allow."""
    if accuracy.low in row:
        low, high = row[accuracy.low], row[accuracy.high]
        return None if low is None or high is None else (low, high)
    seeds, std = (row[name] if name else None for name in (accuracy.seeds, accuracy.std))
    return interval(row[accuracy.name], row[accuracy.videos], seeds, std)


def interval(
    accuracy: float | None, videos: int | None, seeds: int | None = 1, std: float | None = None
) -> tuple[float, float] | None:
    """Return the 95 % interval (percent) of an accuracy, the mean of `seeds` trainings on `videos` videos."""
    if accuracy is None or not math.isfinite(accuracy) or not videos:
        return None
    span = mean_over_seeds_from(accuracy, videos, seeds or 1, std or 0.0)
    return span.low, span.high


def in_words(row: Row, accuracy: Accuracy, name: str = "top-1") -> str:
    """Return an accuracy, its interval and what that is from: `top-1 62.50 % (52.1 to 71.6; 96 videos)`."""
    seeds = row[accuracy.seeds] if accuracy.seeds else 1
    known = [f"{row[accuracy.videos]:,} videos"] if row[accuracy.videos] else []
    known += [f"mean of {seeds} seeds"] if seeds and seeds > 1 else []
    return f"{name} {accuracy_in_words(row[accuracy.name], bounds_of(row, accuracy), ', '.join(known))}"
