"""k-means: k centres such that the squared distances of the rows to their nearest centre add up to least.

Lloyd's algorithm (1982) takes turns: each row to its nearest centre, each centre to the mean of its rows; the
sum falls until nothing moves. It ends where it began to lean, so it starts from rows drawn far apart
(k-means++; Arthur and Vassilvitskii 2007), several times, and keeps the best.

Complexity: O(N K D) time an iteration and for a start; O(N (D + K)) memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from challenges.ml_coding.nearest_neighbours import squared_distances
from challenges.ml_coding.parameters import check_counts, check_option
from challenges.ml_coding.sampling import sample_weighted

Floats = NDArray[np.float64]


class Run(NamedTuple):
    """Where one start led: (K, D) centres, (N,) clusters, sum of squared distances, iterations."""

    centers: Floats
    labels: NDArray[np.int64]
    inertia: float
    n_iter: int


def k_means_plus_plus(X: Floats, n_clusters: int, rng: np.random.Generator) -> Floats:
    """Draw k rows of X (N, D), each by its squared distance to the nearest drawn before: (K, D).

    Raises:
        ValueError: k is not within 1 to N.
    """
    _check_n_clusters(n_clusters, len(X))
    centers = X[[rng.integers(len(X))]]  # (1, D)
    distances = squared_distances(X, centers)[:, 0]  # (N,) to the nearest centre
    while len(centers) < n_clusters:
        # All rows may lie on centres already, as copies of each other do: then any will do.
        drawn = sample_weighted(distances, 1, rng) if distances.any() else rng.integers(len(X), size=1)  # (1,)
        centers = np.concatenate([centers, X[drawn]])
        distances = np.minimum(distances, squared_distances(X, centers[-1:])[:, 0])
    return centers


def assign(X: Floats, centers: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The nearest centre of each row, the first of equally near ones, and its squared distance: (N,), (N,)."""
    distances = squared_distances(X, centers)  # (N, K)
    labels = distances.argmin(axis=1)  # (N,)
    return labels, distances[np.arange(len(X)), labels]


def fill_empty_clusters(labels: NDArray[np.int64], distances: Floats, n_clusters: int) -> None:
    """Give every empty cluster, whose mean would be 0 / 0, the row farthest from its centre; changes its arguments.

    A row that is alone in its cluster stays, or that one would be empty in turn.
    """
    counts = np.bincount(labels, minlength=n_clusters)  # (K,)
    for empty in np.flatnonzero(counts == 0):
        farthest = int(np.where(counts[labels] > 1, distances, -1.0).argmax())
        counts[labels[farthest]] -= 1
        counts[empty] = 1
        labels[farthest], distances[farthest] = empty, 0.0


def lloyd(X: Floats, centers: Floats, max_iter: int) -> Run:
    """Take turns from `centers` (K, D) until no row of X (N, D) changes its cluster.

    Raises:
        ValueError: no centres, or more than rows.
    """
    n_clusters = len(centers)
    _check_n_clusters(n_clusters, len(X))
    labels, n_iter = np.full(len(X), -1), 0  # (N,)
    for _ in range(max_iter):
        n_iter += 1
        before, (labels, distances) = labels, assign(X, centers)
        fill_empty_clusters(labels, distances, n_clusters)
        if (labels == before).all():
            break
        member = (labels == np.arange(n_clusters)[:, None]).astype(np.float64)  # (K, N)
        centers = member @ X / member.sum(axis=1, keepdims=True)  # (K, D)
    else:  # the centres have moved since
        labels, distances = assign(X, centers)
    return Run(centers, labels, float(((X - centers[labels]) ** 2).sum()), n_iter)


def _check_n_clusters(n_clusters: int, n_samples: int) -> None:
    check_counts(1, n_clusters=n_clusters)
    if n_clusters > n_samples:
        raise ValueError(f"n_clusters = {n_clusters} is not within 1 to n_samples = {n_samples}")


class KMeans(ClusterMixin, BaseEstimator):
    """Scale the features first: a feature in grams outweighs the same in tonnes.

    Args:
        n_clusters: k. With fewer distinct rows than k, some centres coincide.
        init: "k-means++", or (k, D) centres to start from, once.
        n_init: starts, of which the one with the lowest sum is kept.
        max_iter: most iterations of a start.
        random_state: seed of the starts.

    Attributes: cluster_centers_ (k, D), labels_ (N,), inertia_ (the sum of squared distances), n_iter_.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        init: str | NDArray[Any] = "k-means++",
        n_init: int = 10,
        max_iter: int = 300,
        random_state: int | None = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Cluster X (N, D).

        Raises:
            ValueError: bad shapes or values, fewer rows than clusters, another init, or n_init or max_iter below 1.
        """
        X = validate_data(self, X, dtype=np.float64)
        check_counts(1, n_init=self.n_init, max_iter=self.max_iter)
        self._origin = X.mean(axis=0)  # (D,); far from it the distances would lose their digits
        X = X - self._origin
        if isinstance(self.init, str):
            check_option("init", self.init, ["k-means++"])
            rng = np.random.default_rng(self.random_state)
            starts = [k_means_plus_plus(X, self.n_clusters, rng) for _ in range(self.n_init)]
        else:
            centers = check_array(self.init, dtype=np.float64, input_name="init")
            if centers.shape != (self.n_clusters, X.shape[1]):
                raise ValueError(f"init {centers.shape} is not (n_clusters, D) = {(self.n_clusters, X.shape[1])}")
            starts = [centers - self._origin]
        best = min((lloyd(X, start, self.max_iter) for start in starts), key=lambda run: run.inertia)
        self.cluster_centers_ = best.centers + self._origin  # (K, D)
        self.labels_, self.inertia_, self.n_iter_ = best.labels, best.inertia, best.n_iter
        return self

    def predict(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """The nearest centre of each row of X (M, D): (M,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return assign(X - self._origin, self.cluster_centers_ - self._origin)[0]
