"""Linear regression: the weights whose predictions have the smallest sum of squared errors.

The normal equations solve for them at once; gradient descent walks to them downhill, which needs no D x D
matrix. With a penalty on the weights (ridge; Hoerl and Kennard 1970) the solution stays small and unique
where features repeat each other.

X'X has the square of X's condition number: where the scales of features differ by 10⁸ and more, float64 loses the
small ones without a word. Scale them first, or decompose X itself, as `pca` does.

Complexity: normal equations O(N D² + D³) time, O(N D + D²) memory; gradient descent O(N D) time an
iteration, and about as many iterations as the condition number of X'X times the digits wanted. (To state its
step in units that always converge, it first takes the largest eigenvalue of X'X: one more O(N D²).)
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.parameters import check_counts, check_not_negative, check_option


class LinearRegression(RegressorMixin, BaseEstimator):
    """Least squares with an intercept that is never penalised: min |y - X w - b|² + alpha |w|².

    Args:
        alpha: penalty, in units of y² per w²; 0 is ordinary least squares, above 0 is ridge.
        solver: "normal" solves the normal equations, "gradient" descends.
        learning_rate: step of the descent as a multiple of 1 / (largest eigenvalue of X'X + alpha), so that
            any data converge below 2 and none from 2 on.
        max_iter: most steps of the descent.
        tol: the descent ends when no entry of the gradient is above tol times its largest at the start.

    Attributes:
        coef_: (D,) weights.
        intercept_: b.
        loss_curve_: the objective before each step; of "normal", at the solution only.
        n_iter_: steps taken.

    Example:
        >>> model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> float(model.coef_[0].round(6)), round(model.intercept_, 6)
        (2.0, 1.0)
    """

    def __init__(
        self,
        alpha: float = 0.0,
        solver: Literal["normal", "gradient"] = "normal",
        learning_rate: float = 1.0,
        max_iter: int = 10_000,
        tol: float = 1e-8,
    ) -> None:
        self.alpha = alpha
        self.solver = solver
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit to X (N, D) and y (N,).

        Raises:
            ValueError: bad shapes or values, a negative alpha, another solver, a learning rate that cannot converge,
                or max_iter below 1.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, dtype=np.float64)  # integers would overflow when squared
        check_counts(1, max_iter=self.max_iter)
        check_not_negative(alpha=self.alpha)
        if not 0 < self.learning_rate < 2:
            raise ValueError(f"learning rate {self.learning_rate} is outside (0, 2)")
        # On centred data the best intercept is 0, which leaves it out of the penalty without special cases.
        x_mean, y_mean = X.mean(axis=0), y.mean()  # (D,), ()
        X, y = X - x_mean, y - y_mean  # (N, D), (N,)
        solvers = {"normal": self._solve_normal_equations, "gradient": self._descend}
        check_option("solver", self.solver, solvers)
        self.coef_ = solvers[self.solver](X, y)  # (D,)
        self.intercept_ = float(y_mean - x_mean @ self.coef_)
        return self

    def _solve_normal_equations(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        gram = X.T @ X + self.alpha * np.eye(X.shape[1])  # (D, D)
        # lstsq and not solve: features that repeat each other make the matrix singular; of all solutions it
        # takes the smallest.
        weights = np.asarray(np.linalg.lstsq(gram, X.T @ y, rcond=None)[0], dtype=np.float64)  # (D,)
        self.n_iter_ = 1
        self.loss_curve_ = [self._objective(y - X @ weights, weights)]
        return weights

    def _descend(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        curvature = np.linalg.eigvalsh(X.T @ X)[-1] + self.alpha
        step = self.learning_rate / curvature if curvature > 0 else 0.0  # all features constant: nothing to learn
        weights = np.zeros(X.shape[1])  # (D,)
        self.loss_curve_ = []
        start = np.abs(X.T @ y).max()
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            residuals = y - X @ weights  # (N,)
            self.loss_curve_.append(self._objective(residuals, weights))
            gradient = self.alpha * weights - X.T @ residuals  # (D,), half the objective's
            if np.abs(gradient).max() <= self.tol * start:
                break
            weights = weights - step * gradient  # (D,)
        else:
            message = f"not converged in {self.max_iter} steps; scale the features"
            warnings.warn(message, ConvergenceWarning, stacklevel=3)
        return weights

    def _objective(self, residuals: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
        return float(residuals @ residuals + self.alpha * weights @ weights)

    def predict(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """X w + b of X (M, D): (M,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_ + self.intercept_)  # (M,)
