"""Mini-Kinetics and Mini-SSV2: half of a full dataset's classes with all their videos.

The lists are the study's authors'; classes are in the order of the lists, which is alphabetical.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data.datasets.annotations import lines

MINI_KINETICS = "mini_kinetics_classes.txt"
MINI_SSV2 = "mini_ssv2_classes.txt"


def mini_classes(file: str) -> tuple[str, ...]:
    """The class names of a list that comes with this package."""
    return tuple(name for _, name in lines(Path(__file__).with_name(file)))
