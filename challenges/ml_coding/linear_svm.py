"""Linear support vector machine: the plane with the widest margin between two classes.

Pegasos (Shalev-Shwartz et al. 2011) descends on the hinge loss max(0, 1 - y z) plus a penalty, from a few rows
at a time and with a step that shrinks as 1 / t. Its error falls as 1 / t whatever the number of rows, and the
mean of the later iterates is steadier than the last.

Complexity: O(B D) time a step of B rows, O(N D) an epoch; O(N D) memory for the data and O(D) beside it.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_signs
from challenges.ml_coding.parameters import check_counts


class LinearSVM(ClassifierMixin, BaseEstimator):
    """Two classes: min mean max(0, 1 - y (X w + b)) + l2 / 2 (|w|² + b²), y = -1 or +1.

    The intercept is the weight of a column of ones and penalised with the others, as in liblinear: the
    theory of the step asks for it. Scale the features first, as for every machine of distances.

    Args:
        l2: penalty against the mean loss of a row: 1 / (C N) in the terms of scikit-learn's LinearSVC.
        max_iter: epochs, of as many drawn rows as there are; a few rows need more, as it is the steps that count.
        batch_size: rows drawn for a step, with replacement.
        random_state: seed of the draws.

    Attributes: classes_ (2,), coef_ (D,), intercept_, n_iter_ (epochs).
    """

    def __init__(
        self, l2: float = 1e-3, max_iter: int = 100, batch_size: int = 32, random_state: int | None = 0
    ) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit to X (N, D) and two classes y (N,).

        Raises:
            ValueError: bad shapes or values, not two classes, max_iter or batch_size below 1, or l2 not above 0, by
                which the step is divided.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_counts(1, max_iter=self.max_iter, batch_size=self.batch_size)
        if not self.l2 > 0:
            raise ValueError(f"l2 must be above 0, and is {self.l2}")
        self.classes_, signs = encode_signs(y)
        A = signs[:, None] * np.column_stack([X, np.ones(len(X))])  # (N, D + 1): y x, so that margins are A w
        rng = np.random.default_rng(self.random_state)
        n_steps = max(1, self.max_iter * len(A) // self.batch_size)
        w = np.zeros(A.shape[1])  # (D + 1,)
        mean = np.zeros_like(w)  # of the second half of the steps
        for t in range(1, n_steps + 1):
            # Drawn, not in the order of the file: rows sorted by class would teach one class at a time.
            batch = A[rng.integers(len(A), size=self.batch_size)]  # (B, D + 1)
            violating = batch @ w < 1  # (B,) inside the margin, or on the wrong side
            w = (1 - 1 / t) * w + violating @ batch / (self.l2 * t * self.batch_size)
            if t > n_steps // 2:
                mean += (w - mean) / (t - n_steps // 2)
        self.coef_, self.intercept_ = mean[:-1], float(mean[-1])  # (D,), ()
        self.n_iter_ = self.max_iter
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Margins X w + b of X (M, D), above 0 for the second class: (M,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Classes of X (M, D), the first on the plane itself: (M,)."""
        second = self.decision_function(X) > 0  # (M,)
        return np.asarray(self.classes_[second.astype(int)])
