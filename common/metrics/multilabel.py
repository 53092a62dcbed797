"""Metrics of multi-label classification: every row has any number of T tags.

Undefined values are NaN (scikit-learn's `zero_division=nan`) and macro averages leave them out:

- precision of a tag that is never decided,
- recall and average precision of a tag that no row has,
- F1 of a tag that is neither: no row has it, none is given it. A tag that some rows have and none is given
  has F1 = 0, so a model gains nothing by staying silent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TagScores:
    """Scores per tag, each (T,), and their means over the tags where they are defined."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]
    """Rows that have the tag."""

    @property
    def macro_precision(self) -> float:
        """Mean precision over tags."""
        return defined_mean(self.precision)

    @property
    def macro_recall(self) -> float:
        """Mean recall over tags."""
        return defined_mean(self.recall)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over tags."""
        return defined_mean(self.f1)


def tag_scores(labels: NDArray[np.bool_], decisions: NDArray[np.bool_]) -> TagScores:
    """Precision, recall and F1 of each tag.

    Counted here, not by scikit-learn, whose call takes some hundred times as long: a bootstrap makes a
    thousand of them.

    Args:
        labels: (N, T) which tags each row has.
        decisions: (N, T) which tags each row is given.

    Raises:
        ValueError: shapes that differ or are not (N, T), or values other than true and false.
    """
    has, given = _as_bool(labels), _as_bool(decisions)
    if has.ndim != 2 or has.shape != given.shape:
        raise ValueError(f"labels {has.shape} and decisions {given.shape} are not both (N, T)")
    hits, n_has, n_given = (has & given).sum(axis=0), has.sum(axis=0), given.sum(axis=0)  # (T,) each
    return TagScores(
        precision=_divide(hits, n_given),
        recall=_divide(hits, n_has),
        f1=_divide(2 * hits, n_has + n_given),
        support=n_has,
    )


def average_precision(labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average precision (area under the precision-recall curve, as a step function) of each tag.

    Args:
        labels: (N, T) which tags each row has.
        scores: (N, T) higher means more likely.

    Returns:
        (T,) average precisions; `defined_mean` of them is the macro average.

    Raises:
        ValueError: shapes that differ or are not (N, T), or labels other than true and false.
    """
    from sklearn.metrics import average_precision_score

    has, given = _as_bool(labels), np.asarray(scores)
    if has.ndim != 2 or has.shape != given.shape:
        raise ValueError(f"labels {has.shape} and scores {given.shape} are not both (N, T)")
    return np.array(
        [
            average_precision_score(has[:, tag], given[:, tag]) if has[:, tag].any() else np.nan
            for tag in range(has.shape[1])
        ]
    )


def best_f1_threshold(labels: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Threshold with the highest F1 for the rule `score >= threshold`.

    It lies half-way between the lowest score that is accepted and the highest that is not; among equals the
    highest threshold is taken. Without positive rows F1 says nothing, and it is 0.5.

    Args:
        labels: (N,) whether each row has the tag.
        scores: (N,) probability of the tag.
    """
    from sklearn.metrics import precision_recall_curve

    has, given = _as_bool(labels), np.asarray(scores, dtype=np.float64)
    kind = np.result_type(np.asarray(scores).dtype, np.float16)  # in which NumPy compares them with a plain number
    if not has.any():
        return 0.5
    precision, recall, thresholds = precision_recall_curve(has, given)  # thresholds ascend
    # The last point (recall 0) has no threshold.
    f1 = _divide(2 * precision[:-1] * recall[:-1], precision[:-1] + recall[:-1])
    # Within rounding of the best, so that equal counts in another order of operations stay equal.
    lowest = thresholds[np.flatnonzero(f1 >= np.nanmax(f1) - 1e-12)[-1]]
    rejected = given[given < lowest]
    if len(rejected) == 0:
        return float(lowest)
    middle = (lowest + rejected.max()) / 2
    return float(middle if middle.astype(kind) > rejected.max() else lowest)


def expected_f1_threshold(probabilities: NDArray[np.floating]) -> float:
    """Threshold with the highest expected F1 for the rule `probability >= threshold`: half of that F1.

    Lipton, Elkan and Naryanaswamy, 'Optimal thresholding of classifiers to maximize F1 measure' (2014), theorem 1.
    Where few rows have the tag, the best threshold on these few is luck, and `best_f1_threshold` takes it; this
    asks for probabilities that are calibrated, and for no labels.

    Args:
        probabilities: (N,) calibrated, of rows such as will be decided on; at least one row.

    Returns:
        The threshold; 0.5 where no row can have the tag.

    Raises:
        ValueError: no rows, or values outside 0 to 1.
    """
    descending = np.sort(np.asarray(probabilities, dtype=np.float64))[::-1]
    if descending.ndim != 1 or len(descending) == 0 or not ((descending >= 0) & (descending <= 1)).all():
        raise ValueError("probabilities must be (N,) values from 0 to 1, of at least one row")
    accepted = np.arange(1, len(descending) + 1)
    expected_f1 = 2 * np.cumsum(descending) / (accepted + descending.sum())
    return float(expected_f1.max() / 2) or 0.5


def defined_mean(values: NDArray[np.floating]) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    defined = np.asarray(values)[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _as_bool(tags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    tags = np.asarray(tags)
    if tags.dtype != bool and not np.isin(tags, (0, 1)).all():  # a missing label or a probability would be true
        raise ValueError("tags must be true or false, 1 or 0")
    return tags.astype(bool, copy=False)


def _divide(numerator: NDArray[np.number], denominator: NDArray[np.number]) -> NDArray[np.float64]:
    """Elementwise quotient; NaN where the denominator is zero."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient
