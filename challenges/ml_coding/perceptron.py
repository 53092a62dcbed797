"""Perceptron (Rosenblatt 1958): on every mistake, add the row to the weights, signed by its class.

Where a plane separates the classes with margin g and the rows lie within R of the origin, it makes at most
(R / g)² mistakes in all, however many rows there are (Novikoff 1962); where none does, it never settles.

Complexity: O(N D) time an epoch, row by row, since each step needs the last one's weights; O(D) memory.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_signs
from challenges.ml_coding.parameters import check_counts


class Perceptron(ClassifierMixin, BaseEstimator):
    """Two classes; ends at the first epoch without a mistake.

    Args:
        max_iter: most epochs.
        shuffle: new order of the rows in each epoch; without it rows sorted by class teach one class at a time.
        random_state: seed of the order.

    Attributes: classes_ (2,), coef_ (D,), intercept_, n_iter_ (epochs), n_mistakes_ (in all epochs).
    """

    def __init__(self, max_iter: int = 100, shuffle: bool = True, random_state: int | None = 0) -> None:
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Fit to X (N, D) and two classes y (N,).

        Raises:
            ValueError: bad shapes or values, not two classes, or max_iter below 1.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_counts(1, max_iter=self.max_iter)
        self.classes_, signs = encode_signs(y)
        A = signs[:, None] * np.column_stack([X, np.ones(len(X))])  # (N, D + 1): y x, right where A w > 0
        rng = np.random.default_rng(self.random_state)
        w = np.zeros(A.shape[1])  # (D + 1,)
        self.n_iter_ = self.n_mistakes_ = 0
        for _ in range(self.max_iter):
            self.n_iter_ += 1
            before = self.n_mistakes_
            for row in rng.permutation(A) if self.shuffle else A:  # (D + 1,)
                if row @ w <= 0:  # with < the zero weights of the start would never be left
                    w = w + row
                    self.n_mistakes_ += 1
            if self.n_mistakes_ == before:
                break
        self.coef_, self.intercept_ = w[:-1], float(w[-1])  # (D,), ()
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """X w + b of X (M, D), above 0 for the second class: (M,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Classes of X (M, D), the first on the plane itself: (M,)."""
        second = self.decision_function(X) > 0  # (M,)
        return np.asarray(self.classes_[second.astype(int)])
