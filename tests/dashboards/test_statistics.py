from __future__ import annotations

import itertools
import math
import warnings
from math import comb

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from dashboards.statistics import (
    Interval,
    accuracy_in_words,
    accuracy_interval,
    columns,
    effective_videos,
    holm,
    interval_in_words,
    mean_over_seeds,
    mean_over_seeds_from,
    student_quantile,
    unpaired_difference,
    within_video_variance,
)
from dashboards.statistics.columns import accuracy_intervals, differences_to_published, mean_intervals
from dashboards.statistics.same_videos import (
    Outcome,
    PairedCounts,
    mcnemar,
    on_same_videos,
    paired_difference,
    paired_difference_over_seeds,
)


def one_training(accuracy: float, videos: int, deviation: float, degrees: int) -> Interval:
    """The interval of one, the spread of seeds known from others."""
    return accuracy_interval(accuracy, effective_videos(accuracy, videos, deviation, degrees))


def _binomial(hits: int, trials: int, share: float) -> float:
    return comb(trials, hits) * share**hits * (1 - share) ** (trials - hits)


@pytest.mark.parametrize(("hits", "videos"), [(8, 10), (1, 3), (1, 12), (11, 12), (40, 101), (960, 1000)])
def test_the_interval_of_an_accuracy_solves_its_defining_equations(hits: int, videos: int) -> None:
    """At the lower end, more hits and half of as many have probability 2.5 %; at the upper end, fewer."""
    span = accuracy_interval(100 * hits / videos, videos)
    low, high = span.low / 100, span.high / 100
    more = sum(_binomial(k, videos, low) for k in range(hits + 1, videos + 1))
    fewer = sum(_binomial(k, videos, high) for k in range(hits))
    assert more + _binomial(hits, videos, low) / 2 == pytest.approx(0.025, abs=1e-9)
    assert fewer + _binomial(hits, videos, high) / 2 == pytest.approx(0.025, abs=1e-9)


def test_an_accuracy_at_an_end_reaches_to_it() -> None:
    """0 of 20: (1 - p)²⁰ / 2 = 0.025."""
    none, every = accuracy_interval(0, 20), accuracy_interval(100, 20)
    assert (none.low, none.high) == (0, pytest.approx(100 * (1 - 0.05 ** (1 / 20)), abs=1e-6))
    assert (every.low, every.high) == (pytest.approx(100 - none.high), 100)


@pytest.mark.parametrize("few", [0, 400])
def test_many_accuracies_at_once_have_the_intervals_of_each_alone(
    monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Whole and effective numbers of videos, close to the ends and at them, found in either way."""
    monkeypatch.setattr(columns, "_FEW", few)
    random = np.random.default_rng(0)
    videos = np.concatenate([random.integers(1, 30_000, 200), np.exp(random.uniform(-1, 14, 200))])
    accuracies = np.concatenate([random.uniform(0, 100, 300), 10.0 ** random.uniform(-9, 0, 50)])
    accuracies = np.concatenate([accuracies, 100 - accuracies[300:]])
    accuracies[::2] = np.clip(100 * np.round(accuracies[::2] / 100 * videos[::2]) / videos[::2], 0, 100)
    accuracies[:4] = 0, 100, 1e-300, 50
    low, high = accuracy_intervals(accuracies, videos)
    spans = [accuracy_interval(*pair) for pair in zip(accuracies.tolist(), videos.tolist(), strict=True)]
    assert low == pytest.approx([span.low for span in spans], rel=0, abs=2e-12)
    assert high == pytest.approx([span.high for span in spans], rel=0, abs=2e-12)


def test_accuracies_of_which_nothing_is_known_have_no_intervals() -> None:
    low, high = accuracy_intervals(np.array([math.nan, 50, 50, 50]), np.array([10, math.nan, 0, 10.0]))
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, True, True, False]
    assert [end.size for end in accuracy_intervals(np.array([]), np.array([]))] == [0, 0]
    with pytest.raises(ValueError, match="give percent"):
        accuracy_intervals(np.array([50, 101.0]), np.array([10, 10.0]))


def test_a_mean_and_a_deviation_say_what_the_seeds_say() -> None:
    """Also of seeds so far apart that three numbers of their mean and deviation would leave 0…100."""
    for seeds in ([40.0, 44.0], [100.0, 100.0, 0.0], [1.0, 2.0, 30.0, 99.0]):
        alone = mean_over_seeds_from(np.mean(seeds), 50, len(seeds), np.std(seeds, ddof=1))
        span = mean_over_seeds(seeds, 50)
        assert (alone.low, alone.high) == pytest.approx((span.low, span.high), abs=1e-9)


def test_means_and_differences_at_once_are_those_one_by_one() -> None:
    """One seed, several, none that is known, equal ones, and videos that nobody knows."""
    own = tuple(
        np.array(column)
        for column in (
            [60.0, 50.0, 40.0, 30.0, np.nan, 20.0],
            [101.0, 101.0, 500.0, 96.0, 50.0, np.nan],
            [1.0, 3.0, np.nan, 2.0, 2.0, 1.0],
            [np.nan, 2.5, np.nan, 0.0, 1.0, 1.0],
        )
    )
    published, videos = np.full(6, 45.0), np.array([11_799.0, np.nan, 300.0, 0.0, 10.0, 10.0])
    low, high = mean_intervals(*own)
    down, up = differences_to_published(own, published, videos)
    theirs = [accuracy_interval(45.0, count) for count in (11_799, 101, 300, 96)]
    theirs[1] = one_training(45.0, 101, 2.5, 2)
    ours = [
        accuracy_interval(60.0, 101),
        mean_over_seeds_from(50.0, 101, 3, 2.5),
        accuracy_interval(40.0, 500),
        mean_over_seeds_from(30.0, 96, 2, 0.0),
    ]
    for place, pair in enumerate(zip(ours, theirs, strict=True)):
        span = unpaired_difference(*pair)
        assert (low[place], high[place]) == pytest.approx((pair[0].low, pair[0].high), abs=1e-9)
        assert (down[place], up[place]) == pytest.approx((span.low, span.high), abs=1e-9)
    assert np.isnan([low[4:], high[4:], down[4:], up[4:]]).all()


def test_more_videos_or_less_certainty_make_it_narrower() -> None:
    def width(span: Interval) -> float:
        return span.high - span.low

    assert width(accuracy_interval(60, 1000)) < width(accuracy_interval(60, 100))
    assert width(accuracy_interval(60, 100, 0.8)) < width(accuracy_interval(60, 100))


@pytest.mark.parametrize(("accuracy", "videos"), [(50.0, 0), (101.0, 3), (-1.0, 4), (math.nan, 5)])
def test_no_accuracy_is_refused(accuracy: float, videos: int) -> None:
    with pytest.raises(ValueError, match="give 0…100"):
        accuracy_interval(accuracy, videos)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 30])
def test_student_by_integrating_the_density(degrees: int) -> None:
    bound = student_quantile(0.95, degrees)
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    steps = 20_000
    width = bound / steps
    area = width * sum(
        scale * (1 + ((step + 0.5) * width) ** 2 / degrees) ** (-(degrees + 1) / 2) for step in range(steps)
    )
    assert area == pytest.approx(0.475, abs=1e-6)


@pytest.mark.parametrize(("level", "degrees"), [(1.0, 3), (0.0, 3), (0.95, 0), (0.95, math.nan)])
def test_no_quantile_of_nothing(level: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="give 0 < level < 1"):
        student_quantile(level, degrees)


def test_with_very_many_videos_the_seeds_alone_count() -> None:
    """Mean 62, s = 1, t(0.975, 2) = 4.302653, half width 4.302653 / √3."""
    span = mean_over_seeds([61.0, 62.0, 63.0], 10**9)
    assert span.estimate == 62
    assert (62 - span.low, span.high - 62) == pytest.approx((2.484, 2.484), abs=0.06)


def test_two_seeds_have_one_degree_of_freedom() -> None:
    """T(0.975, 1) = 12.7062: half width 12.7062 × 0.1 on both sides of the mean, not 1.96 × 0.1."""
    span = mean_over_seeds([61.9, 62.1], 10**9)
    assert (62 - span.low, span.high - 62) == pytest.approx((1.27, 1.27), abs=0.01)


def wilson(hits: int, videos: int) -> tuple[float, float]:
    """Wilson's interval in percent, by statsmodels."""
    low, high = proportion_confint(hits, videos, alpha=0.05, method="wilson")
    return 100 * low, 100 * high


def test_equal_seeds_have_the_interval_of_the_videos() -> None:
    for seeds in (2, 5):
        span = mean_over_seeds([60.0] * seeds, 5, within=0.0)
        assert (span.low, span.high) == pytest.approx(wilson(3, 5), abs=1e-6)
    assert mean_over_seeds([60.0], 5) == accuracy_interval(60, 5)


@pytest.mark.parametrize(
    "values", [[60.0, 20.0], [0.0, 0.0], [100.0, 100.0], [0.0, 100.0], [100.0, 99.0, 98.0]]
)
@pytest.mark.parametrize("videos", [1, 5, 12, 10_000])
def test_an_interval_over_seeds_stays_within_the_possible(values: list[float], videos: int) -> None:
    span = mean_over_seeds(values, videos)
    assert 0 <= span.low <= span.estimate <= span.high <= 100 and span.high - span.low > 0.01


def test_rounding_puts_no_end_beyond_what_is_possible() -> None:
    found = [mean_over_seeds([value] * 2, videos) for value in (0.0, 100.0) for videos in range(1, 200)]
    assert {one.low for one in found[:199]} == {0.0}
    assert {one.high for one in found[199:]} == {100.0}


def test_no_seeds_no_mean() -> None:
    with pytest.raises(ValueError, match="no accuracies"):
        mean_over_seeds([], 5)


@pytest.mark.parametrize(("values", "videos"), [([50.0, 60.0], 0), ([50.0, 100.1], 9), ([-0.1, 5.0], 9)])
def test_no_mean_of_what_is_no_accuracy(values: list[float], videos: int) -> None:
    with pytest.raises(ValueError, match="give 0…100 % and videos > 0"):
        mean_over_seeds(values, videos)
    with pytest.raises(ValueError, match="give 0…100 %"):
        mean_over_seeds([math.nan, 50.0], 9)


@pytest.mark.parametrize("within", [0.1, None])
def test_a_mean_over_seeds_by_hand(within: float | None) -> None:
    """60 and 64 % of 100 videos; z = 1.959964, t(0.975, 1) = 12.706205."""
    binary, z, t = 0.62 * 0.38, 1.959964**2, 12.706205**2
    inner = binary / 3 if within is None else within
    chance = inner / 200 / (1.2 + 100 / 50)
    of_videos, of_seeds = (binary - inner) / 100 + chance, 0.0008 / 2 - chance
    weight = of_seeds / (of_seeds + of_videos / 10)
    effective = binary * z / (z * of_videos + (z + (t - z) * weight) * of_seeds)
    span = mean_over_seeds([60.0, 64.0], 100, within=within)
    low, high = proportion_confint(0.62 * effective, effective, alpha=0.05, method="wilson")
    assert (span.estimate, span.low, span.high) == pytest.approx((62, 100 * low, 100 * high), rel=1e-5)


def test_seeds_that_are_right_throughout_have_the_interval_of_the_videos() -> None:
    """Nothing varies: 10 videos, of which a third of the variance is averaged over two seeds."""
    assert mean_over_seeds([100.0, 100.0], 10, within=0.0).low == pytest.approx(wilson(10, 10)[0])
    effective = 1 / ((2 / 3) / 10 + 1 / 3 / 20 / (1.2 + 10 / 50))
    low, _ = proportion_confint(effective, effective, alpha=0.05, method="wilson")
    span = mean_over_seeds([100.0, 100.0], 10)
    assert (span.low, span.high) == (pytest.approx(100 * low), 100.0)


def test_accuracies_in_words() -> None:
    assert accuracy_in_words(62.5, (52.06, 71.64)) == "62.50 % (52.1 to 71.6)"
    assert (
        accuracy_in_words(62.5, (52.06, 71.64), "96 videos", decimals=1) == "62.5 % (52.1 to 71.6; 96 videos)"
    )
    assert accuracy_in_words(62.5, None, "96 videos") == "62.50 % (96 videos)"
    assert accuracy_in_words(62.5, (None, None)) == accuracy_in_words(62.5, None) == "62.50 %"
    assert interval_in_words(-1.04, 2.06) == "-1.0 to 2.1"
    assert interval_in_words(-1.04, 2.06, signed=True) == "-1.0 to +2.1"
    assert interval_in_words(None, 2.0) == interval_in_words(1.0, None) == ""


def test_outcomes_on_the_same_videos() -> None:
    one, other = Outcome("v", np.array([1.0, 0.0])), Outcome("v", np.array([0.0, 1.0]))
    known = {"a": one, "b": other, "c": Outcome("w", np.array([1.0, 1.0]))}
    found = on_same_videos([["a", "b"], ["b"]], known)
    assert found is not None
    assert [matrix.tolist() for matrix in found] == [[[1.0, 0.0], [0.0, 1.0]], [[0.0], [1.0]]]
    for sides in ([["a"], ["c"]], [["a", "c"], ["b"]], [["a"], ["d"]], [["a", "d"], ["b"]], [["a"], []]):
        assert on_same_videos(sides, known) is None


def test_disagreement_about_videos_by_hand() -> None:
    """Of four videos, seeds disagree on one: a variance of 1/2 there, 0 elsewhere."""
    right = np.array([[1, 1], [1, 0], [0, 0], [1, 1]], bool)
    assert within_video_variance(right) == pytest.approx(1 / 8)
    with pytest.raises(ValueError, match="2 seeds or more"):
        within_video_variance(right[:, :1])


def test_seeds_that_disagree_about_videos_know_more_than_one() -> None:
    """Two seeds that are each half chance: part of the videos' variance is averaged over the seeds."""
    wide = mean_over_seeds([60.0, 60.0], 100, within=0.0)
    narrow = mean_over_seeds([60.0, 60.0], 100, within=0.12)
    assumed = mean_over_seeds([60.0, 60.0], 100)
    assert wide.low < assumed.low < narrow.low and wide.low < narrow.low < 60 < narrow.high < wide.high
    everything = mean_over_seeds([60.0, 60.0], 100, within=0.5)
    assert (everything.low, everything.high) == pytest.approx(wilson(120, 200))


def test_one_training_with_the_spread_of_others() -> None:
    alone, spread = accuracy_interval(60, 1000), one_training(60, 1000, 2.0, 10)
    assert spread.low < alone.low and alone.high < spread.high
    none = one_training(60, 1000, 0.0, 10)
    assert (none.low, none.high) == pytest.approx((alone.low, alone.high))
    # Very many videos: t(0.975, 10) = 2.228139 deviations.
    assert 60 - one_training(60, 10**9, 0.5, 10).low == pytest.approx(1.114, abs=0.01)


def test_one_seed_with_the_spread_of_others_is_as_documented() -> None:
    """docs/statistics.md, by hand, of 36 of 40 videos: two hits and two misses added, t for few seeds."""
    share = (36 + 2) / (40 + 4)
    of_videos, of_seeds = share * (1 - share) / 40, 0.02**2
    z, t = stats.norm.ppf(0.975) ** 2, stats.t.ppf(0.975, 4) ** 2
    squared = z * (of_videos + of_seeds) + (t - z) * of_seeds * of_seeds / (of_seeds + of_videos / 10)
    expected = accuracy_interval(90.0, share * (1 - share) * z / squared)
    found = one_training(90.0, 40, 2.0, 4)
    assert (found.estimate, found.low, found.high) == pytest.approx((90.0, expected.low, expected.high))


def test_mcnemar_by_hand() -> None:
    """10 against 3: 2 (1 + 13 + 78 + 286) / 2¹³; the mid-p leaves out one 286 / 2¹³."""
    test = mcnemar(PairedCounts(50, 10, 3, 20))
    assert test.exact == pytest.approx(756 / 8192, rel=1e-12)
    assert test.mid_p == pytest.approx(470 / 8192, rel=1e-12)


@pytest.mark.parametrize(("first", "second"), [(1, 0), (5, 5), (1, 1), (7, 21), (120, 90), (6, 7)])
def test_mcnemar_against_whole_numbers(first: int, second: int) -> None:
    """Mid-p: the probability of all that is less likely, and half of what is as likely as the observed."""
    trials, few = first + second, min(first, second)
    tail = 2 * sum(comb(trials, hits) for hits in range(few + 1)) / 2**trials
    rarer = sum(comb(trials, hits) for hits in range(trials + 1) if min(hits, trials - hits) < few)
    equal = sum(comb(trials, hits) for hits in range(trials + 1) if min(hits, trials - hits) == few)
    test = mcnemar(PairedCounts(9, first, second, 9))
    assert test.exact == pytest.approx(min(1.0, tail), rel=1e-9)
    assert test.mid_p == pytest.approx((rarer + equal / 2) / 2**trials, rel=1e-9)


def test_mcnemar_does_not_ask_who_is_first() -> None:
    assert mcnemar(PairedCounts(1, 30, 12, 1)) == mcnemar(PairedCounts(1, 12, 30, 1))


def test_many_disagreements_do_not_overflow() -> None:
    test = mcnemar(PairedCounts(0, 9_000, 500, 0))
    assert 0 <= test.mid_p <= test.exact < 1e-300


def test_all_videos_are_counted() -> None:
    assert PairedCounts(2, 1, 1, 1).videos == 5


def test_a_paired_difference_by_hand() -> None:
    """25 and 10 of 100: shares 26/102 and 11/102, variance (37/102 - (15/102)²) / 102."""
    span = paired_difference(PairedCounts(40, 25, 10, 25))
    half = 1.959964 * math.sqrt((37 / 102 - (15 / 102) ** 2) / 102)
    assert span.estimate == 15
    assert (span.low, span.high) == pytest.approx(
        (100 * (15 / 102 - half), 100 * (15 / 102 + half)), abs=1e-4
    )


def test_models_that_agree_everywhere_may_differ_on_other_videos() -> None:
    span = paired_difference(PairedCounts(70, 0, 0, 30))
    assert span.estimate == 0 and -5 < span.low < -1 and span.high == -span.low
    assert mcnemar(PairedCounts(70, 0, 0, 30)) == mcnemar(PairedCounts(0, 0, 0, 0))
    assert mcnemar(PairedCounts(70, 0, 0, 30)).mid_p == 1.0
    with pytest.raises(ValueError, match="no videos"):
        paired_difference(PairedCounts(0, 0, 0, 0))


def test_a_paired_difference_stays_within_the_possible() -> None:
    for counts in itertools.product((0, 1, 6), repeat=4):
        if sum(counts):
            span = paired_difference(PairedCounts(*counts))
            assert -100 <= span.low <= span.estimate <= span.high <= 100 and span.low < span.high


def _pairs(counts: PairedCounts) -> tuple[np.ndarray, np.ndarray]:
    cases = [(1, 1)] * counts.both + [(1, 0)] * counts.only_first
    cases += [(0, 1)] * counts.only_second + [(0, 0)] * counts.neither
    both = np.array(cases, bool)
    return both[:, :1], both[:, 1:]


def test_over_one_seed_each_it_is_the_paired_difference() -> None:
    counts = PairedCounts(4, 5, 2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of numpy, about a variance of one number
        one, other = paired_difference(counts), paired_difference_over_seeds(*_pairs(counts))
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))


def test_seeds_that_differ_widen_a_paired_difference() -> None:
    """The second seed of the first model is far worse: with one degree of freedom nothing can be told."""
    good, bad = np.ones((40, 1), bool), np.zeros((40, 1), bool)
    second = np.arange(40)[:, None] % 2 == 0
    same = paired_difference_over_seeds(np.hstack([good, good]), second)
    span = paired_difference_over_seeds(np.hstack([good, bad]), second)
    assert same.low > 20 and (span.low, span.high) == (-100, 100)
    with pytest.raises(ValueError, match="the same videos"):
        paired_difference_over_seeds(good, second[:-1])
    with pytest.raises(ValueError, match="the same videos"):
        paired_difference_over_seeds(good[:0], second[:0])


def test_an_unpaired_difference_by_hand() -> None:
    """Of 70 (60 to 79) and 50 (45 to 54): down √(10² + 4²), up √(9² + 5²)."""
    span = unpaired_difference(Interval(70, 60, 79), Interval(50, 45, 54))
    assert (span.estimate, span.low, span.high) == pytest.approx(
        (20, 20 - math.sqrt(116), 20 + math.sqrt(106))
    )


def test_an_unpaired_difference_stays_within_the_possible() -> None:
    span = unpaired_difference(accuracy_interval(100, 3), accuracy_interval(0, 3))
    assert span.estimate == 100 and 0 < span.low < span.high == 100


def test_holm_by_hand() -> None:
    """0.01 × 4, 0.02 × 3, max(0.03 × 2, 0.06), max(0.9, …)."""
    assert holm([0.9, 0.01, 0.03, 0.02]) == pytest.approx([0.9, 0.04, 0.06, 0.06])
    assert holm([]) == [] and holm([0.8, 0.7]) == [1.0, 1.0]


def test_holm_does_not_count_what_could_not_be_asked() -> None:
    nan = math.nan
    for order in itertools.permutations([0.9, 0.01, nan, 0.03, nan, 0.02]):
        corrected = dict(zip(order, holm(order), strict=True))
        for value, wanted in ((0.9, 0.9), (0.01, 0.04), (0.03, 0.06), (0.02, 0.06)):
            assert corrected[value] == pytest.approx(wanted)
        assert [math.isnan(one) for one in holm(order)] == [math.isnan(one) for one in order]
    assert math.isnan(holm([nan])[0])
