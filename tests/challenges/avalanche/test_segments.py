"""Shares, segments and tests, against statsmodels, scipy and brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, fisher_exact
from statsmodels.stats.multitest import multipletests

from challenges.avalanche.segments import (
    NOT_GIVEN,
    OTHER,
    as_segments,
    co_occurrence,
    compare_segments,
    holm,
    theme_shares,
    wilson,
)


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_intervals_are_wilsons(n: int, part: float) -> None:
    count = round(n * part)
    found = wilson(np.array([count]), np.array([n]))[0]
    expected = binomtest(count, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(found, [count / n, expected.low, expected.high], atol=1e-9)
    assert found[1] - 1e-12 <= found[0] <= found[2] + 1e-12
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_correction_is_holms() -> None:
    p = np.random.default_rng(0).random(20) ** 4
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_shares_of_nothing_are_unknown() -> None:
    table = theme_shares(np.zeros((0, 2), dtype=bool), ["a", "b"])
    assert table["share"].isna().all()
    assert table["n"].tolist() == [0, 0]


def test_numbers_become_quarters_and_rare_names_become_others() -> None:
    ages = as_segments(pd.Series([str(age) for age in range(20, 60)] + [""]))
    assert list(ages.cat.categories) == ["20 to 29", "30 to 39", "40 to 49", "50 to 59", NOT_GIVEN]
    assert ages.value_counts().tolist() == [10, 10, 10, 10, 1]
    stars = as_segments(pd.Series(["10", "9", "10", "1"]))
    assert list(stars.cat.categories) == ["1", "9", "10"]
    towns = as_segments(pd.Series(["x"] * 5 + [f"town {i}" for i in range(20)]))
    assert len(towns.cat.categories) == 8
    assert towns.cat.categories[0] == "x"
    assert towns.cat.categories[-1] == OTHER
    days = as_segments(pd.Series([str(20_240_100 + day) for day in range(1, 29)]))
    assert days.cat.categories[0] == "20240101 to 20240107"
    rates = as_segments(pd.Series([str(k / 10) for k in range(1, 13)]))
    assert rates.cat.categories[0] == "0.1 to 0.3"
    endless = as_segments(pd.Series(["inf", *map(str, range(20))]))
    assert endless.cat.categories[-1] == OTHER
    assert as_segments(pd.Series([*[OTHER] * 3, *(f"town {i}" for i in range(20))])).value_counts()[OTHER] > 3
    assert as_segments(pd.Series(["", " "])).unique().tolist() == [NOT_GIVEN]
    assert as_segments(pd.Series([], dtype=str)).empty


def test_quarters_of_long_or_crowded_numbers_have_names_that_tell_them_apart() -> None:
    moments = as_segments(pd.Series([str(1_700_000_000_000 + second) for second in range(100)]))
    assert moments.cat.categories[0] == "1700000000000 to 1700000000024"
    # No number lies between the first quartile, 1, and the median, 1.5.
    crowded = as_segments(pd.Series(["0", *["1"] * 9, *map(str, range(2, 12))]))
    assert list(crowded.cat.categories) == ["0 to 1", "2 to 6", "7 to 11"]
    alike = as_segments(pd.Series([f"0.12345678901234{digit}" for digit in range(9)]))
    assert list(alike.cat.categories) == ["0.123456789012 to 0.123456789012"]


@settings(max_examples=40, deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(1, 30))
def test_numbers_of_any_length_become_few_segments(first: int, n: int) -> None:
    segments = as_segments(pd.Series([str(first + i) for i in range(n)]))
    assert segments.notna().all()
    assert len(segments.cat.categories) <= 8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=4), st.integers().map(str), st.none()), max_size=60))
def test_any_column_becomes_few_segments(values: list[str | None]) -> None:
    segments = as_segments(pd.Series(values, dtype=object))
    assert len(segments) == len(values)
    assert segments.notna().all()
    assert segments.nunique() <= 9


def survey(n: int, seed: int = 0) -> tuple[np.ndarray, pd.Series]:
    """Theme 0 depends on the plan, theme 1 does not, theme 2 is rare, theme 3 empty."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "family", "student"], n, p=[0.6, 0.3, 0.1])
    codes = np.zeros((n, 4), dtype=bool)
    codes[:, 0] = rng.random(n) < np.where(plan == "basic", 0.5, 0.2)
    codes[:, 1] = rng.random(n) < 0.3
    codes[:, 2] = rng.random(n) < 0.03
    return codes, pd.Series(plan)


def test_segments_that_differ_are_found_and_corrected_for_their_number() -> None:
    codes, plan = survey(400)
    names = ["dear", "content", "rare", "empty"]
    shares, tests = compare_segments(codes, names, as_segments(plan))
    of = tests.set_index("theme")
    assert of["differs"].to_dict() == {"dear": True, "content": False, "rare": False, "empty": False}
    assert of["test"].to_dict() == {
        "dear": "chi-square",
        "content": "chi-square",
        "rare": "permutation",
        "empty": "none",
    }
    expected = chi2_contingency(pd.crosstab(codes[:, 0], plan), correction=False).pvalue
    assert of.at["dear", "p"] == pytest.approx(expected)
    np.testing.assert_allclose(tests["p_adjusted"][:3], multipletests(tests["p"][:3], method="holm")[1])
    false_rate = compare_segments(codes, names, as_segments(plan), method="fdr")[1]
    np.testing.assert_allclose(false_rate["p_adjusted"][:3], multipletests(tests["p"][:3], method="fdr_bh")[1])
    row = shares[(shares["theme"] == "dear") & (shares["segment"] == "basic")].iloc[0]
    assert row["count"] == (codes[:, 0] & (plan == "basic")).sum()
    assert row["n"] == (plan == "basic").sum()
    two, tests = compare_segments(codes[:30], names, as_segments(plan[:30].where(plan == "basic", "else")))
    table = pd.crosstab(codes[:30, 2], plan[:30] == "basic")
    assert tests.at[2, "test"] == ("Fisher" if len(table) == 2 else "none")
    if len(table) == 2:
        assert tests.at[2, "p"] == pytest.approx(fisher_exact(table).pvalue)
    assert len(two) == 8


def test_permutations_agree_with_shuffling() -> None:
    segments = pd.Series(list("aaaaabbbbccc"))
    theme = np.array([1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0], dtype=bool)
    p = compare_segments(theme[:, None], ["t"], as_segments(segments))[1].at[0, "p"]
    rng = np.random.default_rng(1)
    sizes = np.array([5, 4, 3])
    expected = sizes * theme.sum() / 12

    def statistic(order: np.ndarray) -> float:
        counts = np.add.reduceat(order, [0, 5, 9], dtype=np.int64)
        return float(((counts - expected) ** 2 / expected).sum())

    shuffled = np.mean([statistic(rng.permutation(theme)) >= statistic(theme) - 1e-9 for _ in range(4_000)])
    assert p == pytest.approx(shuffled, abs=0.03)


def test_no_false_finding_in_most_tables_without_any_difference() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(60):
        codes = rng.random((200, 8)) < 0.2
        segments = as_segments(pd.Series(rng.choice(["a", "b"], 200)))
        found += compare_segments(codes, list("abcdefgh"), segments)[1]["differs"].any()
    assert found <= 8  # 5 % of 60 are 3; more than 8 happens once in 500 runs


def test_one_segment_cannot_be_compared() -> None:
    shares, tests = compare_segments(np.ones((3, 1), dtype=bool), ["t"], as_segments(pd.Series(["a", "a", ""])))
    assert tests["differs"].tolist() == [False]
    assert shares["n"].tolist() == [2]
    shares, tests = compare_segments(np.ones((1, 1), dtype=bool), ["t"], as_segments(pd.Series([""])))
    assert shares.empty


def test_themes_that_come_together_are_found() -> None:
    rng = np.random.default_rng(3)
    codes = rng.random((500, 3)) < 0.2
    codes[:, 2] = np.where(rng.random(500) < 0.7, codes[:, 0], codes[:, 2])
    pairs = co_occurrence(codes, ["a", "b", "c"])
    assert pairs[["a", "b"]].iloc[0].tolist() == ["a", "c"]
    assert pairs.at[0, "both"] == (codes[:, 0] & codes[:, 2]).sum()
    assert pairs.at[0, "expected"] == pytest.approx(codes[:, 0].sum() * codes[:, 2].sum() / 500)
    assert pairs.at[0, "p_adjusted"] < 1e-6
    assert (pairs["p_adjusted"][1:] > 0.01).all()
    assert co_occurrence(np.zeros((0, 2), dtype=bool), ["a", "b"])["lift"].isna().all()
    assert co_occurrence(np.zeros((5, 1), dtype=bool), ["a"]).empty
