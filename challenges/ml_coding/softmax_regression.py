"""Softmax regression: the probabilities of K classes, whose logits are linear in the features.

As logistic regression it minimises a convex loss; but Newton's matrix would have (K D)² entries, and so gradient
descent walks down in many cheap steps. Momentum makes them O(1 / steps²) close instead of O(1 / steps)
(Nesterov 1983), and is dropped where it leads uphill (O'Donoghue and Candès 2015).

Complexity: O(N D K) time a step, after O(N D²) for its size; O(N (D + K)) memory.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_classes, one_hot
from challenges.ml_coding.logistic_regression import standardise, warn_not_converged
from challenges.ml_coding.parameters import check_counts, check_not_negative

Floats = NDArray[np.float64]


def softmax(z: Floats) -> Floats:
    """e^z / sum of e^z in each row of (N, K); shifting a row changes nothing, so its largest becomes 0."""
    e = np.exp(z - z.max(axis=1, keepdims=True))  # (N, K), in [0, 1]
    return np.asarray(e / e.sum(axis=1, keepdims=True))


class SoftmaxRegression(ClassifierMixin, BaseEstimator):
    """K classes by gradient descent: min mean log loss of softmax(X W + b) + l2 / 2 |W|².

    Args:
        l2: penalty on the weights, not the intercepts, against the mean loss of a row: 1 / (C N) in
            scikit-learn's terms.
        max_iter: most steps.
        tol: ends when no entry of the gradient (of standardised features) is above it.

    Attributes: classes_ (K,), coef_ (D, K), intercept_ (K,), n_iter_.
    """

    def __init__(self, l2: float = 1e-4, max_iter: int = 10_000, tol: float = 1e-6) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit to X (N, D) and classes y (N,).

        Raises:
            ValueError: bad shapes or values, continuous y, l2 below 0 or max_iter below 1.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_counts(1, max_iter=self.max_iter)
        check_not_negative(l2=self.l2)
        self.classes_, codes = encode_classes(y)
        truth = one_hot(codes, len(self.classes_))  # (N, K)
        A, penalty, mean, scale = standardise(X, self.l2)  # (N, D + 1), (D + 1,)
        # The loss curves at most half as much as A'A / N: a step of one over that never overshoots.
        curvature = np.linalg.eigvalsh(A.T @ A)[-1] / len(A) / 2 + penalty[:, None]  # (D + 1, 1)
        W = ahead = np.zeros((A.shape[1], truth.shape[1]))  # (D + 1, K)
        momentum = 1.0
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            gradient = A.T @ (softmax(A @ ahead) - truth) / len(A) + penalty[:, None] * ahead  # (D + 1, K)
            if np.abs(gradient).max() <= self.tol:
                break
            lower = ahead - gradient / curvature  # (D + 1, K)
            if (gradient * (lower - W)).sum() > 0:  # the momentum leads uphill
                momentum = 1.0
            grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead, W, momentum = lower + (momentum - 1) / grown * (lower - W), lower, grown
        else:
            warn_not_converged(self.max_iter)
        self.coef_ = ahead[:-1] / scale[:, None]  # (D, K)
        self.intercept_ = ahead[-1] - mean @ self.coef_  # (K,)
        return self

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of the classes for X (M, D): (M, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return softmax(X @ self.coef_ + self.intercept_)  # (M, K)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The likeliest class for X (M, D): (M,); of equally likely ones the first."""
        best = self.predict_proba(X).argmax(axis=1)  # (M,)
        return np.asarray(self.classes_[best])
