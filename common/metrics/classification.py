"""Metrics of single-label classification."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top_k_accuracy(labels: NDArray[np.integer], probabilities: NDArray[np.floating], k: int) -> float:
    """Share of rows whose true class is among the k most probable.

    Written here because scikit-learn breaks ties towards the higher class and `np.argmax`, which predicts,
    towards the lower: on quantised outputs, where ties happen, its top-1 is not the accuracy of what is
    predicted.

    Args:
        labels: (N,) true classes, 0 to C - 1.
        probabilities: (N, C) scores; only their order within a row counts.
        k: how many guesses a row has, 1 to C.

    Raises:
        ValueError: no rows, shapes that do not fit, labels that are no class, scores that are NaN, or k outside 1
            to C.
    """
    labels, scores = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)  # of bytes there is no -score
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} and probabilities {scores.shape} are not (N,) and (N, C)")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is {k}, with {scores.shape[1]} classes")
    check_classes(labels, scores.shape[1])
    if np.isnan(scores).any():
        raise ValueError("scores must not be NaN, which has no place in an order of classes")
    guesses = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # (N, k)
    return float((guesses == labels[:, None]).any(axis=1).mean())


def confusion_matrix(
    labels: NDArray[np.integer], predictions: NDArray[np.integer], n_classes: int
) -> NDArray[np.int64]:
    """Count rows by true class (row) and predicted class (column).

    Args:
        labels: (N,) true classes, 0 to n_classes - 1.
        predictions: (N,) predicted classes, 0 to n_classes - 1.
        n_classes: C; classes that do not occur keep their row and column of zeros.

    Returns:
        (C, C) counts, of N rows in all.

    Raises:
        ValueError: shapes that differ, or a class outside 0 to n_classes - 1.
    """
    from sklearn import metrics

    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} are not both (N,)")
    check_classes(labels, n_classes)  # scikit-learn leaves rows of others out
    check_classes(predictions, n_classes)
    if len(labels) == 0:
        return np.zeros((n_classes, n_classes), dtype=np.int64)
    counts = metrics.confusion_matrix(labels, predictions, labels=np.arange(n_classes))
    return np.asarray(counts, dtype=np.int64)


def check_classes(labels: NDArray[np.integer], n_classes: int) -> None:
    """Refuse labels that are not 0 to n_classes - 1; -1 would be taken for the last class.

    Raises:
        ValueError: there is one.
    """
    if not np.isin(labels, np.arange(n_classes)).all():
        raise ValueError(f"labels and predictions must be classes 0 to {n_classes - 1}")
