"""Household types: what households are compared by, how many types there are, and who belongs to which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from challenges.radix_energy.features import Features, standardised
from challenges.radix_energy.mixture import StudentMixture
from common.cli import progress
from common.errors import UserError

Floats = NDArray[np.float64]
Form = tuple[int, bool]  # number of types, spherical

LEVEL_WEIGHT: Final = 2.5
N_COMPONENTS: Final = 10
WINSOR_SPREADS: Final = 4.0
"""Values further than this many spreads from the median are moved there: one house must not turn an axis."""
MAX_FITTED: Final = 2_000
"""Types are found on at most so many households, drawn at random; every other is assigned to them."""
MAX_TYPES: Final = 16
MIN_TYPES: Final = 4
"""Fewer than four types say no more than much or little, by day or by night."""
N_SPLITS: Final = 6
"""Every candidate is tried on the first split, the promising ones on all."""
PROMISING: Final = 0.15
STABLE: Final = 0.8
"""A candidate is stable that reaches this share of the best stability."""
TYPE_PRICE: Final = 0.25
"""What a further type must gain, beyond the Bayesian information criterion, in -2 log likelihood per household."""
TYPICAL_QUANTILE: Final = 0.99


@dataclass(frozen=True)
class Space:
    """Where households are points: clipped features turned onto their principal axes."""

    low: Floats  # (49,) bounds that features are clipped to
    high: Floats  # (49,)
    mean: Floats  # (49,)
    axes: Floats  # (d, 49) principal axes, rows of length 1

    def place(self, features: Features) -> Floats:
        """N households -> (N, d) points."""
        clipped = np.clip(standardised(features, LEVEL_WEIGHT), self.low, self.high)
        return np.asarray((clipped - self.mean) @ self.axes.T)


@dataclass(frozen=True)
class Assignment:
    """To which types N households belong."""

    types: NDArray[np.int64]  # (N,) likeliest type, from 0
    probabilities: Floats  # (N, K) of each type; rows sum to 1
    distances: Floats  # (N,) from the type's centre, 1 at the edge of what is typical
    typical: NDArray[np.bool_]  # (N,) False: fits nowhere, the type is only the nearest


@dataclass(frozen=True)
class Candidate:
    """What speaks for a number of types."""

    n_types: int
    spherical: bool  # types equally wide in all directions
    stability: float  # mean adjusted Rand index between types found on two random halves
    bic: float  # of the mixture on all; lower is better


class HouseholdTypes:
    """Types of households, by level and shape of their use.

    Features are clipped, turned onto their first principal axes and clustered by a mixture of t distributions. The
    number of types, and whether they are equally wide in all directions, is the likeliest of those that are stable:
    two random halves of the households, fitted apart, sort all households alike.

    Args:
        n_types: how many; None finds out.
        seed: of starts, splits and the sample.

    Attributes:
        space_: where households are points.
        mixture_: the types there, in order of falling share.
        candidates_: the numbers and forms of types that were tried.
        chosen_: the one of them that the types are.
        supported_: the one that the data supports, the same unless `n_types` was given.
    """

    def __init__(self, n_types: int | None = None, *, seed: int = 0) -> None:
        self.n_types = n_types
        self.seed = seed

    def fit(self, features: Features) -> Self:
        """Find the types of N households.

        Raises:
            UserError: fewer households than can be sorted into types.
        """
        n = len(features.level)
        if n < 2 * max(self.n_types or 2, 2):
            raise UserError(f"{n} usable households are too few for {self.n_types or 2} types: give more data")
        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.choice(n, min(n, MAX_FITTED), replace=False))
        sample = Features(features.shape[chosen], features.level[chosen])
        self.space_ = fit_space(sample)
        points = self.space_.place(sample)
        numbers = {*range(2, min(MAX_TYPES, n // 10) + 1), self.n_types or 2}
        self.candidates_ = try_candidates(points, sorted(numbers), self.seed)
        self.chosen_ = choose(self.candidates_, len(points), self.n_types)
        self.supported_ = choose(self.candidates_, len(points))
        self.mixture_ = in_order(fit_mixture(points, self.chosen_.n_types, self.chosen_.spherical, self.seed))
        return self

    def predict(self, features: Features) -> Assignment:
        """Assign N households to the types, without refitting."""
        return assign(self.mixture_, self.space_.place(features))


def fit_space(features: Features) -> Space:
    """Bounds and principal axes of N households."""
    rows = standardised(features, LEVEL_WEIGHT)  # (N, 49)
    middle = np.median(rows, axis=0)
    # Half the distance between the 16th and the 84th percentile is the standard deviation of a Gaussian.
    spread = np.maximum(np.diff(np.quantile(rows, [0.16, 0.84], axis=0), axis=0)[0] / 2, 1e-3)
    low, high = middle - WINSOR_SPREADS * spread, middle + WINSOR_SPREADS * spread
    clipped = np.clip(rows, low, high)
    mean = clipped.mean(0)
    _, _, axes = np.linalg.svd(clipped - mean, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # a sign that does not hang on LAPACK
    return Space(low, high, mean, axes[:N_COMPONENTS])


def fit_mixture(points: Floats, n_types: int, spherical: bool, seed: int, n_starts: int = 24) -> StudentMixture:
    """Cluster (N, d) points into `n_types`."""
    return StudentMixture(n_types, spherical=spherical, n_starts=n_starts, seed=seed).fit(points)


def in_order(mixture: StudentMixture) -> StudentMixture:
    """The same mixture, its clusters renumbered by falling weight."""
    order = np.argsort(-mixture.weights_, kind="stable")
    mixture.centers_, mixture.weights_ = mixture.centers_[order], mixture.weights_[order]
    return mixture


def assign(mixture: StudentMixture, points: Floats) -> Assignment:
    """Sort (N, d) points into the types of `mixture`.

    A household is typical of its type where a t distribution would put it 99 times of 100: the squared
    Mahalanobis distance, divided by d, follows an F distribution with d and nu degrees of freedom.
    """
    from scipy.stats import f

    d = points.shape[1]
    types = mixture.predict(points)
    squared = mixture.distances(points)[np.arange(len(points)), types]
    limit = d * f.ppf(TYPICAL_QUANTILE, d, mixture.degrees_of_freedom)
    distances = np.sqrt(squared / limit)
    return Assignment(types, mixture.predict_proba(points), distances, distances <= 1)


def try_candidates(points: Floats, numbers: Sequence[int], seed: int) -> list[Candidate]:
    """Measure how stable each number and form of types is on (N, d) points.

    Stability is the mean adjusted Rand index (Hubert and Arabie, 1985) between the labels that two mixtures give
    to all points, each fitted on one random half (Lange et al., 'Stability-based validation of clustering
    solutions', 2004). A type that is real is found again on other households; half of a type is not.
    """
    forms = [(number, spherical) for spherical in (False, True) for number in numbers]
    agreements: dict[Form, list[float]] = {}
    # One BLAS thread: on matrices this small more only wait for each other.
    with threadpool_limits(1), progress("how many types", total=len(forms)) as advance:
        for form in forms:
            agreements[form] = [_agreement(points, *form, seed)]
            advance()
        best = max(agreements[form][0] for form in forms if form[0] >= min(MIN_TYPES, max(numbers)))
        for form in forms:
            if agreements[form][0] >= best - PROMISING:
                agreements[form] += [_agreement(points, *form, seed + split) for split in range(1, N_SPLITS)]
        return [
            Candidate(*form, float(np.mean(agreements[form])), float(fit_mixture(points, *form, seed, n_starts=1).bic_))
            for form in forms
        ]


def _agreement(points: Floats, n_types: int, spherical: bool, seed: int) -> float:
    """Adjusted Rand index of the labels by two mixtures, each fitted on one half of the points."""
    from sklearn.metrics import adjusted_rand_score

    order = np.random.default_rng(seed).permutation(len(points))
    halves = order[: len(points) // 2], order[len(points) // 2 :]
    labels = [fit_mixture(points[half], n_types, spherical, seed, n_starts=1).predict(points) for half in halves]
    return float(adjusted_rand_score(*labels))


def eligible(candidates: Sequence[Candidate], n_types: int | None = None) -> Sequence[Candidate]:
    """Those with `n_types`, or without it at least MIN_TYPES; all of them where that leaves none."""
    return [c for c in candidates if (c.n_types == n_types if n_types else c.n_types >= MIN_TYPES)] or candidates


def choose(candidates: Sequence[Candidate], n_households: int, n_types: int | None = None) -> Candidate:
    """The likeliest of the stable candidates; of those with `n_types`, if that is given.

    Stability sorts out what is not found again. It would not do alone: it prefers six types that are found again
    99 times of 100 to the ten behind them that are found 96 times. Nor would likelihood, which goes on splitting
    types that are no perfect t distributions; hence a price for each.
    """
    allowed = eligible(candidates, n_types)
    best = max(candidate.stability for candidate in allowed)
    stable = min(STABLE * best, best)  # a handful of households can agree less than by chance: best < 0
    return min(
        (candidate for candidate in allowed if candidate.stability >= stable),
        key=lambda candidate: candidate.bic + TYPE_PRICE * n_households * candidate.n_types,
    )
