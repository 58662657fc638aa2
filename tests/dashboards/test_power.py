"""Power by the formula against power by simulation, with the interval that is used afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dashboards.statistics import within_video_variance
from dashboards.statistics.power import (
    Design,
    Variances,
    detectable,
    power,
    seeds_needed,
    videos_needed,
)
from dashboards.statistics.same_videos import paired_difference_over_seeds


def trainings(
    rng: np.random.Generator, difference: float, design: Design, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which videos two models' seeds get right: videos are easy or hard, and like one model or the other."""
    videos, seeds = design.videos, design.seeds
    easy, own = rng.uniform(-0.35, 0.35, (videos, 1)), rng.uniform(-0.1, 0.1, (videos, 1))
    chances = [
        0.5 + sign * (difference / 200 + own) + easy + rng.normal(size=(1, seeds)) * spread / 100
        for sign in (1, -1)
    ]
    first, second = (rng.random((videos, seeds)) < chance for chance in chances)
    return first, second


def simulated(difference: float, design: Design, spread: float, repeats: int) -> tuple[float, Variances]:
    """The share of repeats whose interval leaves out 0, and the variances as they are measured."""
    rng = np.random.default_rng(8)
    seen, disagreement, within = [], [], []
    for _ in range(repeats):
        first, second = trainings(rng, difference, design, spread)
        seen.append(paired_difference_over_seeds(first, second).low > 0)
        disagreement.append(float((first[:, 0] != second[:, 0]).mean()))
        within.append(within_video_variance(np.vstack([first, second])))
    return float(np.mean(seen)), Variances(spread, float(np.mean(disagreement)), float(np.mean(within)))


CASES = [
    (6.0, Design(3, 500), 1.0),
    (4.0, Design(3, 2000), 1.0),
    (12.0, Design(2, 500), 1.0),
    (3.0, Design(5, 2000), 1.0),
]


def compared(repeats: int) -> Iterator[tuple[float, float]]:
    for difference, design, spread in CASES:
        found, variances = simulated(difference, design, spread, repeats)
        yield found, power(difference, design, variances)


def test_power_is_near_the_simulation() -> None:
    for found, formula in compared(150):
        assert formula == pytest.approx(found, abs=0.12)


@pytest.mark.slow
@pytest.mark.long
def test_power_agrees_with_the_simulation_within_ten_percent() -> None:
    for found, formula in compared(1500):
        assert formula == pytest.approx(found, rel=0.1)


KNOWN = Variances(seeds=0.5, disagreement=0.25, within=0.08)


def test_what_is_detectable_has_the_wanted_power() -> None:
    for design in (Design(1, 1000), Design(2, 1000), Design(3, 10_000), Design(10, 200)):
        assert power(detectable(design, KNOWN), design, KNOWN) == pytest.approx(0.8, abs=1e-6)


def test_one_seed_by_hand() -> None:
    """(1.959964 + 0.841621) √(0.09 / 1000 + 2 (0.005² + 0.08 / 1000)) of 1."""
    wanted = 100 * (1.959964 + 0.841621) * (0.09 / 1000 + 2 * (0.005**2 + 0.08 / 1000)) ** 0.5
    assert detectable(Design(1, 1000), KNOWN) == pytest.approx(wanted, rel=1e-5)


def test_very_many_seeds_leave_the_videos() -> None:
    """The normal quantiles alone: 2.801585 √(0.09 / 1000) of 1."""
    assert detectable(Design(100_000, 1000), KNOWN) == pytest.approx(
        280.1585 * (0.09 / 1000) ** 0.5, rel=0.01
    )


def test_more_seeds_or_videos_see_more() -> None:
    smallest = [detectable(Design(seeds, 5000), KNOWN) for seeds in (2, 3, 5, 10)]
    assert smallest == sorted(smallest, reverse=True)
    assert detectable(Design(3, 50_000), KNOWN) < smallest[1]


def test_the_fewest_seeds_and_videos_are_found() -> None:
    seeds = seeds_needed(1.5, 10_000, KNOWN)
    assert seeds is not None and power(1.5, Design(seeds, 10_000), KNOWN) >= 0.8
    assert power(1.5, Design(seeds - 1, 10_000), KNOWN) < 0.8
    videos = videos_needed(3.0, 3, KNOWN)
    assert videos is not None and power(3.0, Design(3, videos), KNOWN) >= 0.8
    assert power(3.0, Design(3, videos - 1), KNOWN) < 0.8
    assert seeds_needed(0.5, 100, KNOWN) is None and videos_needed(0.1, 2, KNOWN) is None
