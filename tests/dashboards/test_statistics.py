from __future__ import annotations

import math
import random
from math import comb

import pytest

from dashboards.statistics import (
    PairedCounts,
    bootstrap_difference,
    holm,
    mcnemar,
    mean_interval,
    student_quantile,
    wilson_interval,
)


def test_wilson_by_hand() -> None:
    """8 of 10: (0.8 + z²/20 ± z √(0.016 + z²/400)) / (1 + z²/10) with z² = 3.841459."""
    span = wilson_interval(8, 10)
    assert span.estimate == 0.8
    assert (span.low, span.high) == pytest.approx((0.490162, 0.943317), abs=1e-6)


def test_wilson_solves_its_defining_equation() -> None:
    for hits, trials in ((1, 3), (40, 101), (9_800, 9_837)):
        span = wilson_interval(hits, trials)
        for bound in (span.low, span.high):
            distance = abs(hits / trials - bound) / math.sqrt(bound * (1 - bound) / trials)
            assert distance == pytest.approx(1.959964, abs=1e-5)


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (20, 20)])
def test_wilson_stays_within_the_possible(hits: int, trials: int) -> None:
    span = wilson_interval(hits, trials)
    assert 0 <= span.low <= span.high <= 1 and 0.1 < span.high - span.low < 0.2


@pytest.mark.parametrize(("hits", "trials"), [(1, 0), (3, 2), (-1, 4)])
def test_no_share_is_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson_interval(hits, trials)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 30])
def test_student_by_integrating_the_density(degrees: int) -> None:
    bound = student_quantile(0.975, degrees)
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    steps = 20_000
    width = bound / steps
    area = width * sum(
        scale * (1 + ((step + 0.5) * width) ** 2 / degrees) ** (-(degrees + 1) / 2) for step in range(steps)
    )
    assert area == pytest.approx(0.475, abs=1e-6)


def test_the_mean_of_three_seeds_by_hand() -> None:
    """Mean 62, s = 1, t(0.975, 2) = 4.302653, half width 4.302653 / √3."""
    span = mean_interval([61.0, 62.0, 63.0])
    assert (span.estimate, span.high - 62) == pytest.approx((62.0, 2.484138), abs=1e-5)
    assert span.high - 62 == pytest.approx(62 - span.low)


def test_one_seed_says_nothing_of_its_spread() -> None:
    span = mean_interval([70.0])
    assert span.estimate == 70.0 and span.low == -math.inf and span.high == math.inf
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_mcnemar_by_hand() -> None:
    """10 against 3: 2 (1 + 13 + 78 + 286) / 2¹³; the mid-p leaves out one 286 / 2¹³."""
    test = mcnemar(PairedCounts(50, 10, 3, 20))
    assert test.exact == pytest.approx(756 / 8192, rel=1e-12)
    assert test.mid_p == pytest.approx(470 / 8192, rel=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (7, 21), (120, 90)])
def test_mcnemar_against_whole_numbers(first: int, second: int) -> None:
    trials, few = first + second, min(first, second)
    tail = 2 * sum(comb(trials, hits) for hits in range(few + 1)) / 2**trials
    test = mcnemar(PairedCounts(9, first, second, 9))
    assert test.exact == pytest.approx(min(1.0, tail), rel=1e-9)
    assert test.mid_p == pytest.approx(min(1.0, tail - comb(trials, few) / 2**trials), rel=1e-9)


def test_mcnemar_does_not_ask_who_is_first() -> None:
    assert mcnemar(PairedCounts(1, 30, 12, 1)) == mcnemar(PairedCounts(1, 12, 30, 1))


def test_many_disagreements_do_not_overflow() -> None:
    test = mcnemar(PairedCounts(0, 9_000, 500, 0))
    assert 0 <= test.mid_p <= test.exact < 1e-300


def test_all_videos_are_counted() -> None:
    assert PairedCounts(2, 1, 1, 1).videos == 5


def test_the_bootstrap_agrees_with_drawing_videos_one_by_one() -> None:
    counts = PairedCounts(40, 25, 10, 25)
    outcomes = [0] * 65 + [1] * 25 + [-1] * 10
    generator = random.Random(7)
    draws = sorted(sum(generator.choices(outcomes, k=100)) for _ in range(4000))
    span = bootstrap_difference(counts)
    assert span.estimate == 15.0
    assert (span.low, span.high) == pytest.approx((draws[100], draws[3900]), abs=1.01)
    assert span == bootstrap_difference(counts)


def test_models_that_agree_everywhere_do_not_differ() -> None:
    span = bootstrap_difference(PairedCounts(70, 0, 0, 30))
    assert (span.estimate, span.low, span.high) == (0, 0, 0)
    assert mcnemar(PairedCounts(70, 0, 0, 30)).exact == 1.0
    with pytest.raises(ValueError, match="no videos"):
        bootstrap_difference(PairedCounts(0, 0, 0, 0))


def test_holm_by_hand() -> None:
    """0.01 × 4, 0.02 × 3, max(0.03 × 2, 0.06), max(0.9, …)."""
    assert holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])
    assert holm([]) == [] and holm([0.8, 0.7]) == [1.0, 1.0]
