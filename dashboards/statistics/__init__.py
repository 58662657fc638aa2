"""How sure a number is: intervals, tests, a model of the grid, power. Pure functions of plain numbers.

What each one assumes, and its source: `docs/statistics.md`. It imports nothing of the project.
"""

from __future__ import annotations

from dashboards.statistics.differences import (
    Mcnemar,
    PairedCounts,
    holm,
    mcnemar,
    paired_difference,
    paired_difference_over_seeds,
    unpaired_difference,
)
from dashboards.statistics.intervals import (
    LEVEL,
    Interval,
    accuracy_interval,
    mean_over_seeds,
    one_seed_interval,
    student_quantile,
    within_video_variance,
)

__all__ = [
    "LEVEL",
    "Interval",
    "Mcnemar",
    "PairedCounts",
    "accuracy_interval",
    "holm",
    "mcnemar",
    "mean_over_seeds",
    "one_seed_interval",
    "paired_difference",
    "paired_difference_over_seeds",
    "student_quantile",
    "unpaired_difference",
    "within_video_variance",
]
