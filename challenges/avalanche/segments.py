"""Themes by segment: shares with intervals, and tests of whether segments differ, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ALPHA: Final = 0.05
Z_95: Final = 1.959964
"""Of the normal distribution, for intervals of 95 %."""
MAX_SEGMENTS: Final = 8
"""A column of more values is cut into so many segments: numbers into quarters, names into the frequent and the rest."""
LARGEST: Final = 2**53 - 1
"""Whole numbers up to here are exact as floats; longer ones are names, such as ids."""
MIN_EXPECTED: Final = 5.0
"""Below this expected count in any cell, the chi-square distribution is not trusted (Cochran 1954)."""
N_PERMUTATIONS: Final = 9_999
NOT_GIVEN: Final = "(not given)"
OTHER: Final = "(other)"


def wilson(counts: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of answers with their 95 % intervals (Wilson 1927).

    Args:
        counts: any shape, how many answers have it.
        n: same shape, of how many; of none, the share is undefined.

    Returns:
        (..., 3): share, low, high; NaN where undefined.
    """
    of = np.where(n > 0, n, 1)
    share = counts / of
    middle = (share + Z_95**2 / (2 * of)) / (1 + Z_95**2 / of)
    half = Z_95 * np.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of**2)) / (1 + Z_95**2 / of)
    bounds = np.clip([middle - half, middle + half], 0, 1)  # which roundings overstep
    return np.where((n > 0)[..., None], np.stack([share, *bounds], axis=-1), np.nan)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted so that the chance of any false finding among them stays below the level (Holm 1979)."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def theme_shares(codes: NDArray[np.bool_], names: Sequence[str]) -> pd.DataFrame:
    """How many answers have each theme.

    Args:
        codes: (N, T) of the answers to count among.
        names: T names of themes.

    Returns:
        One row a theme, in the order given: theme, count, n, share, low, high.
    """
    counts = codes.sum(axis=0)  # (T,)
    n = np.full_like(counts, len(codes))
    table = pd.DataFrame({"theme": list(names), "count": counts, "n": n})
    return table.join(pd.DataFrame(wilson(counts, n), columns=["share", "low", "high"]))


def as_segments(values: pd.Series[str]) -> pd.Series[Any]:
    """A column of the survey as at most `MAX_SEGMENTS` segments, in a sensible order as a categorical.

    Numbers of many values become quarters, names beyond the most frequent become '(other)'; blank is '(not given)'.
    """
    text = values.fillna("").astype(str).str.strip()
    given = text[text != ""]
    numbers = pd.to_numeric(given, errors="coerce")
    if len(given) and numbers.between(-LARGEST, LARGEST).all():
        if numbers.nunique() > MAX_SEGMENTS:
            quarters = pd.qcut(numbers, 4, labels=False, duplicates="drop")
            names = {part: _range(numbers[quarters == part]) for part in sorted(quarters.unique())}
            ordered, named = [*dict.fromkeys(names.values())], quarters.map(names)
        else:
            ordered, named = list(dict.fromkeys(given[numbers.sort_values().index])), given
    else:
        frequent = given.value_counts()
        ordered = frequent.index.tolist()
        if len(ordered) > MAX_SEGMENTS:
            ordered = ordered[: MAX_SEGMENTS - 1]
            named = given.where(given.isin(ordered), OTHER)
            ordered = [*dict.fromkeys([*ordered, OTHER])]  # which may be a name as well
        else:
            named = given
    result = named.reindex(text.index, fill_value=NOT_GIVEN)
    if (result == NOT_GIVEN).any():
        ordered = [*dict.fromkeys([*ordered, NOT_GIVEN])]
    return result.astype(pd.CategoricalDtype(ordered, ordered=True))


def compare_segments(
    codes: NDArray[np.bool_], names: Sequence[str], segments: pd.Series[Any], method: str = "holm", seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Share of each theme in each segment, and for each theme whether its share differs between segments.

    A theme is tested by chi-square, or where a cell expects fewer than `MIN_EXPECTED` answers by Fisher's exact test
    (two segments) or by permutations of the same statistic (more). All themes together are one family of tests.

    Args:
        codes: (N, T) of the answers to count among.
        names: T names of themes.
        segments: (N,) categorical of `as_segments`; answers without a segment are left out.
        method: correction for the number of themes: 'holm' (no false finding at all in 95 % of tables) or 'fdr', after
            Benjamini and Hochberg (5 % of the findings are false).
        seed: of the permutations.

    Returns:
        Shares: theme, segment, count, n, share, low, high; tests: theme, test, p, p_adjusted, differs (below 0.05).
    """
    from scipy.stats import false_discovery_control

    given = (segments != NOT_GIVEN).to_numpy()
    codes, which = codes[given], segments[given]
    present = [s for s in segments.cat.categories if (which == s).any()]
    member = np.column_stack([(which == s).to_numpy() for s in present]) if present else np.zeros((len(codes), 0), bool)
    sizes = member.sum(axis=0)  # (S,)
    with_theme = codes.T.astype(np.int64) @ member.astype(np.int64)  # (T, S)
    shares = pd.DataFrame(
        [(name, segment) for name in names for segment in present], columns=["theme", "segment"]
    ).assign(count=with_theme.ravel(), n=np.tile(sizes, len(names)))
    intervals = wilson(shares["count"].to_numpy(), shares["n"].to_numpy())
    shares[["share", "low", "high"]] = intervals
    rng = np.random.default_rng(seed)
    tests = [(name, *_test(np.stack([row, sizes - row]), rng)) for name, row in zip(names, with_theme, strict=True)]
    table = pd.DataFrame(tests, columns=["theme", "test", "p"])
    tested = table["p"].notna()
    table["p_adjusted"] = np.nan
    correct = holm if method == "holm" else false_discovery_control
    if tested.any():
        table.loc[tested, "p_adjusted"] = correct(table.loc[tested, "p"].to_numpy())
    table["differs"] = table["p_adjusted"] < ALPHA
    return shares, table


def _test(table: NDArray[np.int64], rng: np.random.Generator) -> tuple[str, float]:
    """Test a (2, S) table of answers with and without a theme for independence."""
    from scipy.stats import chi2_contingency, fisher_exact
    from scipy.stats.contingency import expected_freq

    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return "none", float("nan")
    if expected_freq(table).min() >= MIN_EXPECTED:
        return "chi-square", float(chi2_contingency(table, correction=False).pvalue)
    if table.shape[1] == 2:
        return "Fisher", float(fisher_exact(table).pvalue)
    # Permuting themes over answers draws the theme's counts by segment from a multivariate hypergeometric law.
    sizes, k = table.sum(axis=0), int(table[0].sum())
    expected = sizes * k / sizes.sum()
    drawn = rng.multivariate_hypergeometric(sizes, k, size=N_PERMUTATIONS, method="marginals")
    statistic = ((drawn - expected) ** 2 / expected).sum(axis=1)
    observed = ((table[0] - expected) ** 2 / expected).sum()
    return "permutation", float((1 + (statistic >= observed - 1e-9).sum()) / (N_PERMUTATIONS + 1))


def co_occurrence(codes: NDArray[np.bool_], names: Sequence[str]) -> pd.DataFrame:
    """Which themes come in the same answers more often than by chance.

    Args:
        codes: (N, T) of the answers to count among.
        names: T names of themes.

    Returns:
        One row a pair: a, b, both (answers), expected (if themes were independent), lift (both / expected, NaN where
        nothing is expected), p_adjusted (Fisher's exact test, after Benjamini and Hochberg).
    """
    from scipy.stats import false_discovery_control, fisher_exact

    whole = codes.astype(np.int64)
    both = whole.T @ whole  # (T, T)
    n, sizes = len(codes), np.diag(both)
    rows = []
    for i in range(len(names)):
        for j in range(i):
            k = int(both[i, j])
            expected = float(sizes[i] * sizes[j] / n) if n else 0.0
            table = [[k, sizes[i] - k], [sizes[j] - k, n - sizes[i] - sizes[j] + k]]
            p = float(fisher_exact(table).pvalue) if expected else 1.0
            rows.append((names[j], names[i], k, expected, k / expected if expected else float("nan"), p))
    pairs = pd.DataFrame(rows, columns=["a", "b", "both", "expected", "lift", "p_adjusted"])
    if len(pairs):
        pairs["p_adjusted"] = false_discovery_control(pairs["p_adjusted"])
    return pairs.sort_values(["both", "lift"], ascending=False, ignore_index=True)


def _range(numbers: pd.Series[float]) -> str:
    return " to ".join(f"{n:.0f}" if n % 1 == 0 else f"{n:.12g}" for n in (numbers.min(), numbers.max()))
