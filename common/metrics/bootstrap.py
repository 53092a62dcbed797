"""Bootstrap confidence intervals, of rows or of whole groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.data.splits import join_groups


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """The estimate with its interval: 0.912 [0.890, 0.931]."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    n: int,
    groups: NDArray[Any] | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic of N rows (Efron and Tibshirani 1993, chapter 13).

    Rows of one group (photos of one contributor) resemble each other; drawing them one by one makes the
    interval too narrow. With `groups`, whole groups are drawn instead, as many as there are.

    The interval of a difference of two models is that of
    `lambda rows: score(a[rows]) - score(b[rows])`: both see the same resamples, so it is paired.

    Args:
        statistic: takes the indices of the rows to count, with repeats, and returns a number. NaN means
            undefined on that resample, which is then left out.
        n: N, number of rows.
        groups: (N,) group of each row; a row whose group is missing (None, NaN) is a group of its own.
        n_resamples: how often the statistic is computed anew; 0 gives bounds of NaN.
        level: share of the interval, e.g. 0.95.
        seed: same seed, same interval.

    Returns:
        The statistic of all rows and its interval; the bounds are NaN where nothing can be resampled (a
        single row or group) or no resample has the statistic.

    Raises:
        ValueError: no rows, or groups of another length.
    """
    if n < 1 or (groups is not None and len(groups) != n):
        raise ValueError(f"cannot resample {n} rows with {None if groups is None else len(groups)} groups")
    codes = np.arange(n) if groups is None else join_groups(groups)
    estimate = float(statistic(np.arange(n)))
    values = np.array([statistic(rows) for rows in _resamples(codes, n_resamples, seed)], dtype=np.float64)
    values = values[~np.isnan(values)]
    if codes.max() == 0 or len(values) == 0:
        return Interval(estimate, float("nan"), float("nan"))
    shares = [(1 - level) / 2, (1 + level) / 2]
    with np.errstate(invalid="ignore"):
        bounds = np.quantile(values, shares)
    # Between two infinite values it cannot interpolate.
    low, high = np.where(np.isnan(bounds), np.quantile(values, shares, method="nearest"), bounds)
    return Interval(estimate, float(low), float(high))


def _resamples(codes: NDArray[np.int64], n_resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row indices of each resample of the groups 0 to G - 1; their number varies with the groups drawn."""
    rng = np.random.default_rng(seed)
    rows_by_group = np.argsort(codes, kind="stable")  # (N,)
    sizes = np.bincount(codes)  # (G,)
    starts = np.cumsum(sizes) - sizes  # (G,) where each group begins in rows_by_group
    for _ in range(n_resamples):
        drawn = rng.integers(len(sizes), size=len(sizes))  # (G,)
        drawn_sizes = sizes[drawn]
        # Each drawn group's rows follow one another: its start, then + 0, 1, 2, ...
        offsets = np.repeat(starts[drawn] - (np.cumsum(drawn_sizes) - drawn_sizes), drawn_sizes)
        yield rows_by_group[offsets + np.arange(len(offsets))]
