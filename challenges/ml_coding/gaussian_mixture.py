"""Gaussian mixture: the data as draws from K normal distributions, each with its own weight, mean and covariance.

Expectation maximisation (Dempster et al. 1977) takes turns: the responsibilities, how likely each row came from
each component, then weights, means and covariances weighted by them. The likelihood never falls; as k-means, it
starts several times, from k-means.

Complexity: O(N K D² + K D³) time an iteration; O(N (D + K) + K D²) memory.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.k_means import KMeans
from challenges.ml_coding.labels import one_hot
from challenges.ml_coding.parameters import check_counts, check_not_negative

Floats = NDArray[np.float64]


class Mixture(NamedTuple):
    """Weights (K,) that add up to 1, means (K, D) and covariances (K, D, D)."""

    weights: Floats
    means: Floats
    covariances: Floats


def log_joint(X: Floats, mixture: Mixture) -> Floats:
    """Log of weight times density of each component at each row of X (N, D): (N, K).

    With the Cholesky factor L of a covariance, (x - m)' C^-1 (x - m) = |L^-1 (x - m)|² and log det C = 2 sum
    log diag L: neither an inverse nor a determinant, which would under- or overflow in many dimensions.
    """
    factors = np.linalg.cholesky(mixture.covariances)  # (K, D, D)
    log_densities = np.empty((len(X), len(factors)))  # (N, K)
    for k, (mean, factor) in enumerate(zip(mixture.means, factors, strict=True)):
        whitened = (X - mean) @ np.linalg.inv(factor).T  # (N, D)
        log_det = 2 * np.log(np.diag(factor)).sum()
        log_densities[:, k] = -((whitened**2).sum(axis=1) + log_det + X.shape[1] * np.log(2 * np.pi)) / 2
    with np.errstate(divide="ignore"):  # a component may have died: log 0 is the -inf that is meant
        return np.asarray(log_densities + np.log(mixture.weights))


def log_sum_exp(z: Floats) -> Floats:
    """Log of the sum of e^z in each row of (N, K), shifted so that the largest is e^0: (N,)."""
    largest = z.max(axis=1)  # (N,)
    return np.asarray(largest + np.log(np.exp(z - largest[:, None]).sum(axis=1)))


def e_step(X: Floats, mixture: Mixture) -> tuple[Floats, float]:
    """Responsibilities of the components for the rows (N, K), and the mean log-likelihood of a row."""
    joint = log_joint(X, mixture)  # (N, K)
    evidence = log_sum_exp(joint)  # (N,)
    return np.exp(joint - evidence[:, None]), float(evidence.mean())


def m_step(X: Floats, responsibilities: Floats, reg_covar: float) -> Mixture:
    """The likeliest mixture for X (N, D) with these responsibilities (N, K)."""
    totals = responsibilities.sum(axis=0) + 10 * np.finfo(np.float64).eps  # (K,), never 0
    means = responsibilities.T @ X / totals[:, None]  # (K, D)
    covariances = np.empty((len(totals), X.shape[1], X.shape[1]))
    for k, mean in enumerate(means):
        centred = X - mean  # (N, D); E[x²] - E[x]² would cancel
        covariances[k] = (responsibilities[:, k] * centred.T) @ centred / totals[k]
    # A component that shrinks onto one row would have density without bound.
    covariances += reg_covar * np.eye(X.shape[1])
    return Mixture(totals / totals.sum(), means, covariances)


class GaussianMixture(DensityMixin, BaseEstimator):
    """Full covariances.

    Args:
        n_components: K.
        reg_covar: added to the variances, in squared units of the features; 0 or more, and more where NumPy calls a
            matrix not positive definite.
        n_init: starts, each from a k-means of its own; the likeliest is kept.
        max_iter: most iterations of a start.
        tol: ends when the mean log-likelihood of a row grows by less, in nats.
        random_state: seed of the starts.

    Attributes: weights_ (K,), means_ (K, D), covariances_ (K, D, D), lower_bound_ (mean log-likelihood at the
        last step), n_iter_, converged_.
    """

    def __init__(
        self,
        n_components: int = 1,
        reg_covar: float = 1e-6,
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-3,
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: NDArray[Any], y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Fit to X (N, D).

        Raises:
            ValueError: bad shapes or values, fewer than max(2, n_components) rows, or a parameter out of range.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        check_counts(1, n_components=self.n_components, n_init=self.n_init, max_iter=self.max_iter)
        check_not_negative(reg_covar=self.reg_covar)
        self.lower_bound_ = -np.inf
        rng = np.random.default_rng(self.random_state)
        for _ in range(self.n_init):
            start = KMeans(self.n_components, n_init=1, random_state=int(rng.integers(1 << 31))).fit(X)
            mixture = m_step(X, one_hot(start.labels_, self.n_components), self.reg_covar)
            bound, converged, n_iter = -np.inf, False, 0
            for _ in range(self.max_iter):
                n_iter += 1
                responsibilities, likelihood = e_step(X, mixture)  # (N, K)
                mixture = m_step(X, responsibilities, self.reg_covar)
                converged, bound = abs(likelihood - bound) < self.tol, likelihood
                if converged:
                    break
            if bound > self.lower_bound_:
                self.lower_bound_, self.n_iter_, self.converged_, self._mixture = bound, n_iter, converged, mixture
        if not self.converged_:
            warnings.warn(f"not converged in {self.max_iter} iterations", ConvergenceWarning, stacklevel=2)
        self.weights_, self.means_, self.covariances_ = self._mixture
        return self

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Responsibilities of the components for the rows of X (M, D): (M, K), each row adding up to 1."""
        check_is_fitted(self)
        return e_step(validate_data(self, X, reset=False, dtype=np.float64), self._mixture)[0]

    def predict(self, X: NDArray[Any]) -> NDArray[np.int64]:
        """The likeliest component of each row of X (M, D): (M,)."""
        return np.asarray(self.predict_proba(X).argmax(axis=1))

    def score_samples(self, X: NDArray[Any]) -> Floats:
        """Log-likelihood of each row of X (M, D), in nats: (M,)."""
        check_is_fitted(self)
        return log_sum_exp(log_joint(validate_data(self, X, reset=False, dtype=np.float64), self._mixture))

    def score(self, X: NDArray[Any], y: Any = None) -> float:  # noqa: ARG002 - scikit-learn's signature
        """Mean log-likelihood of a row of X, in nats."""
        return float(self.score_samples(X).mean())
