"""Metrics of predicted click probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def normalised_cross_entropy(clicks: ArrayLike, probabilities: ArrayLike, base_rate: float | None = None) -> float:
    """Log loss, as a share of what always predicting the base rate would have (He et al., ADKDD 2014, eq. 1).

    NE = mean of -(y ln p + (1 - y) ln(1 - p)) / -(r ln r + (1 - r) ln(1 - r)): below 1 is better than the
    base rate r, 0 is perfect. Log loss alone flatters rare clicks: the rarer, the smaller it is without skill.

    Args:
        clicks: (N,) 0 or 1.
        probabilities: (N,) predicted; a certain 0 for a click, or 1 for none, costs infinity.
        base_rate: r within (0, 1), such as the click rate of the training data; None for that of `clicks`.

    Returns:
        The ratio; NaN where r is 0 or 1, which leaves nothing to predict.

    Raises:
        ValueError: no rows, shapes that differ, clicks other than 0 and 1, or probabilities outside [0, 1].
    """
    y, p = np.asarray(clicks, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape or len(y) == 0:
        raise ValueError(f"clicks {y.shape} and probabilities {p.shape} are not both (N,)")
    if not np.isin(y, (0, 1)).all() or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("clicks must be 0 or 1, and probabilities within [0, 1]")
    rate = float(y.mean()) if base_rate is None else base_rate
    if not 0 < rate < 1:
        return float("nan")
    with np.errstate(divide="ignore"):
        losses = np.where(y == 1, -np.log(p), -np.log1p(-p))  # (N,)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return float(losses.mean() / entropy)
