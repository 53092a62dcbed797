"""Logistic regression: the probability of the second of two classes, whose log-odds are linear in the features.

The weights minimise the mean log loss plus an L2 penalty, a convex function without a closed solution. Newton's
method (here also known as iteratively reweighted least squares) gets there in a handful of steps.

Complexity: O(N D² + D³) time a step, O(N D + D²) memory.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_signs
from challenges.ml_coding.parameters import check_counts, check_not_negative

Floats = NDArray[np.float64]


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + e^-z), with e only of numbers up to 0 so that it cannot overflow."""
    small = np.exp(-np.abs(z))  # in (0, 1]
    return np.asarray(np.where(z >= 0, 1.0, small) / (1.0 + small))


def standardise(X: Floats, l2: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Columns of mean 0 and deviation 1 and one of ones, their penalties, and the means and deviations.

    The same problem in other units, so that the number of steps does not hang on the user's: the weight of a
    column divided by s is s times as large, and its penalty l2 / s².
    """
    mean, scale = X.mean(axis=0), X.std(axis=0)  # (D,), (D,)
    # Rounding leaves constant columns a deviation just above 0: nothing to scale, nor to learn from.
    constant = scale <= 1e-12 * np.abs(mean)
    scale[constant] = 1.0
    columns = np.where(constant, 0.0, (X - mean) / scale)  # (N, D)
    return np.column_stack([columns, np.ones(len(X))]), np.append(l2 / scale**2, 0.0), mean, scale


def warn_not_converged(max_iter: int) -> None:
    """The warning of both regressions."""
    message = f"not converged in {max_iter} steps; separable classes need l2 > 0"
    warnings.warn(message, ConvergenceWarning, stacklevel=3)


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """Two classes by Newton's method: min mean log(1 + e^(-y z)) + l2 / 2 |w|², z = X w + b, y = -1 or +1.

    Args:
        l2: penalty on the weights, not the intercept, against the mean loss of a row: 1 / (C N) in
            scikit-learn's terms. Without it, classes that a plane separates have no finite solution.
        max_iter: most steps.
        tol: ends when no entry of the gradient (of standardised features) is above it.

    Attributes: classes_ (2,), coef_ (D,), intercept_, n_iter_.
    """

    def __init__(self, l2: float = 1e-4, max_iter: int = 100, tol: float = 1e-8) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit to X (N, D) and two classes y (N,).

        Raises:
            ValueError: bad shapes or values, not two classes, l2 below 0 or max_iter below 1.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_counts(1, max_iter=self.max_iter)
        check_not_negative(l2=self.l2)
        self.classes_, signs = encode_signs(y)
        A, penalty, mean, scale = standardise(X, self.l2)  # (N, D + 1), (D + 1,)

        def objective(w: Floats) -> float:
            return float(np.logaddexp(0.0, -signs * (A @ w)).mean() + penalty @ w**2 / 2)

        w = np.zeros(A.shape[1])  # (D + 1,)
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            p = sigmoid(A @ w)  # (N,) probability of the second class
            gradient = A.T @ (p - (signs > 0)) / len(A) + penalty * w  # (D + 1,)
            if np.abs(gradient).max() <= self.tol:
                break
            hessian = (A.T * (p * (1 - p))) @ A / len(A) + np.diag(penalty)  # (D + 1, D + 1)
            # The penalty of a column in tiny units is huge: beside it lstsq would take all else for rounding.
            units = np.sqrt(np.diag(hessian))  # (D + 1,)
            units[units == 0] = 1.0
            direction = np.linalg.lstsq(hessian / np.outer(units, units), gradient / units, rcond=None)[0] / units
            # Far from the solution a whole step may overshoot: halve it until it goes downhill.
            size, before = 1.0, objective(w)
            while size > 1e-10 and objective(w - size * direction) > before - 1e-4 * size * (gradient @ direction):
                size /= 2
            w = w - size * direction
        else:
            warn_not_converged(self.max_iter)
        self.coef_ = w[:-1] / scale  # (D,)
        self.intercept_ = float(w[-1] - mean @ self.coef_)
        return self

    def decision_function(self, X: NDArray[Any]) -> Floats:
        """Log-odds of the second class for X (M, D): (M,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_ + self.intercept_)  # (M,)

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Probabilities of both classes for X (M, D): (M, 2)."""
        z = self.decision_function(X)  # (M,)
        return np.column_stack([sigmoid(-z), sigmoid(z)])  # 1 - sigmoid(z) would round to 0

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The likelier class for X (M, D): (M,); the first at even odds."""
        second = self.decision_function(X) > 0  # (M,)
        return np.asarray(self.classes_[second.astype(int)])
