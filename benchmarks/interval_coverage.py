"""How often the interval of a mean over seeds holds the truth, on simulated trainings.

    python -m benchmarks.interval_coverage [--repeats 1000] [--cases]

Which seed gets which video right is drawn from two crossed random effects on the logit scale: videos are
harder or easier (deviation `HARD`), seeds better or worse (`SEEDS`). Every number of videos and seeds is
tried at every true accuracy; printed are the least, the mean and the largest coverage in percent, and how
many cases lie between 92 and 98. With `--cases` every case has a line. Figures: docs/statistics.md.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from dashboards.statistics import mean_over_seeds, within_video_variance

VIDEOS = (12, 50, 101, 1000)
TRUE = (2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0)
SEED_COUNTS = (2, 3, 5)
SEEDS = {"none": 0.0, "small": 0.05, "large": 0.4}
"""Deviation of seeds, logits: 0, about 1 and about 5 to 8 points of top-1 at 50 %."""
HARD = 2.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


def true_accuracy(centre: float, deviation: float) -> float:
    """Return the accuracy (percent) over all videos and seeds."""
    return float(100 * (_WEIGHTS @ expit(centre + deviation * _NODES)) / _WEIGHTS.sum())


def coverage(videos: int, seeds: int, truth: float, spread: float, repeats: int) -> tuple[float, float]:
    """Return how often (percent) the interval holds the truth: with predictions, and without."""
    deviation = float(np.hypot(HARD, spread))
    centre = brentq(lambda one: true_accuracy(one, deviation) - truth, -40, 40)
    rng = np.random.default_rng(int(1000 * truth) + 10 * videos + seeds)
    held = np.zeros(2)
    for _ in range(repeats):
        logits = centre + HARD * rng.normal(size=(videos, 1)) + spread * rng.normal(size=(1, seeds))
        right = rng.random((videos, seeds)) < expit(logits)
        accuracies = [float(one) for one in 100 * right.mean(axis=0)]
        for place, within in enumerate((within_video_variance(right), None)):
            span = mean_over_seeds(accuracies, videos, within=within)
            held[place] += span.low <= truth <= span.high
    return float(100 * held[0] / repeats), float(100 * held[1] / repeats)


def summary(found: list[float]) -> str:
    """Return least, mean and largest coverage, and how many lie between 92 and 98 %."""
    inside = sum(92 <= one <= 98 for one in found)
    return (
        f"{min(found):5.1f} {np.mean(found):5.1f} {max(found):5.1f}   {inside} of {len(found)} within 92…98"
    )


def main() -> None:
    """Print one line a number of videos and kind of interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--videos", type=int, nargs="*", default=VIDEOS)
    parser.add_argument("--cases", action="store_true")
    given = parser.parse_args()
    for videos in given.videos:
        found: dict[str, list[float]] = {"with predictions": [], "without": []}
        for seeds, truth, (name, spread) in product(SEED_COUNTS, TRUE, SEEDS.items()):
            both = coverage(videos, seeds, truth, spread, given.repeats)
            for kind, one in zip(found, both, strict=True):
                found[kind].append(one)
            if given.cases:
                print(f"  {seeds} seeds, {truth:g} %, variance of seeds {name}: {both[0]:.1f} {both[1]:.1f}")
        for kind, values in found.items():
            print(f"{videos:5} videos, {kind:17}: {summary(values)}", flush=True)


if __name__ == "__main__":
    main()
