"""A mixture of Student's t distributions that share one scale matrix."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from sklearn.cluster import AgglomerativeClustering, KMeans

Floats = NDArray[np.float64]

MAX_WARD_ROWS: Final = 2_000
"""Ward's hierarchy takes memory and time with the square of the rows; larger data lend it a sample."""


class StudentMixture:
    """Soft clusters of one common form, found in the presence of outliers.

    Each cluster is a t distribution: beside a Gaussian it has heavy tails, so that a household like no other
    pulls no centre and stretches no axis (Peel and McLachlan, 'Robust mixture modelling using the t
    distribution', 2000). One scale matrix for all clusters learns which directions hold differences inside a type
    and weighs them down, as linear discriminant analysis does, and needs far fewer parameters than one each.

    Fitted by expectation-maximisation from several starts (Ward's hierarchy, and k-means++); the likeliest end wins.

    Args:
        n_clusters: K.
        spherical: clusters are equally wide in all directions, as those of k-means; else the shared matrix is free.
        degrees_of_freedom: of the t distributions; fewer is more robust, infinitely many is Gaussian.
        min_share: a cluster of fewer rows than this share of all is no cluster but a handful of outliers: its rows are
            left out and the rest fitted again.
        n_starts: k-means++ starts beside Ward's.
        max_iterations: of each start.
        tolerance: a start has converged when an iteration gains less log likelihood per row than this.
        seed: of the k-means++ starts.

    Attributes:
        centers_: (K, d).
        scale_: (d, d) the shared scale matrix.
        weights_: (K,) shares of the clusters; they sum to 1.
        log_likelihood_: of the rows fitted.
        bic_: Bayesian information criterion, lower is better (Schwarz, 1978).

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(200, 2)) + np.repeat([[0, 0], [9, 9]], 100, axis=0)
        >>> labels = StudentMixture(2).fit(rows).predict(rows)
        >>> int((labels[:100] != labels[100:]).sum()), len(set(labels[:100].tolist()))
        (100, 1)
    """

    def __init__(
        self,
        n_clusters: int,
        *,
        spherical: bool = False,
        degrees_of_freedom: float = 5.0,
        min_share: float = 0.025,
        n_starts: int = 6,
        max_iterations: int = 100,
        tolerance: float = 1e-4,
        seed: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.spherical = spherical
        self.degrees_of_freedom = degrees_of_freedom
        self.min_share = min_share
        self.n_starts = n_starts
        self.max_iterations = max_iterations
        self.tolerance = tolerance
        self.seed = seed

    def fit(self, rows: Floats) -> Self:
        """Fit to (N, d) rows.

        Raises:
            ValueError: fewer rows than clusters, or a value that is not finite.
        """
        rows = np.asarray(rows, dtype=np.float64)
        if len(rows) < self.n_clusters or not np.isfinite(rows).all():
            raise ValueError(f"{self.n_clusters} clusters need as many rows, all finite; there are {len(rows)}")
        kept = np.ones(len(rows), dtype=bool)
        while True:
            self._fit_best(rows[kept])
            labels = self.predict(rows)
            counts = np.bincount(labels[kept], minlength=self.n_clusters)
            stray = kept & (counts < self.min_share * len(rows))[labels]
            if not stray.any() or (kept & ~stray).sum() < max(self.n_clusters, len(rows) / 2):
                break
            kept &= ~stray
        n_clusters, d = self.centers_.shape
        n_parameters = n_clusters * d + (1 if self.spherical else d * (d + 1) / 2) + n_clusters - 1
        self.log_likelihood_ = float(_normalise(self._log_joint(rows))[1].sum())
        self.bic_ = n_parameters * np.log(len(rows)) - 2 * self.log_likelihood_
        return self

    def _fit_best(self, rows: Floats) -> None:
        """Keep the likeliest end of all starts."""
        best = -np.inf
        for start in self._starts(rows):
            log_likelihood, *fitted = self._maximise(rows, start)
            if log_likelihood > best:
                best = log_likelihood
                self.centers_, self.scale_, self.weights_ = fitted

    def predict(self, rows: Floats) -> NDArray[np.int64]:
        """(N, d) -> (N,) likeliest cluster."""
        return np.asarray(self._log_joint(rows).argmax(1))

    def predict_proba(self, rows: Floats) -> Floats:
        """(N, d) -> (N, K) membership probabilities; rows sum to 1."""
        return _normalise(self._log_joint(rows))[0]

    def distances(self, rows: Floats) -> Floats:
        """(N, d) -> (N, K) squared Mahalanobis distance from each centre, in units of the shared scale."""
        return _squared_distances(np.asarray(rows, dtype=np.float64), self.centers_, self.scale_)[0]

    def _starts(self, rows: Floats) -> list[Floats]:
        """K centres to begin with, from each method."""
        rng = np.random.default_rng(self.seed)
        some = rows if len(rows) <= MAX_WARD_ROWS else rows[rng.choice(len(rows), MAX_WARD_ROWS, replace=False)]
        ward = AgglomerativeClustering(self.n_clusters).fit_predict(some)
        starts = [np.array([some[ward == cluster].mean(0) for cluster in range(self.n_clusters)])]
        for start in range(self.n_starts):
            k_means = KMeans(self.n_clusters, n_init=1, random_state=self.seed + start).fit(some)
            starts.append(np.asarray(k_means.cluster_centers_, dtype=np.float64))
        return starts

    def _maximise(self, rows: Floats, centers: Floats) -> tuple[float, Floats, Floats, Floats]:
        """Expectation-maximisation from `centers`: log likelihood, centres, scale, weights."""
        n_rows, d = rows.shape
        nearest = ((rows[:, None] - centers) ** 2).sum(2).argmin(1)
        membership = np.eye(len(centers))[nearest]  # (N, K)
        influence = np.ones_like(membership)  # (N, K) of a row on a cluster: outliers have little
        # A floor under the scale: rows that lie in a plane, or all in one place, must not divide by zero.
        floor = 1e-6 * max(float(rows.var(0).mean()), 1e-12) * np.eye(d)
        last = -np.inf
        for _ in range(self.max_iterations):
            pull = membership * influence  # (N, K)
            mass = pull.sum(0)  # (K,)
            weights = membership.sum(0) / n_rows
            centers = (pull.T @ rows) / np.maximum(mass, 1e-12)[:, None]
            scatter = (rows * pull.sum(1)[:, None]).T @ rows - (centers * mass[:, None]).T @ centers
            scale = (np.trace(scatter) / d * np.eye(d) if self.spherical else scatter) / n_rows + floor
            distances, log_determinant = _squared_distances(rows, centers, scale)
            joint = self._log_density(distances, log_determinant, d) + np.log(np.maximum(weights, 1e-300))
            membership, per_row = _normalise(joint)
            influence = (self.degrees_of_freedom + d) / (self.degrees_of_freedom + distances)
            log_likelihood = float(per_row.sum())
            if log_likelihood - last < self.tolerance * n_rows:
                break
            last = log_likelihood
        return log_likelihood, centers, scale, weights

    def _log_joint(self, rows: Floats) -> Floats:
        """(N, d) -> (N, K) log of weight times density."""
        rows = np.asarray(rows, dtype=np.float64)
        distances, log_determinant = _squared_distances(rows, self.centers_, self.scale_)
        density = self._log_density(distances, log_determinant, rows.shape[1])
        return density + np.log(np.maximum(self.weights_, 1e-300))

    def _log_density(self, distances: Floats, log_determinant: float, d: int) -> Floats:
        """Log of the multivariate t density at these squared distances."""
        nu = self.degrees_of_freedom
        constant = gammaln((nu + d) / 2) - gammaln(nu / 2) - d / 2 * np.log(nu * np.pi) - log_determinant / 2
        return np.asarray(constant - (nu + d) / 2 * np.log1p(distances / nu))


def _squared_distances(rows: Floats, centers: Floats, scale: Floats) -> tuple[Floats, float]:
    """(N, K) squared Mahalanobis distances, and the log determinant of `scale`."""
    factor = np.linalg.cholesky(scale)
    whitening = np.linalg.inv(factor).T  # d is small: multiplying is faster than solving, row for row
    white_rows, white_centers = rows @ whitening, centers @ whitening  # (N, d), (K, d)
    squares = np.einsum("nd,nd->n", white_rows, white_rows)[:, None] - 2 * white_rows @ white_centers.T
    squares += np.einsum("kd,kd->k", white_centers, white_centers)
    return np.maximum(squares, 0.0), 2 * float(np.log(np.diag(factor)).sum())


def _normalise(joint: Floats) -> tuple[Floats, Floats]:
    """(N, K) log joint -> (N, K) probabilities that sum to 1, and (N, 1) the log of their sum before."""
    largest = joint.max(1, keepdims=True)
    probabilities = np.exp(joint - largest)
    total = probabilities.sum(1, keepdims=True)
    probabilities /= total
    return probabilities, largest + np.log(total)
