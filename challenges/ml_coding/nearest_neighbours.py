"""k nearest neighbours: a row is like the k training rows closest to it.

Nothing is learned, all work is in the query: one matrix product gives all squared distances at once, from
|a - b|² = |a|² - 2 a·b + |b|², and a partial sort finds the k smallest. That product rounds, so that the few
rows it leaves in question are measured again, exactly.

Ties are defined: of training rows equally far away the first counts, of equally many votes the lower class.

Complexity of M queries: O(M N D) time, O(N) of it a query for the selection; memory O(N D) and a chunk of
distances. No tree: beyond some 20 features it would look at most rows all the same.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_classes

Floats = NDArray[np.float64]

CHUNK = 1 << 20
"""Distances held at once: 8 MB."""


def squared_distances(A: Floats, B: Floats) -> Floats:
    """Between the rows of A (M, D) and of B (N, D): (M, N).

    Far from the origin the difference of two large squares loses all digits: centre the data first.
    """
    squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1)  # (M, N)
    return np.asarray(np.maximum(squares - 2 * (A @ B.T), 0.0))  # rounding may fall below 0


def nearest(X: Floats, queries: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
    """The k rows of X (N, D) closest to each query (M, D), closest first, equally close ones in order.

    Returns:
        Euclidean distances (M, k) and row numbers (M, k).

    Raises:
        ValueError: k is not within 1 to N, or the queries have other features than X.
    """
    if X.shape[1:] != queries.shape[1:]:  # one column would be compared with all
        raise ValueError(f"X {X.shape} and queries {queries.shape} are not (N, D) and (M, D)")
    if not 1 <= k <= len(X):
        raise ValueError(f"n_neighbors = {k} is not within 1 to n_samples = {len(X)}")
    origin = X[0]  # near the data, and whole numbers stay whole
    shifted, size = X - origin, max(1, CHUNK // len(X))
    squares = (shifted**2).sum(axis=1)  # (N,)
    parts = [
        _nearest(X, shifted, squares, queries[i : i + size], queries[i : i + size] - origin, k)
        for i in range(0, len(queries), size)
    ]
    distances, indices = zip(*parts, strict=True)
    return np.concatenate(distances), np.concatenate(indices)


def _nearest(
    X: Floats, shifted: Floats, squares: Floats, queries: Floats, centred: Floats, k: int
) -> tuple[Floats, NDArray[np.int64]]:
    rough = centred @ (-2 * shifted.T) + squares  # (M, N), without |a|², which orders nothing
    kth = np.partition(rough, k - 1, axis=1)[:, k - 1 : k]  # (M, 1)
    largest = (centred**2).sum(axis=1, keepdims=True) + squares.max()  # (M, 1)
    slack = 16 * (X.shape[1] + 2) * np.finfo(np.float64).eps * largest  # more than `rough` can be wrong by
    rows, columns = np.nonzero(rough <= kth + slack)  # (P,) pairs in question, at least k a query
    exact = ((queries[rows] - X[columns]) ** 2).sum(axis=1)  # (P,)
    order = np.lexsort((columns, exact, rows))  # (P,) by query, then distance, then row number
    starts = np.searchsorted(rows, np.arange(len(queries)))  # (M,) where each query's pairs begin
    chosen = order[starts[:, None] + np.arange(k)]  # (M, k)
    return np.sqrt(exact[chosen]), columns[chosen]


class KNeighborsClassifier(ClassifierMixin, BaseEstimator):
    """The class that most of the k nearest rows have.

    Args:
        n_neighbors: k.

    Attributes: classes_ (K,), and the training rows X_ (N, D) with codes_ (N,), their places among the classes.
    """

    def __init__(self, n_neighbors: int = 5) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Keep X (N, D) and classes y (N,).

        Raises:
            ValueError: bad shapes or values, or continuous y.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, self.codes_ = encode_classes(y)
        self.X_ = X
        return self

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Each class's share of the k votes for X (M, D): (M, K).

        Raises:
            ValueError: k is above the number of training rows.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        votes = self.codes_[nearest(self.X_, X, self.n_neighbors)[1]]  # (M, k)
        n_classes = len(self.classes_)
        cells = np.arange(len(X))[:, None] * n_classes + votes  # (M, k) places in the flat (M, K)
        counts = np.bincount(cells.ravel(), minlength=len(X) * n_classes).reshape(-1, n_classes)  # (M, K)
        return np.asarray(counts / self.n_neighbors)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The class with most votes for X (M, D), the lowest of equals: (M,)."""
        best = self.predict_proba(X).argmax(axis=1)  # (M,)
        return np.asarray(self.classes_[best])


class KNeighborsRegressor(RegressorMixin, BaseEstimator):
    """The mean target of the k nearest rows.

    Args:
        n_neighbors: k.

    Attributes: the training rows X_ (N, D) and targets y_ (N,).
    """

    def __init__(self, n_neighbors: int = 5) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Keep X (N, D) and targets y (N,)."""
        self.X_, self.y_ = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        return self

    def predict(self, X: NDArray[Any]) -> Floats:
        """The mean of the k nearest targets for X (M, D): (M,).

        Raises:
            ValueError: k is above the number of training rows.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(self.y_[nearest(self.X_, X, self.n_neighbors)[1]].mean(axis=1))
