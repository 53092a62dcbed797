"""Sampling: from a list, from a stream that is read once, by weights, by strata, and from nothing but a coin.

Every function takes its generator, so that a caller's seed decides all. In what follows n rows are sampled from
N; a fair coin is a function that returns 0 or 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
Rows = NDArray[np.int64]


def sample_uniform(n_rows: int, size: int, rng: np.random.Generator) -> Rows:
    """`size` of the rows 0 to n_rows - 1 without repeats, every ordered choice equally likely: (size,).

    The first n swaps of a Fisher-Yates shuffle, in a table of only the rows that have moved: O(n) time and
    memory, however large N. Row i swaps with one of i to N - 1; swapping with any row of all is the classic
    mistake, and biased: N^N outcomes do not divide evenly among N! orders.
    """
    _check_size(size, n_rows)
    moved: dict[int, int] = {}
    sample = np.empty(size, dtype=np.int64)
    for i, j in enumerate(rng.integers(np.arange(size), n_rows).tolist()):  # j within i to N - 1
        sample[i] = moved.get(j, j)
        moved[j] = moved.get(i, i)
    return sample


def sample_stratified(strata: ArrayLike, size: int, rng: np.random.Generator) -> Rows:
    """`size` rows without repeats, each stratum of strata (N,) by its share, in order of the rows: (size,).

    Shares are seldom whole numbers of rows: each is rounded down, and the rows left over go to the largest
    remainders (Hamilton's method), of equal ones to the first stratum. O(N log N) time, O(N) memory.

    Raises:
        ValueError: strata that are not (N,), or fewer than `size`.
    """
    if np.ndim(strata) != 1:
        raise ValueError(f"strata {np.shape(strata)} are not (N,)")
    _, codes, counts = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)  # (N,), (S,)
    _check_size(size, len(codes))
    quotas, remainders = np.divmod(counts * size, max(1, len(codes)))  # (S,) in whole numbers, so exact
    quotas[np.argsort(-remainders, kind="stable")[: size - quotas.sum()]] += 1
    order = rng.permutation(len(codes))  # (N,)
    by_stratum = order[np.argsort(codes[order], kind="stable")]  # (N,) shuffled within each stratum
    place = np.arange(len(codes)) - np.repeat(counts.cumsum() - counts, counts)  # (N,) 0, 1, 2, ... in each
    return np.sort(by_stratum[place < np.repeat(quotas, counts)])


def reservoir_r(stream: Iterable[T], size: int, rng: np.random.Generator) -> list[T]:
    """`size` items of a stream of unknown length, each equally likely to be among them; all of a shorter one.

    Algorithm R (Waterman; Vitter 1985): item t (from 0) replaces a random one with probability n / (t + 1).
    O(N) time and as many random numbers, O(n) memory.
    """
    items = iter(stream)
    reservoir = list(islice(items, size))
    for seen, item in enumerate(items, start=len(reservoir) + 1):
        slot = rng.integers(seen)  # of all seen, this one included
        if slot < size:
            reservoir[slot] = item
    return reservoir


def reservoir_l(stream: Iterable[T], size: int, rng: np.random.Generator) -> list[T]:
    """What `reservoir_r` draws, with O(n (1 + log(N / n))) random numbers.

    Algorithm L (Li 1994): keep the items with the n lowest of N imagined uniform keys. The highest key kept,
    w, is known without drawing the others; the next item below it comes after a geometric number of items.
    """
    items = iter(stream)
    reservoir = list(islice(items, size))
    if size == 0 or len(reservoir) < size:
        return reservoir
    log_w = 0.0  # its logarithm: w itself falls towards 0
    while True:
        log_w += math.log(1.0 - rng.random()) / size  # 1 - u lies in (0, 1], u in [0, 1)
        w = math.exp(log_w)
        if w < 1e-300:  # the next item to keep lies beyond any stream
            return reservoir
        skip = math.floor(math.log(1.0 - rng.random()) / math.log1p(-w)) if w < 1.0 else 0
        skip = min(skip, sys.maxsize - 1)  # what islice can count
        for item in islice(items, skip, skip + 1):
            reservoir[rng.integers(size)] = item
            break
        else:
            return reservoir


def sample_weighted(weights: ArrayLike, size: int, rng: np.random.Generator) -> Rows:
    """`size` rows with repeats, each drawn by its share of weights (N,): (size,).

    Inverts the running sum by bisection: O(N + n log N) time, O(N) memory. A row without weight is never drawn.
    """
    cumulative = _check_weights(weights).cumsum()  # (N,)
    points = rng.random(size) * cumulative[-1]  # (size,)
    # "right" steps over rows of weight 0; rounding may reach the sum itself, past the last row with weight.
    last = np.searchsorted(cumulative, cumulative[-1], side="left")
    return np.asarray(np.minimum(np.searchsorted(cumulative, points, side="right"), last), dtype=np.int64)


def sample_weighted_without_repeats(weights: ArrayLike, size: int, rng: np.random.Generator) -> Rows:
    """`size` rows without repeats, drawn one after the other by their shares of the weight left: (size,).

    Efraimidis and Spirakis (2006): the n smallest of exponential waiting times with the weights (N,) as rates,
    in order. O(N + n log n) time, O(N) memory. Inclusion is not proportional to the weights once n > 1.
    """
    rates = _check_weights(weights)  # (N,)
    candidates = np.flatnonzero(rates)  # (P,) rows that can be drawn at all
    _check_size(size, len(candidates))
    waiting = rng.exponential(size=len(candidates)) / rates[candidates]  # (P,)
    first = np.argpartition(waiting, size - 1)[:size] if size else np.arange(0)  # (size,)
    return candidates[first[np.argsort(waiting[first])]]


def random_integer(low: int, high: int, coin: Callable[[], int]) -> int:
    """A whole number from low to high, both included, each equally likely, from a fair coin.

    Reads the tosses as a binary number and tosses all again where it is too large, fewer than two rounds on
    average. Folding the excess back with a remainder would favour the small numbers (modulo bias).

    Raises:
        ValueError: low is above high.
    """
    span = high - low
    if span < 0:
        raise ValueError(f"low {low} is above high {high}")
    while True:
        number = 0
        for _ in range(span.bit_length()):  # not log2(span + 1), which rounds
            number = 2 * number + coin()
        if number <= span:
            return low + number


def _check_size(size: int, n_rows: int) -> None:
    if not 0 <= size <= n_rows:
        raise ValueError(f"cannot draw {size} of {n_rows} rows without repeats")


def _check_weights(weights: ArrayLike) -> NDArray[Any]:
    values = np.asarray(weights, dtype=np.float64)
    total = values.sum(dtype=np.longdouble)  # of doubles it might overflow; NaN if a weight is
    if values.ndim != 1 or (values < 0).any() or not 0 < total <= np.finfo(np.float64).max:
        raise ValueError("weights must be (N,), not negative, and with a finite sum above 0")
    return values
