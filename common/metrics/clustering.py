"""Agreement of clusterings where scikit-learn stops: intervals, and the stability of single clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.metrics.bootstrap import Interval, bootstrap_interval


def adjusted_rand_index(
    labels: NDArray[np.integer], others: NDArray[np.integer], counts: NDArray[np.integer] | None = None
) -> float:
    """Adjusted Rand index (Hubert and Arabie, 1985): agreement on which pairs of rows belong together, 0 by chance.

    scikit-learn's, but for `counts`: there a row that is drawn twice makes a pair with itself, on which any two
    clusterings agree, and bootstrap intervals of chance labels leave out 0. Here only pairs of distinct rows count.

    Args:
        labels: (N,) not negative.
        others: (N,) not negative, labels of the same rows.
        counts: (N,) how often each row was drawn; None is once.

    Raises:
        ValueError: other lengths, or labels that are negative or no integers.
    """
    labels, others = map(_few, _check(labels, others))
    drawn = np.ones(len(labels)) if counts is None else np.asarray(counts, dtype=np.float64)
    cells = np.bincount(_few(labels * (others.max(initial=0) + 1) + others), drawn)
    itself = (drawn**2).sum()
    together, of_labels, of_others, pairs = (
        ((sizes**2).sum() - itself) / 2
        for sizes in (cells, np.bincount(labels, drawn), np.bincount(others, drawn), drawn.sum(keepdims=True))
    )
    expected = of_labels * of_others / pairs if pairs else 0.0
    highest = (of_labels + of_others) / 2
    return float((together - expected) / (highest - expected)) if highest != expected else 1.0


def adjusted_rand_interval(
    labels: NDArray[np.integer], others: NDArray[np.integer], n_resamples: int = 1000, seed: int = 0
) -> Interval:
    """`adjusted_rand_index` with its 95 % bootstrap interval over rows.

    Rows are drawn anew, clusterings are not made anew: the interval says what other rows of the same kind would
    have shown, not what another fit would have found.

    Args:
        labels: (N,) any integers.
        others: (N,) any integers, labels of the same rows.
        n_resamples: how often the index is computed.
        seed: same seed, same interval.

    Raises:
        ValueError: no rows, or other lengths.
    """
    return mean_adjusted_rand_interval([(labels, others)], n_resamples, seed)


def mean_adjusted_rand_interval(
    samples: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]], n_resamples: int = 1000, seed: int = 0
) -> Interval:
    """Mean adjusted Rand index of several samples, with its 95 % bootstrap interval over the rows of all.

    Args:
        samples: labels and others of each, of as many rows as it has.
        n_resamples: how often the mean is computed.
        seed: same seed, same interval.

    Raises:
        ValueError: no rows, or other lengths.
    """
    numbered = [(_number(labels), _number(others)) for labels, others in samples]
    ends = np.cumsum([len(labels) for labels, _ in numbered], dtype=np.int64)
    n_rows = int(ends[-1]) if len(ends) else 0

    def mean(rows: NDArray[np.int64]) -> float:
        counts = np.split(np.bincount(rows, minlength=n_rows), ends[:-1])
        return float(np.mean([adjusted_rand_index(*pair, drawn) for pair, drawn in zip(numbered, counts, strict=True)]))

    return bootstrap_interval(mean, n_rows, n_resamples=n_resamples, seed=seed)


def best_jaccard(labels: NDArray[np.integer], others: NDArray[np.integer], n_clusters: int) -> NDArray[np.float64]:
    """Jaccard similarity of each cluster with the one of another clustering that is most like it.

    |A and B| / |A or B|, highest over B: the step of Hennig's stability ('Cluster-wise assessment of cluster
    stability', 2007). Averaged over resamples, above 0.75 is a valid, stable cluster; at 0.5 and below it is
    dissolved.

    Args:
        labels: (N,) clusters 0 to n_clusters - 1.
        others: (N,) labels of the same rows in any numbering, not negative.
        n_clusters: K.

    Returns:
        (K,), nan where a cluster has no rows.

    Raises:
        ValueError: other lengths, or labels that are out of range or no integers.
    """
    labels, others = _check(labels, others)
    if len(labels) == 0:
        return np.full(n_clusters, np.nan)
    if labels.max() >= n_clusters:
        raise ValueError(f"label {labels.max()}, with {n_clusters} clusters")
    others = _few(others)
    n_others = int(others.max()) + 1
    both = np.bincount(labels * n_others + others, minlength=n_clusters * n_others).reshape(n_clusters, n_others)
    sizes = both.sum(1)  # (K,)
    either = sizes[:, None] + both.sum(0) - both  # (K, L)
    jaccard = both / np.maximum(either, 1)
    return np.where(sizes > 0, jaccard.max(1), np.nan)


def _number(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The same clusters, numbered from 0."""
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _few(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same clusters by numbers below that of the rows: counts of all numbers up to the highest take memory."""
    return _number(labels) if labels.max(initial=0) >= max(1, len(labels)) else labels


def _check(labels: NDArray[np.integer], others: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    labels, others = np.asarray(labels), np.asarray(others)
    if labels.ndim != 1 or labels.shape != others.shape:
        raise ValueError(f"labels {labels.shape} and {others.shape} are not of the same rows")
    if any(found.dtype.kind not in "biu" for found in (labels, others)):
        raise ValueError(f"labels must be integers, not {labels.dtype} and {others.dtype}")
    if len(labels) and min(labels.min(), others.min()) < 0:
        raise ValueError("labels must not be negative")
    return labels.astype(np.int64), others.astype(np.int64)  # sums of smaller types would wrap
