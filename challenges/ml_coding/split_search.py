"""Split search: the question "is feature j at most t?" that leaves the purest two sides.

Sort the rows by a feature and move one row at a time from the right side to the left: running sums give the
cost of every cut in one scan. All features are scanned at once.

Cost of a side of n rows with one-hot classes or targets Y: the Gini impurity and the squared error are the
same formula, sum Y² - (sum Y)² / n, and differ only in Y; entropy is sum c log2(n / c) over class counts c.

Complexity of n rows, D features and K columns of Y: O(D n (log n + K)) time, O(D n K) memory.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from challenges.ml_coding.parameters import check_counts, check_option

Floats = NDArray[np.float64]
Criterion = Literal["gini", "entropy", "squared_error"]


class Split(NamedTuple):
    """Rows with feature <= threshold go left; `gain` is the cost it saves, in rows times impurity."""

    gain: float
    feature: int
    threshold: float


def split_cost(sums: Floats, n_rows: Floats, criterion: Criterion) -> Floats:
    """Cost of sides with column sums (..., K) of Y and n_rows (...) rows, less sum Y², which no cut changes.

    Raises:
        ValueError: another criterion.
    """
    check_option("criterion", criterion, get_args(Criterion))
    if criterion == "entropy":
        share = sums / n_rows[..., None]
        return np.asarray(-(sums * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(axis=-1))
    return np.asarray(-(sums**2).sum(axis=-1) / n_rows)


def best_split(X: Floats, Y: Floats, criterion: Criterion, min_samples_leaf: int = 1) -> Split | None:
    """The cut of X (n, D) that lowers the cost of Y (n, K) most; None where none is allowed.

    Of equally good cuts: the lowest feature, then the lowest threshold.

    Raises:
        ValueError: X and Y that are not (n, D) and (n, K), another criterion, or min_samples_leaf below 1.
    """
    check_counts(1, min_samples_leaf=min_samples_leaf)
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y):
        raise ValueError(f"X {X.shape} and Y {Y.shape} are not (n, D) and (n, K)")
    if criterion == "squared_error":
        Y = Y - Y.mean(axis=0)  # else a large mean hides the differences behind rounding
    n = len(X)
    order = X.argsort(axis=0, kind="stable")  # (n, D)
    values = np.take_along_axis(X, order, axis=0)  # (n, D)
    left = Y[order].cumsum(axis=0)[:-1]  # (n - 1, D, K) sums of the lowest 1 to n - 1 rows
    total = Y.sum(axis=0)  # (K,)
    n_left = np.arange(1.0, n)[:, None]  # (n - 1, 1)
    costs = split_cost(left, n_left, criterion) + split_cost(total - left, n - n_left, criterion)  # (n - 1, D)
    allowed = values[:-1] < values[1:]  # (n - 1, D): equal values cannot be told apart
    allowed[: min_samples_leaf - 1] = False
    allowed[max(0, n - min_samples_leaf) :] = False
    if not allowed.any():
        return None
    costs[~allowed] = np.inf
    feature, row = divmod(int(costs.T.argmin()), n - 1)
    low, high = values[row, feature], values[row + 1, feature]
    middle = low / 2 + high / 2  # (low + high) / 2 may overflow
    gain = float(split_cost(total, np.array(float(n)), criterion) - costs[row, feature])
    # Between neighbouring floats the middle rounds to one of them.
    return Split(gain, feature, float(middle if low <= middle < high else low))
