"""A mixed-effects model of a grid: what module, backbone, pooling, frames and dataset change, in points.

Fixed effects are the axes and their interactions. Random effects are a chain (the cells of one model that
differ in frames alone: what interactions beyond the fixed ones give it), a training of it (a chain with one
seed, whose cells start from each other) and, where predictions are known, the videos, crossed with all these.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dashboards.statistics import LEVEL, Interval, holm, student_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames")
CHAIN = ("dataset", "module", "backbone", "temporal_pooling")
TERMS = (
    (),
    ("dataset",),
    ("temporal_pooling",),
    ("module",),
    ("backbone",),
    ("frames",),
    ("dataset", "temporal_pooling"),
    ("dataset", "module"),
    ("dataset", "frames"),
    ("dataset", "backbone"),
    ("module", "temporal_pooling"),
    ("dataset", "module", "temporal_pooling"),
    ("module", "frames"),
    ("temporal_pooling", "frames"),
    ("module", "backbone"),
    ("temporal_pooling", "backbone"),
    ("backbone", "frames"),
)
"""Main effects and interactions, those first that are kept longest where a grid is small."""
FEWEST_DEGREES = 3
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class GridResult:
    """One trained cell of a grid: its axes and its accuracy in percent."""

    dataset: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    seed: int
    accuracy: float

    def at(self, axes: Sequence[str]) -> tuple[Any, ...]:
        """Return the values of some axes."""
        return tuple(getattr(self, axis) for axis in axes)


@dataclass(frozen=True)
class Effect:
    """What changing one axis from `against` to `level` does, in points, over the matched cells of a scope.

    `dataset` and `modules` are the scope: one dataset, or None for all; the modules. `p` is two-sided; NaN
    where an axis has no other level to compare with.
    """

    axis: str
    level: Any
    against: Any
    dataset: str | None
    modules: tuple[str, ...]
    interval: Interval
    p: float


class GridModel:
    """The fitted model; raises ValueError where the cells are too few to tell an effect from chance.

    Args:
        results: the cells, one row a training.
        right: for each cell which videos it got right, in one order within a dataset; None where not known.
            Where any cell of a dataset lacks them, effects speak of this dataset's evaluated videos alone.
        level: the probability with which intervals hold the true value.
    """

    def __init__(
        self,
        results: Sequence[GridResult],
        right: Sequence[NDArray[np.bool_] | None] | None = None,
        level: float = LEVEL,
    ) -> None:
        self._results, self._level = list(results), level
        self._right = list(right) if right is not None else [None] * len(self._results)
        self.terms, self.between, self.within = _terms_for(self._results)

    @property
    def chains(self) -> int:
        """How many chains the cells belong to."""
        return len({one.at(CHAIN) for one in self._results})

    @cached_property
    def video_sets(self) -> tuple[str, ...]:
        """The datasets of which every cell has predictions on the same videos."""
        found = []
        for dataset in self.levels("dataset"):
            known = [self._right[place] for place in self._of(dataset)]
            sizes = {None if one is None else len(one) for one in known}
            if None not in sizes and len(sizes) == 1:
                found.append(dataset)
        return tuple(found)

    def levels(self, axis: str) -> list[Any]:
        """Return the values of an axis, sorted."""
        return sorted({getattr(one, axis) for one in self._results})

    def has(self, *axes: str) -> bool:
        """Return whether the interaction of these axes is in the model; axes of one value always are."""
        needed = {axis for axis in axes if len(self.levels(axis)) > 1}
        return any(needed <= set(term) for term in self.terms)

    def effect(
        self, axis: str, level: object, against: object, dataset: str | None, modules: Sequence[str]
    ) -> Effect | None:
        """Return the effect over the cells of a scope that exist at both values; None without any."""
        contrast = self._contrast(axis, level, against, dataset, modules)
        if contrast is None:
            return None
        interval, p = self._interval(contrast, along=axis == "frames")
        return Effect(axis, level, against, dataset, tuple(modules), interval, p)

    def pooling_exceptions(self, dataset: str) -> tuple[str, ...]:
        """Return the modules whose gain from temporal pooling differs from that of the others.

        The one that differs most is taken out while Holm's correction over the modules finds any.
        """
        left, out = [one for one in self.levels("module") if self._pooling(dataset, [one]) is not None], []
        while len(left) > 2:
            found = [self._deviation(dataset, one, left) for one in left]
            corrected = holm([p for _, p in found])
            sure = [place for place, p in enumerate(corrected) if p < SIGNIFICANT]
            if not sure:
                break
            out.append(left.pop(max(sure, key=lambda place: abs(found[place][0].estimate))))
        return tuple(out)

    def _pooling(self, dataset: str, modules: Sequence[str]) -> Floats | None:
        return self._contrast("temporal_pooling", True, False, dataset, modules)

    def _deviation(self, dataset: str, module: str, modules: Sequence[str]) -> tuple[Interval, float]:
        own = self._pooling(dataset, [module])
        others = self._pooling(dataset, [one for one in modules if one != module])
        assert own is not None and others is not None
        return self._interval(own - others)

    def _contrast(
        self, axis: str, level: object, against: object, dataset: str | None, modules: Sequence[str]
    ) -> Floats | None:
        """The mean over matched places of the design's row at `level` less that at `against`."""
        import numpy as np

        others = [one for one in AXES if one != axis]
        places: dict[tuple[Any, ...], dict[Any, GridResult]] = {}
        for one in self._results:
            allowed = dataset is None or one.dataset == dataset or axis == "dataset"
            if allowed and (axis == "module" or one.module in modules):
                places.setdefault(one.at(others), {})[getattr(one, axis)] = one
        both = [found for found in places.values() if level in found and against in found]
        if not both:
            return None
        rows = [self._row(found[level]) - self._row(found[against]) for found in both]
        return np.asarray(np.mean(rows, axis=0), float)

    def _row(self, one: GridResult) -> Floats:
        import numpy as np

        row = np.zeros(len(self._columns))
        for term in self.terms:
            row[self._columns[(term, one.at(term))]] = 1
        return row

    @cached_property
    def _columns(self) -> Mapping[tuple[Any, ...], int]:
        return _columns_of(self._results, self.terms)

    @cached_property
    def _fit(self) -> tuple[Floats, Floats, Floats]:
        """Weights of the cells in each column's coefficient, the coefficients, and their covariance."""
        import numpy as np

        design = np.array([self._row(one) for one in self._results])
        left, sizes, right = np.linalg.svd(design, full_matrices=False)
        rank = int((sizes > 1e-9 * sizes[0]).sum())
        basis, back = left[:, :rank], right[:rank].T / sizes[:rank]
        accuracy = np.array([one.accuracy for one in self._results])
        covariance = _covariance(accuracy, basis, self._results)
        solved = np.linalg.solve(covariance, basis)
        inverse = np.linalg.inv(basis.T @ solved)
        weights = back @ inverse @ solved.T
        return weights, weights @ accuracy, back @ inverse @ back.T

    def _interval(self, contrast: Floats, *, along: bool = False) -> tuple[Interval, float]:
        """The interval of a contrast and its p; `along` says that it lies within chains."""
        from scipy.special import stdtr

        weights, coefficients, covariance = self._fit
        estimate, own = float(contrast @ coefficients), float(contrast @ covariance @ contrast)
        total = own + self._of_videos(contrast @ weights, along)
        degrees = self.within if along else self.between
        if total <= 0:
            return Interval(estimate, estimate, estimate), math.nan
        # Satterthwaite: the videos' part is known as good as exactly.
        wide = min(degrees * (total / own) ** 2, 1e6) if own > 0 else 1e6
        half = student_quantile(self._level, wide) * math.sqrt(total)
        p = 2 * float(stdtr(wide, -abs(estimate) / math.sqrt(total)))
        return Interval(estimate, estimate - half, estimate + half), p

    def _of_videos(self, weights: Floats, along: bool) -> float:
        """The variance of Σ weight × accuracy over videos, less what the residuals of chains hold already."""
        return sum(one.variance(weights[one.places], along) for one in self._videos)

    @cached_property
    def _videos(self) -> list[_Videos]:
        return [self._videos_of(self._of(dataset)) for dataset in self.video_sets]

    def _videos_of(self, places: list[int]) -> _Videos:
        import numpy as np

        results = [self._results[place] for place in places]
        # Percent by videos × cells, as the accuracies are.
        matrix = 100.0 * np.array([self._right[place] for place in places]).T
        rows = _one_hot(results, self.terms)
        numbers = _numbers(results, lambda one: one.at(CHAIN))
        chains = [[row for row, one in enumerate(numbers) if one == chain] for chain in sorted(set(numbers))]
        between, within = _degrees(results, self.terms)
        return _Videos(
            places,
            matrix,
            matrix - matrix @ (rows @ np.linalg.pinv(rows)).T,
            chains,
            len(chains) / between if between else 0.0,
            (len(places) - len(chains)) / within if within else 0.0,
        )

    def _of(self, dataset: str) -> list[int]:
        return [place for place, one in enumerate(self._results) if one.dataset == dataset]


@dataclass(frozen=True)
class _Videos:
    """One dataset's videos × cells: what each got (percent), and what the fixed effects leave of it.

    `between` and `within` bring the residuals' variance to what it was before effects were fitted.
    """

    places: list[int]
    matrix: Floats
    residuals: Floats
    chains: list[list[int]]
    between: float
    within: float

    def variance(self, weights: Floats, along: bool) -> float:
        """The variance over videos of Σ weight × accuracy, less what the residuals of chains hold already."""
        videos = len(self.matrix)
        whole = float((self.matrix @ weights).var())
        held = sum(float((self.residuals[:, one] @ weights[one]).var()) for one in self.chains)
        return max(0.0, whole - held * (self.within if along else self.between)) / videos


def _columns_of(
    results: Sequence[GridResult], terms: Sequence[tuple[str, ...]]
) -> dict[tuple[Any, ...], int]:
    names = [(term, value) for term in terms for value in sorted({one.at(term) for one in results})]
    return {name: place for place, name in enumerate(names)}


def _terms_for(results: Sequence[GridResult]) -> tuple[tuple[tuple[str, ...], ...], int, int]:
    """The terms that leave enough degrees of freedom between and within chains, and these two numbers."""
    varied = {axis for axis in AXES if len({one.at([axis]) for one in results}) > 1}
    terms = [term for term in TERMS if varied.issuperset(term)]
    while len(terms) > 1:
        between, within = _degrees(results, terms)
        if between >= FEWEST_DEGREES and (within >= FEWEST_DEGREES or "frames" not in varied):
            return tuple(terms), between, within
        terms.pop()
    raise ValueError(
        f"{len(results)} cells; GridModel; too few to tell an effect from chance: {what_is_missing(results)}"
    )


def what_is_missing(results: Sequence[GridResult]) -> str:
    """Return in words what cells that are too few for a `GridModel` lack.

    The smallest model has one axis: of its `FEWEST_DEGREES` between chains, chains less the axis's values are
    left, however many lengths and seeds each chain has.
    """
    chains = len({one.at(CHAIN) for one in results})
    values = (len({one.at(term) for one in results}) for term in TERMS if len(term) == 1 and term[0] in CHAIN)
    needed = FEWEST_DEGREES + next((count for count in values if count > 1), 2)
    if chains >= needed:
        return f"it needs {FEWEST_DEGREES} cells or more beyond one of each model, such as further lengths"
    return (
        f"it needs {needed} models or more that differ in module, backbone, temporal pooling or dataset, and "
        f"{chains} {'is' if chains == 1 else 'are'} done; lengths and seeds of one model count once"
    )


def _degrees(results: Sequence[GridResult], terms: Sequence[tuple[str, ...]]) -> tuple[int, int]:
    """Degrees of freedom between and within chains, by containment: rank [X Z] - rank X, n - rank [X Z]."""
    import numpy as np

    design = _one_hot(results, terms)
    chains = _one_hot(results, [CHAIN])
    alone, joint = np.linalg.matrix_rank(design), np.linalg.matrix_rank(np.hstack([design, chains]))
    return int(joint - alone), int(len(results) - joint)


def _one_hot(results: Sequence[GridResult], terms: Sequence[tuple[str, ...]]) -> Floats:
    import numpy as np

    columns = _columns_of(results, terms)
    matrix = np.zeros((len(results), len(columns)))
    for (row, one), term in itertools.product(enumerate(results), terms):
        matrix[row, columns[(term, one.at(term))]] = 1
    return matrix


def _covariance(accuracy: Floats, basis: Floats, results: Sequence[GridResult]) -> Floats:
    """The covariance of the cells by restricted maximum likelihood (statsmodels' MixedLM)."""
    import numpy as np

    chains = np.array(_numbers(results, lambda one: one.at(CHAIN)))
    runs = np.array(_numbers(results, lambda one: (*one.at(CHAIN), one.seed)))
    count, rank = basis.shape
    residuals = accuracy - basis @ (basis.T @ accuracy)
    scale = float(residuals @ residuals) / max(1, count - rank)
    several = len(set(chains)) < count
    if not several or scale < 1e-12:
        return np.diag(np.full(count, max(scale, 1e-12)))
    nested = len(set(chains)) < len(set(runs)) < count
    residual, chain, run = _variances(accuracy, basis, chains, runs if nested else None)
    same_chain, same_run = chains[:, None] == chains, runs[:, None] == runs
    return np.asarray(residual * np.eye(count) + chain * same_chain + run * same_run, float)


def _numbers(results: Sequence[GridResult], name: Callable[[GridResult], tuple[Any, ...]]) -> list[int]:
    known: dict[tuple[Any, ...], int] = {}
    return [known.setdefault(name(one), len(known)) for one in results]


def _variances(
    accuracy: Floats, basis: Floats, chains: NDArray[np.int_], runs: NDArray[np.int_] | None
) -> tuple[float, float, float]:
    """Variances of the residual, of chains and of a chain's runs."""
    import numpy as np
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    parts: dict[str, Any] = {"exog_re": np.ones((len(accuracy), 1))}
    if runs is not None:
        tables = [
            np.equal.outer(runs[chains == one], np.unique(runs[chains == one])) for one in np.unique(chains)
        ]
        matrices = [1.0 * table for table in tables]
        columns = [[f"run {one}" for one in range(matrix.shape[1])] for matrix in matrices]
        parts["exog_vc"] = VCSpec(["run"], [columns], [matrices])
    order = np.argsort(chains, kind="stable")
    with warnings.catch_warnings():
        # A variance that comes out as 0 lies at the edge of what is possible: no fault, and often so.
        warnings.simplefilter("ignore")
        model = MixedLM(accuracy[order], basis[order], groups=chains[order], **parts)
        # Methods that follow the gradient stay at a variance of 0: that of its root is 0 there.
        fit = model.fit(reml=True, method=["powell"])
    run = float(fit.vcomp[0]) if runs is not None else 0.0
    return float(fit.scale), float(fit.cov_re[0, 0]), run
