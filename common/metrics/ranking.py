"""Metrics of ranked lists: search results, recommendations, similar items.

Lists come as what the ranker put at each place: `relevance` (Q, L), row q the list of query q, best place first.
For the metrics of found or not it is 0 or 1, for DCG a grade of 0 or more. `n_relevant` (Q,) counts all that are
relevant to a query, found or not. Every metric gives a value a query, (Q,), so that queries can be resampled
(`common.metrics.bootstrap`). Where a query has nothing relevant, the shares of what there was to find (recall,
average precision, nDCG) are NaN, and what only looks at the list (precision, reciprocal rank, DCG) is 0.

Notation and definitions, where no other source is named: Manning, Raghavan and Schütze, Introduction to
Information Retrieval (2008), chapter 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.metrics.multilabel import defined_mean

Floats = NDArray[np.float64]
Gain = Literal["linear", "exponential"]

GAINS: dict[str, Callable[[Floats], Floats]] = {
    "linear": lambda grades: grades,
    "exponential": lambda grades: np.exp2(grades) - 1,
}
"""Gain of a grade, 0 for a grade of 0."""


def in_rank_order(relevance: ArrayLike, scores: ArrayLike) -> Floats:
    """Sort relevance (Q, L) by scores (Q, L), highest first; of equal scores the earlier column first.

    A ranker that gives all items one score keeps the order of the columns: shuffle them if that order knows
    the answer.

    Raises:
        ValueError: shapes that differ or are not (Q, L), or scores that are NaN.
    """
    grades, values = _check(relevance), np.asarray(scores, dtype=np.float64)
    if grades.shape != values.shape:
        raise ValueError(f"relevance {grades.shape} and scores {values.shape} differ in shape")
    if np.isnan(values).any():
        raise ValueError("scores must not be NaN, which has no place in an order")
    order = np.argsort(-values, axis=1, kind="stable")  # (Q, L)
    return np.take_along_axis(grades, order, axis=1)


def precision_at_k(relevance: ArrayLike, k: int) -> Floats:
    """Precision@k = relevant among the first k / k; places past the end of a list count as misses.

    Args:
        relevance: (Q, L) of 0 and 1.
        k: how many places count, at least 1.

    Raises:
        ValueError: relevance that is not (Q, L) of 0 and 1, or k below 1.
    """
    return np.asarray(_check(relevance, k, binary=True)[:, :k].sum(axis=1) / k)


def recall_at_k(relevance: ArrayLike, k: int, n_relevant: ArrayLike | None = None) -> Floats:
    """Recall@k = relevant among the first k / all relevant.

    Args:
        relevance: (Q, L) of 0 and 1.
        k: how many places count, at least 1.
        n_relevant: (Q,) all that are relevant; None if the lists hold them all.

    Raises:
        ValueError: fewer relevant than the list holds, or k below 1.
    """
    hits = _check(relevance, k, binary=True)
    return _divide(hits[:, :k].sum(axis=1), _count_relevant(hits, n_relevant))


def average_precision_at_k(relevance: ArrayLike, k: int | None = None, n_relevant: ArrayLike | None = None) -> Floats:
    """AP@k = sum over relevant places i <= k of Precision@i / min(k, all relevant).

    The divisor is the one with which a perfect list scores 1 at every k; TREC's divides by all relevant.

    Args:
        relevance: (Q, L) of 0 and 1.
        k: how many places count; None for all, which is plain average precision.
        n_relevant: (Q,) all that are relevant; None if the lists hold them all.

    Raises:
        ValueError: fewer relevant than the list holds, or k below 1.
    """
    hits = _check(relevance, k, binary=True)
    total = _count_relevant(hits, n_relevant)
    top = hits[:, :k]  # (Q, k)
    precisions = top.cumsum(axis=1) / np.arange(1, top.shape[1] + 1)  # (Q, k) Precision@i
    return _divide((precisions * top).sum(axis=1), total if k is None else np.minimum(total, k))


def mean_average_precision(relevance: ArrayLike, k: int | None = None, n_relevant: ArrayLike | None = None) -> float:
    """MAP@k: `average_precision_at_k`, averaged over the queries that have something relevant; NaN if none has."""
    return defined_mean(average_precision_at_k(relevance, k, n_relevant))


def reciprocal_rank(relevance: ArrayLike, k: int | None = None) -> Floats:
    """1 / place of the first relevant item, places counted from 1; 0 where none is in the list.

    Args:
        relevance: (Q, L) of 0 and 1.
        k: how many places count; None for all.

    Raises:
        ValueError: relevance that is not (Q, L) of 0 and 1, or k below 1.
    """
    hits = _check(relevance, k, binary=True)[:, :k]
    if hits.shape[1] == 0:
        return np.zeros(len(hits))
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def mean_reciprocal_rank(relevance: ArrayLike, k: int | None = None) -> float:
    """MRR: `reciprocal_rank`, averaged over all queries (Voorhees, TREC-8 1999); NaN without queries."""
    return defined_mean(reciprocal_rank(relevance, k))


def dcg_at_k(grades: ArrayLike, k: int | None = None, gain: Gain = "linear") -> Floats:
    """DCG@k = sum over places i <= k of gain(grade_i) / log2(i + 1).

    Args:
        grades: (Q, L) relevance of 0 or more.
        k: how many places count; None for all.
        gain: "linear" is the grade (Järvelin and Kekäläinen 2002; scikit-learn), "exponential" 2^grade - 1
            (Burges et al. 2005; most web search). They agree on grades of 0 and 1.

    Raises:
        ValueError: negative grades, k below 1, or another gain.
    """
    top = _check(grades, k)[:, :k]  # (Q, k)
    if gain not in GAINS:
        raise ValueError(f"gain = {gain!r} is none of {', '.join(map(repr, GAINS))}")
    return np.asarray(GAINS[gain](top) @ (1 / np.log2(np.arange(2, top.shape[1] + 2))))


def ndcg_at_k(
    grades: ArrayLike,
    k: int | None = None,
    gain: Gain = "linear",
    all_grades: ArrayLike | None = None,
) -> Floats:
    """nDCG@k = DCG@k / DCG@k of the best order there is (Järvelin and Kekäläinen 2002).

    Args:
        grades: (Q, L) relevance of 0 or more in rank order.
        k: how many places count; None for all.
        gain: as in `dcg_at_k`.
        all_grades: (Q, M) grades of all items, found or not, in any order, 0 for filling up; None if the lists
            hold every relevant item. Without it a list that found one bad item of many good ones scores 1.

    Raises:
        ValueError: negative grades, other queries in all_grades, a list better than the best, k below 1, or another
            gain.
    """
    found = _check(grades, k)
    best = -np.sort(-(found if all_grades is None else _check(all_grades)), axis=1)  # (Q, M)
    if len(best) != len(found):
        raise ValueError(f"grades of {len(found)} queries, and all grades of {len(best)}")
    values = _divide(dcg_at_k(found, k, gain), dcg_at_k(best, k, gain))
    if (values > 1 + 1e-9).any():
        raise ValueError("all_grades lack some of the grades of the list")
    return np.asarray(np.minimum(values, 1.0))  # sums in another order differ in their last digit


def _check(relevance: ArrayLike, k: int | None = None, binary: bool = False) -> Floats:
    grades = np.asarray(relevance, dtype=np.float64)
    if grades.ndim != 2:
        raise ValueError(f"relevance {grades.shape} is not (Q, L)")
    if k is not None and k < 1:
        raise ValueError(f"k is {k}, and must be at least 1")
    if not (np.isfinite(grades).all() and (grades >= 0).all()):
        raise ValueError("relevance must be finite and not negative")
    if binary and not np.isin(grades, (0, 1)).all():
        raise ValueError("relevance must be 0 or 1; for grades there is nDCG")
    return grades


def _count_relevant(hits: Floats, n_relevant: ArrayLike | None) -> Floats:
    found = hits.sum(axis=1)  # (Q,)
    total = found if n_relevant is None else np.asarray(n_relevant, dtype=np.float64)
    if total.shape != found.shape or not (total >= found).all():
        raise ValueError("n_relevant must have a number a query, no smaller than what its list holds")
    return total


def _divide(values: Floats, by: Floats) -> Floats:
    """NaN where the divisor is 0."""
    return np.asarray(np.divide(values, by, out=np.full(len(values), np.nan), where=by > 0))
