"""How well types are found: on generated households whose types are known, beside other methods, and on real ones."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from challenges.radix_energy.baselines import Method, Series, methods
from challenges.radix_energy.dataset import unused_reasons
from challenges.radix_energy.features import Features
from challenges.radix_energy.model import MAX_FITTED, HouseholdTypes, choose, fit_mixture, fit_space, in_order
from challenges.radix_energy.sample import Sample, generate
from common.cli import progress
from common.errors import UserError
from common.metrics.bootstrap import Interval
from common.metrics.clustering import (
    adjusted_rand_index,
    adjusted_rand_interval,
    best_jaccard,
    mean_adjusted_rand_interval,
)

if TYPE_CHECKING:
    from challenges.radix_energy import dataset

Labels = NDArray[np.int64]

SEEDS: Final = range(5)
PLANTED_TYPES: Final = (8, 9, 10, 11, 12)
DAYS_OF_WEEK: Final = 7


class Flaws(NamedTuple):
    """Shares, as `sample.generate` takes them."""

    missing: float = 0.0
    outliers: float = 0.0
    clock_shifts: float = 0.0


FLAWS: Final = Flaws(missing=0.1, outliers=0.05, clock_shifts=0.15)
"""Of the generated households, where they are to be hard."""


class Planted(NamedTuple):
    """What was found on one generated sample."""

    sample: Sample
    n_planted: int
    given: Labels  # (N,) with the true number given
    found: Labels  # (N,) with the number found
    n_found: int
    typical: NDArray[np.bool_]  # (N,) with the number found


def evaluate(readings: dataset.Readings, *, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """All measurements, fit for `metrics.json`.

    Args:
        readings: of the households to measure on, beside the generated ones; of more than model.MAX_FITTED, so many
            are drawn at random, because some of the methods take memory with their square.
        seeds: of the generated samples, whose numbers of types go through PLANTED_TYPES.

    Raises:
        UserError: no household has enough readings in odd and in even weeks.
    """
    n = len(readings.kwh)
    chosen = np.sort(np.random.default_rng(0).choice(n, min(n, MAX_FITTED), replace=False))
    kwh, dates = readings.kwh[chosen], readings.dates
    split_weeks(kwh, dates)  # what cannot be split is told before the long work
    sample = generate()
    features = Series(kwh, dates).features
    types = HouseholdTypes().fit(features)
    n_types = types.chosen_.n_types
    return {
        "planted": score_planted(seeds),
        "planted_with_flaws": score_planted(seeds, flaws=FLAWS),
        "methods_on_planted": compare_methods(sample.kwh, sample.dates, len(set(sample.types)), sample.types),
        "methods_on_data": compare_methods(kwh, dates, n_types),
        "weeks": week_agreement(kwh, dates),
        "types": {
            "n_types": n_types,
            "stability": types.chosen_.stability,
            "shares": types.mixture_.weights_,
            "jaccard": bootstrap_stability(types, features),
        },
    }


def headline(metrics: dict[str, Any]) -> str:
    """One line of the headline metrics with their intervals."""
    planted, flawed, weeks = metrics["planted"], metrics["planted_with_flaws"], metrics["weeks"]
    return (
        f"planted types: ARI {Interval(**planted['ari_given'])} with their number given, "
        f"{Interval(**planted['ari_found'])} with it found (right within one: {planted['within_one']:.0%}), "
        f"{Interval(**flawed['ari_given'])} with flaws; "
        f"odd against even weeks: {Interval(**weeks['ari'])} with {weeks['n_types']} types"
    )


def score_planted(
    seeds: Iterable[int] = SEEDS,
    n_types: Iterable[int] = PLANTED_TYPES,
    *,
    n_households: int = 1000,
    flaws: Flaws = Flaws(),
) -> dict[str, Any]:
    """Find types that were planted, with their number given and without.

    Outliers have no true type: the adjusted Rand index (ARI) is that of all others.

    Args:
        seeds: of the samples.
        n_types: numbers of types, one for each seed, over and over.
        n_households: in a sample, at most model.MAX_FITTED.
        flaws: of the samples.

    Returns:
        Mean ARI over the samples with the interval over households, the lowest ARI, how often the number found is
        right within one, what is marked as fitting nowhere, and a row for each sample.
    """
    pairs = list(zip(seeds, cycle(n_types), strict=False))
    found: list[Planted] = []
    with progress("planted types", total=len(pairs)) as advance:
        for seed, number in pairs:
            found.append(_find_planted(generate(n_households, number, seed=seed, **flaws._asdict()), number, seed))
            advance()
    given = [_of_planted(p.sample.types, p.given) for p in found]
    without = [_of_planted(p.sample.types, p.found) for p in found]
    rows = [
        {
            "seed": seed,
            "n_types": number,
            "n_found": p.n_found,
            "ari_given": adjusted_rand_index(*a),
            "ari_found": adjusted_rand_index(*b),
        }
        for (seed, number), p, a, b in zip(pairs, found, given, without, strict=True)
    ]
    errors = np.array([p.n_found - p.n_planted for p in found])
    planted = np.concatenate([p.sample.types >= 0 for p in found])
    typical = np.concatenate([p.typical for p in found])
    return {
        "flaws": flaws._asdict(),
        "ari_given": asdict(mean_adjusted_rand_interval(given)),
        "ari_found": asdict(mean_adjusted_rand_interval(without)),
        "lowest_ari_given": min(row["ari_given"] for row in rows),
        "lowest_ari_found": min(row["ari_found"] for row in rows),
        "within_one": float((np.abs(errors) <= 1).mean()),
        "atypical_share_of_planted": float(1 - typical[planted].mean()),
        "atypical_share_of_outliers": float(1 - typical[~planted].mean()) if (~planted).any() else None,
        "samples": rows,
    }


def _find_planted(sample: Sample, n_types: int, seed: int) -> Planted:
    features = Series(sample.kwh, sample.dates).features
    if len(features.level) > MAX_FITTED:
        raise ValueError(f"{len(features.level)} households: both fits must be on all of them, at most {MAX_FITTED}")
    types = HouseholdTypes(seed=seed).fit(features)
    assignment = types.predict(features)
    # Candidates are measured once: the number given only chooses among them.
    chosen = choose(types.candidates_, len(features.level), n_types)
    points = types.space_.place(features)
    mixture = in_order(fit_mixture(points, n_types, chosen.spherical, seed))
    return Planted(
        sample, n_types, mixture.predict(points), assignment.types, types.chosen_.n_types, assignment.typical
    )


def compare_methods(
    kwh: NDArray[np.float32],
    dates: NDArray[np.datetime64],
    n_types: int,
    truth: Labels | None = None,
    *,
    seed: int = 0,
    compared: Sequence[Method] | None = None,
) -> list[dict[str, Any]]:
    """Score every method on the same households with the same number of types.

    Args:
        kwh: (N, D, 24).
        dates: (D,).
        n_types: given to all that take it.
        truth: (N,) true types, -1 for outliers, which are not scored. Without it types are learned from odd weeks,
            and `ari` is the agreement with the types of the same households in even weeks.
        seed: of all methods.
        compared: the methods; None takes all of `baselines.methods`.

    Returns:
        A row for each method: name, what it sees, number of types, ARI with its interval, seconds of learning. The
        agreement of weeks is nan where fewer than two types were found: one type agrees with itself.
    """
    learned, other = (Series(kwh, dates), None) if truth is not None else split_weeks(kwh, dates)[:2]
    rows = []
    for method in compared if compared is not None else methods():
        method.prepare()
        started = time.perf_counter()
        labels, assign = method.fit(learned, n_types, seed)
        seconds = time.perf_counter() - started
        n_found = len(np.unique(labels[labels >= 0]))
        if truth is not None:
            interval = adjusted_rand_interval(*_of_planted(truth, labels))
        elif other is not None and n_found > 1:
            interval = adjusted_rand_interval(labels, assign(other))
        else:
            interval = Interval(np.nan, np.nan, np.nan)
        rows.append(
            {
                "method": method.name,
                "sees": method.sees,
                "n_types": n_found,
                "ari": asdict(interval),
                "seconds": round(seconds, 2),
            }
        )
    return rows


def week_agreement(
    kwh: NDArray[np.float32], dates: NDArray[np.datetime64], n_types: int | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Learn types from odd weeks, assign even weeks to them: do households keep their type?

    Args:
        kwh: (N, D, 24).
        dates: (D,).
        n_types: None finds the number on the odd weeks.
        seed: of starts and splits.

    Returns:
        ARI with its interval, the number of types, the same of k-means on normalised profiles with as many types, and
        how many households were left out because one of the halves says too little of them.
    """
    odd, even, used = split_weeks(kwh, dates)
    types = HouseholdTypes(n_types, seed=seed).fit(odd.features)
    labels = types.predict(odd.features).types
    number = types.chosen_.n_types
    plain = [method for method in methods() if method.name == "k-means, profiles"]
    return {
        "ari": asdict(adjusted_rand_interval(labels, types.predict(even.features).types)),
        "n_types": number,
        "k_means_ari": compare_methods(kwh, dates, number, seed=seed, compared=plain)[0]["ari"],
        "n_households": int(used.sum()),
        "n_left_out": int((~used).sum()),
    }


def split_weeks(kwh: NDArray[np.float32], dates: NDArray[np.datetime64]) -> tuple[Series, Series, NDArray[np.bool_]]:
    """Odd weeks, even weeks, and (N,) which households both hold: those that either half says enough of.

    Weeks are counted from the first day, so that both halves begin on the same day of the week.

    Raises:
        UserError: no household can be used in both halves.
    """
    odd = np.arange(len(dates)) // DAYS_OF_WEEK % 2 == 0
    used = np.ones(len(kwh), dtype=bool)
    for days in (odd, ~odd):
        used[list(unused_reasons(kwh[:, days]))] = False
    if not used.any():
        raise UserError(
            f"{len(dates)} days: no household has enough readings in both odd and even weeks; give two weeks or more"
        )
    return Series(kwh[used][:, odd], dates[odd]), Series(kwh[used][:, ~odd], dates[~odd]), used


def bootstrap_stability(
    types: HouseholdTypes, features: Features, n_resamples: int = 20, seed: int = 0
) -> NDArray[np.float64]:
    """Mean Jaccard similarity of each type with what is found on households drawn anew.

    Each time N households (at most model.MAX_FITTED) are drawn with replacement, and as many types of the same form
    are fitted to them. A type is compared, among the households drawn, with the new one most like it (Hennig,
    'Cluster-wise assessment of cluster stability', 2007).

    Args:
        types: fitted.
        features: of N households.
        n_resamples: how often.
        seed: of the draws.

    Returns:
        (K,), 1 for types that are always found again; nan for one that none of the households belongs to.
    """
    rng = np.random.default_rng(seed)
    n_types = len(types.mixture_.centers_)
    reference = types.predict(features).types
    n = len(reference)
    found = np.full((n_resamples, n_types), np.nan)
    with progress("stability of types", total=n_resamples) as advance:
        for resample in range(n_resamples):
            drawn = np.sort(rng.integers(n, size=min(n, MAX_FITTED)))
            sample = Features(features.shape[drawn], features.level[drawn])
            points = fit_space(sample).place(sample)
            mixture = fit_mixture(points, n_types, types.mixture_.spherical, seed + resample, n_starts=6)
            distinct, first = np.unique(drawn, return_index=True)
            found[resample] = best_jaccard(reference[distinct], mixture.predict(points)[first], n_types)
            advance()
    known = ~np.isnan(found)
    counts = known.sum(0)
    return np.where(counts > 0, np.where(known, found, 0.0).sum(0) / np.maximum(counts, 1), np.nan)


def _of_planted(truth: Labels, labels: Labels) -> tuple[Labels, Labels]:
    """Both without the outliers."""
    return truth[truth >= 0], labels[truth >= 0]
