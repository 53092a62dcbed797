"""Principal component analysis: the directions, at right angles, in which the data vary most.

They are the right singular vectors of the centred data. Going through the covariance X'X would square the
condition number and lose the small components; a QR decomposition keeps them, and leaves a D x D matrix for
the SVD (Chan 1982).

Complexity: O(N D²) time for N >= D, O(N D) memory.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = NDArray[np.float64]


class PCA(TransformerMixin, BaseEstimator):
    """The features are centred, not scaled: with other units come other components.

    Args:
        n_components: directions to keep, from 1 to min(N, D); None keeps all of these.

    Attributes:
        components_: (n_components, D) unit vectors, the entry of largest size positive, as the sign of a
            singular vector is chance.
        explained_variance_: (n_components,) sample variance (of N - 1) along each, in squared units.
        explained_variance_ratio_: (n_components,) share of the total variance.
        mean_: (D,).

    Example:
        >>> PCA(1).fit([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]).components_.round(3)
        array([[0.447, 0.894]])
    """

    def __init__(self, n_components: int | None = None) -> None:
        self.n_components = n_components

    def fit(self, X: NDArray[Any], y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Find the components of X (N, D).

        Raises:
            ValueError: bad shapes or values, fewer than two rows, or n_components out of range.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        most = min(X.shape)
        kept = most if self.n_components is None else self.n_components
        if not 1 <= kept <= most:
            raise ValueError(f"n_components = {kept} is not within 1 to min(n_samples, n_features) = {most}")
        self.mean_ = X.mean(axis=0)  # (D,)
        triangle = np.linalg.qr(X - self.mean_, mode="r")  # (min(N, D), D), the same singular values and vectors
        _, singular_values, directions = np.linalg.svd(triangle, full_matrices=False)  # (S,), (S, D)
        largest = np.abs(directions).argmax(axis=1)  # (S,)
        signs = np.where(directions[np.arange(most), largest] < 0, -1.0, 1.0)  # (S,)
        variances = singular_values**2 / (len(X) - 1)  # (S,)
        total = variances.sum()
        self.components_ = (directions * signs[:, None])[:kept]
        self.explained_variance_ = variances[:kept]
        self.explained_variance_ratio_ = variances[:kept] / (total if total > 0 else 1.0)  # constant data: 0
        return self

    def transform(self, X: NDArray[Any]) -> Floats:
        """Coordinates of X (M, D) along the components: (M, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray((X - self.mean_) @ self.components_.T)

    def inverse_transform(self, X: NDArray[Any]) -> Floats:
        """The points (M, D) in the plane of the components with coordinates X (M, n_components)."""
        check_is_fitted(self)
        return np.asarray(np.asarray(X) @ self.components_ + self.mean_)
