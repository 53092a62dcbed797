"""Calibration: whether a probability of 0.8 is right 8 times in 10, and mending it with one temperature.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.metrics.classification import check_classes

TEMPERATURE_RANGE = (0.05, 20.0)
"""Bounds of a fitted temperature: on separable rows the likelihood has no maximum and would run to 0."""


@dataclass(frozen=True)
class ReliabilityCurve:
    """Rows binned by confidence, each array (n_bins,); empty bins have NaN confidence and accuracy."""

    confidence: NDArray[np.float64]
    """Mean confidence of the rows in the bin."""
    accuracy: NDArray[np.float64]
    """Share of the rows in the bin that are right."""
    count: NDArray[np.int64]
    """Rows in the bin."""


def reliability_curve(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], n_bins: int = 15
) -> ReliabilityCurve:
    """Confidence against accuracy in n_bins equal bins (low, high] of [0, 1].

    Args:
        labels: (N,) true classes, or 0/1 for a single tag.
        probabilities: (N, C): confidence is the highest probability and a row is right when its class is the
            true one; or (N,) of a single tag: confidence is its probability and a row is right when it has
            the tag.
        n_bins: number of bins.

    Raises:
        ValueError: probabilities outside [0, 1], NaN, or of a shape that does not fit the labels; labels that are no
            class.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim not in (1, 2) or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"labels {labels.shape} do not fit probabilities {probabilities.shape}")
    # float32 softmax may round to just above 1
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    check_classes(labels, probabilities.shape[1] if probabilities.ndim == 2 else 2)
    if probabilities.ndim == 2:
        confidence = probabilities.max(axis=1)  # (N,)
        right = probabilities.argmax(axis=1) == labels  # (N,)
    else:
        confidence, right = probabilities, labels.astype(bool)
    inner_edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    bins = np.searchsorted(inner_edges, confidence)  # (N,)
    count = np.bincount(bins, minlength=n_bins)
    occupied = np.where(count > 0, count, np.nan)
    return ReliabilityCurve(
        confidence=np.bincount(bins, weights=confidence, minlength=n_bins) / occupied,
        accuracy=np.bincount(bins, weights=right, minlength=n_bins) / occupied,
        count=count,
    )


def expected_calibration_error(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], n_bins: int = 15
) -> float:
    """Mean over rows of |confidence - accuracy| of their bin (Guo et al., eq. 3); NaN without rows.

    Arguments and errors are those of `reliability_curve`.
    """
    curve = reliability_curve(labels, probabilities, n_bins)
    if curve.count.sum() == 0:
        return float("nan")
    gaps = np.nan_to_num(np.abs(curve.confidence - curve.accuracy))
    return float(np.average(gaps, weights=curve.count))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Temperature T that makes softmax(logits / T), or sigmoid(logits / T), likeliest.

    The negative log-likelihood is convex in 1 / T and so has one minimum, which is sought over log T.

    Args:
        logits: (N, C) of a softmax, or (N,) of the sigmoid of a single tag.
        labels: (N,) true classes, or 0/1 for a single tag.

    Returns:
        T within `TEMPERATURE_RANGE`; above 1 the model was too sure of itself.

    Raises:
        ValueError: no rows, shapes that do not fit, logits of NaN or infinity, or labels that are no class.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if logits.ndim not in (1, 2) or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} do not fit logits {logits.shape}")
    if logits.ndim == 1:  # sigmoid(x) is the softmax of (0, x)
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    n_classes = logits.shape[1]
    check_classes(labels, n_classes)
    if not (logits < np.inf).all():  # minus infinity is a class that cannot be
        raise ValueError("logits must not be NaN or infinity")
    rows, classes = np.arange(len(labels)), labels.astype(np.int64)

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)  # (N, C)
        return -float(log_softmax(scaled, axis=1)[rows, classes].mean())

    found = minimize_scalar(negative_log_likelihood, bounds=np.log(TEMPERATURE_RANGE), method="bounded")
    return float(np.exp(found.x))
