"""What parameters may be, asked the same way by every algorithm: else a wrong one gives wrong numbers in silence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral

from sklearn.utils import check_scalar


def check_option(name: str, value: object, allowed: Iterable[object]) -> None:
    """One of the names that are documented.

    Raises:
        ValueError: `value` is none of `allowed`, which it names.
    """
    options = list(allowed)
    if value not in options:
        raise ValueError(f"{name} = {value!r} is none of {', '.join(map(repr, options))}")


def check_counts(least: int, /, **counts: int) -> None:
    """Whole numbers of at least `least`: with fewer a loop over them would not run.

    Raises:
        TypeError: a number that is not whole.
        ValueError: one below `least`.
    """
    for name, count in counts.items():
        check_scalar(count, name, Integral, min_val=least)


def check_not_negative(**numbers: float) -> None:
    """Penalties and the like: below 0 they would reward.

    Raises:
        ValueError: a number below 0, infinite or NaN.
    """
    for name, number in numbers.items():
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} = {number} is not a finite number of at least 0")
