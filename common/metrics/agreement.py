"""Agreement of persons who coded the same things: Cohen's kappa of two, Krippendorff's alpha of any number."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Agreement of two coders beyond what their shares of codes give by chance (Cohen, 1960): 1 is perfect.

    Args:
        first: (N,) the code that the first coder gave each thing: all texts, numbers or truth values.
        second: (N,) the second coder's.

    Returns:
        NaN where nothing was coded, or both gave everything one and the same code: chance then explains it all.

    Raises:
        ValueError: other lengths.
    """
    from sklearn.metrics import cohen_kappa_score

    if len(first) == len(second) and len({*first, *second}) < 2:  # scikit-learn refuses the one, warns of the other
        return float("nan")
    return float(cohen_kappa_score(first, second))


def krippendorff_alpha(codes: Sequence[Sequence[Hashable | None]]) -> float:
    """Agreement of coders beyond chance, for nominal codes (Krippendorff, 'Content Analysis', 2004, chapter 11).

    Coders may be any number, and each may have coded any of the things. 1 is perfect, 0 is chance; 0.8 is the usual
    bar for firm conclusions, 0.667 for tentative ones.

    Args:
        codes: of each coder the codes of all N things; None or NaN: not coded.

    Returns:
        NaN where no thing has two codes, or only one code was ever given.

    Raises:
        ValueError: coders with other numbers of things.
    """
    if len({len(row) for row in codes}) > 1:
        raise ValueError("every coder needs as many codes as there are things; None is not coded")
    n_things = len(codes[0]) if len(codes) else 0
    given = pd.Series([code for row in codes for code in row], dtype=object)
    numbers = pd.factorize(given)[0].reshape(len(codes), n_things)  # -1: not coded
    coded = numbers >= 0
    counts = np.zeros((n_things, numbers.max(initial=-1) + 1))  # (N, C) how often each thing got each code
    np.add.at(counts, (np.nonzero(coded)[1], numbers[coded]), 1)
    counts = counts[counts.sum(1) >= 2]  # a single code agrees with nobody's
    per_thing = counts.sum(1)  # (N,)
    totals = counts.sum(0)  # (C,)
    n = totals.sum()
    expected = n**2 - float(totals @ totals)  # pairs of different codes, were they dealt out by chance
    if n == 0 or expected == 0:
        return float("nan")
    observed = float(((per_thing**2 - (counts**2).sum(1)) / (per_thing - 1)).sum())
    return float(1 - (n - 1) * observed / expected)
