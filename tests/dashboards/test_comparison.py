"""Which result is better, and what stands in bold: against scipy, by hand, and with misleading faults."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from catalog.pivot import pivot
from dashboards.render.comparison import (
    NOTHING,
    Outcome,
    Outcomes,
    Result,
    difference,
    differences,
    significantly_best,
)
from dashboards.render.tables import best_rows, interval_of, pivot_with_uncertainty
from dashboards.statistics.same_videos import PairedCounts, mcnemar, paired_difference


def accuracy(*values: float, videos: int = 96, keys: tuple[str, ...] = ()) -> Result:
    return Result(values, videos, keys)


def number(*values: float, keys: tuple[str, ...] = ()) -> Result:
    return Result(values, None, keys, accuracy=False)


def predicted(key: str, right: list[int], videos: str = "same") -> Outcomes:
    return {key: Outcome(videos, np.array(right, np.float64))}


def test_one_point_on_96_videos_cannot_be_told() -> None:
    found = difference(accuracy(62.5), accuracy(61.5))
    assert found.estimate == 1.0 and found.low < -10 and found.high > 10 and found.p > 0.8
    assert not found.paired and not differences([(accuracy(62.5), accuracy(61.5))])[0].sure


def test_the_p_value_is_where_the_interval_begins_to_hold_0() -> None:
    """Of two proportions on many videos it is the usual z-test's, nearly."""
    first, second, videos = 64.0, 60.0, 2000
    found = difference(accuracy(first, videos=videos), accuracy(second, videos=videos))
    variance = sum(one * (100 - one) / 100**2 / videos for one in (first, second))
    expected = 2 * stats.norm.sf((first - second) / 100 / math.sqrt(variance))
    assert found.p == pytest.approx(expected, rel=0.05) and found.low > 0
    backwards = difference(accuracy(second, videos=videos), accuracy(first, videos=videos))
    assert backwards.p == pytest.approx(found.p, rel=1e-2) and backwards.high == pytest.approx(-found.low)


def test_the_same_videos_are_compared_one_by_one() -> None:
    """15 of 100 videos right by the first alone, 3 by the second alone: far surer than 62 % against 50 %."""
    first, second = [1] * 47 + [1] * 15 + [0] * 38, [1] * 47 + [0] * 15 + [1] * 3 + [0] * 35
    outcomes = {**predicted("a", first), **predicted("b", second)}
    pair = accuracy(62.0, videos=100, keys=("a",)), accuracy(50.0, videos=100, keys=("b",))
    found = difference(*pair, outcomes)
    counts = PairedCounts(both=47, only_first=15, only_second=3, neither=35)
    assert found.paired and found.p == mcnemar(counts).mid_p < 0.01
    assert (found.low, found.high) == (paired_difference(counts).low, paired_difference(counts).high)
    assert difference(*pair).p > 0.05


@pytest.mark.parametrize(
    "other",
    [
        predicted("b", [0, 1] * 50, videos="others"),
        predicted("b", [1, 1, 0, 0] * 20 + [0] * 20),
        predicted("c", [0, 1] * 50),
    ],
    ids=["other videos", "of another checkpoint: 40 %", "not known"],
)
def test_predictions_of_other_videos_or_checkpoints_are_not_paired(other: Outcomes) -> None:
    first, second = accuracy(50.0, videos=100, keys=("a",)), accuracy(50.0, videos=100, keys=("b",))
    assert not difference(first, second, {**predicted("a", [1, 0] * 50), **other}).paired


def test_seeds_on_the_same_videos_are_paired_too() -> None:
    draw = np.random.default_rng(1)
    easy = draw.random(400)
    right = {
        f"{model}{seed}": (easy + draw.normal(0, 0.1, 400) > threshold).astype(int).tolist()
        for model, threshold in (("a", 0.4), ("b", 0.5))
        for seed in range(3)
    }
    outcomes = {key: Outcome("same", np.array(one, np.float64)) for key, one in right.items()}
    models = [
        Result(tuple(100 * float(np.mean(right[key])) for key in keys), 400, keys)
        for keys in (("a0", "a1", "a2"), ("b0", "b1", "b2"))
    ]
    paired, unpaired = difference(models[0], models[1], outcomes), difference(models[0], models[1])
    assert paired.paired and not unpaired.paired
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)
    assert paired.p < unpaired.p


def test_numbers_of_seeds_are_welchs() -> None:
    first, second = (0.50, 0.52, 0.51), (0.60, 0.64, 0.61, 0.62)
    found = difference(number(*first), number(*second))
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    bounds = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))
    assert math.isnan(difference(number(0.5), number(0.9)).p)


def test_losses_are_compared_by_video() -> None:
    first, second = [0.5, 0.7, 0.2, 0.9], [0.6, 0.9, 0.4, 1.0]
    outcomes = {
        "a": Outcome("same", np.array(first)),
        "b": Outcome("same", np.array(second)),
    }
    found = difference(number(0.575, keys=("a",)), number(0.725, keys=("b",)), outcomes)
    assert found.paired and found.p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_nothing_has_no_difference() -> None:
    found = difference(NOTHING, accuracy(60.0))
    assert math.isnan(found.estimate) and math.isnan(found.p)


def test_only_what_is_significantly_best_is_best() -> None:
    clear, close = accuracy(90.0, videos=1000), accuracy(60.0, videos=1000)
    assert significantly_best([[close, clear, None]]) == [1]
    assert significantly_best([[accuracy(62.0), accuracy(61.0), accuracy(10.0)]]) == [None]
    assert significantly_best([[accuracy(90.0), accuracy(90.0), accuracy(10.0)]]) == [None]
    assert significantly_best([[clear], [None, None], []]) == [None, None, None]


def test_holm_counts_all_that_is_shown() -> None:
    pair = [accuracy(62.0, videos=1000), accuracy(57.0, videos=1000)]
    assert 0.01 < difference(*pair).p < 0.05
    assert significantly_best([pair]) == [0]
    assert significantly_best([pair] * 6) == [None] * 6


def test_one_that_nobody_can_compare_keeps_the_best_from_being_told() -> None:
    unknown = Result((10.0,), None)
    assert significantly_best([[accuracy(90.0, videos=1000), accuracy(50.0, videos=1000), unknown]]) == [None]


def row(module: str, frames: int, seed: int = 0, **values: Any) -> dict[str, Any]:
    plain = {"backbone": "resnet50", "temporal_pooling": False, "dataset": "d", "eval_videos": 1000}
    return {"module": module, "frames": frames, "seed": seed, **plain, **values}


LOSSES = ("loss", "val_loss", "loss_last", "loss_best", "best_loss")


@pytest.mark.parametrize("value", [*LOSSES, "train_seconds", "eval_seconds"])
def test_of_losses_and_times_the_smallest_is_best(value: str) -> None:
    rows = [
        row(module, 8, seed, **{value: 100 * number + seed})
        for module, number in (("tam", 0.5), ("tsn", 1.5), ("i3d", 1.0))
        for seed in range(3)
    ]
    table = pivot_with_uncertainty(pivot(rows, "module×frames", value), value)
    assert [table.rows[place][0] for place, _ in table.best] == ["tam"]


@pytest.mark.parametrize("value", LOSSES)
def test_of_losses_by_video_the_smallest_is_best(value: str) -> None:
    losses = {"tam": [0.5, 0.6, 0.4] * 30, "tsn": [1.5, 1.7, 1.6] * 30}
    rows = [row(module, 8, key=module, **{value: float(np.mean(one))}) for module, one in losses.items()]
    outcomes = {module: Outcome("same", np.array(one)) for module, one in losses.items()}
    assert best_rows(rows, (value,), outcomes) == {(0, value)}
    assert best_rows(rows[::-1], (value,), outcomes) == {(1, value)}


def test_of_an_accuracy_the_largest_is_best_within_its_dataset() -> None:
    rows = [
        row(module, frames, top1=top1 + offset, dataset=dataset)
        for dataset, offset in (("d", 0.0), ("e", 30.0))
        for module, top1 in (("tam", 60.0), ("tsn", 30.0))
        for frames in (8, 16)
    ]
    table = pivot_with_uncertainty(pivot(rows, "module×frames"), "top1")
    assert {(table.rows[place], column) for place, column in table.best} == {
        ((dataset, "tam"), column) for dataset in ("d", "e") for column in (0, 1)
    }
    best = best_rows(rows, ("top1",))
    # Two lengths of one module are the same: nobody is best among all rows.
    assert best == frozenset()
    assert best_rows(rows[::2], ("top1",)) == {(0, "top1"), (2, "top1")}


def test_an_interval_has_both_sources_and_keeps_to_what_is_possible() -> None:
    alone, equal, apart = (
        interval_of(accuracy(*values, videos=5)) for values in ((60,), (60, 60), (20, 100))
    )
    assert alone is not None and equal is not None and apart is not None
    assert 0 <= apart[0] < equal[0] < 60 < equal[1] < apart[1] <= 100 and alone[0] > 10
    assert interval_of(number(1.0)) is None and interval_of(Result((60.0,), None)) is None
    low, high = interval_of(number(1.0, 2.0)) or (0, 0)
    assert high - low == pytest.approx(2 * 12.7062 * math.sqrt(0.5) / math.sqrt(2), rel=1e-4)


def test_families_are_corrected_one_by_one() -> None:
    """Published differences that stand beside one's own make these no less sure."""
    pair = (Result((60.0,), 400), Result((50.0,), 400))
    alone = differences([pair, pair])
    among = differences([pair, pair, *[pair] * 5], families=["own", "own", *["published"] * 5])
    p = difference(*pair).p
    assert [one.holm for one in among[:2]] == [one.holm for one in alone] == [2 * p] * 2
    assert [one.holm for one in among[2:]] == pytest.approx([5 * p] * 5)
