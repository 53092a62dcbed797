"""Class labels as numbers, the same way for every classifier of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets, type_of_target


def encode_classes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct labels in order, (K,), and each row's place among them, (N,).

    Raises:
        ValueError: the labels are continuous numbers.
    """
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)  # (K,), (N,)
    return classes, codes.astype(np.int64)


def encode_signs(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The two labels in order, (2,), and -1 for each row of the first, +1 for the second, (N,).

    Raises:
        ValueError: the labels are continuous numbers, or not of two classes.
    """
    classes, codes = encode_classes(y)
    if len(classes) > 2:
        kind = type_of_target(y, input_name="y")
        raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
    if len(classes) < 2:
        raise ValueError(f"two classes are needed, and the labels have one class: {classes[0]!r}")
    return classes, np.where(codes == 1, 1.0, -1.0)


def one_hot(codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """(N,) places of the classes -> (N, K) with a 1 at each row's place.

    Raises:
        ValueError: a place outside 0 to K - 1.
    """
    if ((codes < 0) | (codes >= n_classes)).any():  # -1 would be read as the last
        raise ValueError(f"codes from {codes.min()} to {codes.max()} are not within 0 to {n_classes - 1}")
    return np.eye(n_classes)[codes]  # (N, K)
