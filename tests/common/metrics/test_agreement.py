"""Agreement of coders: what kappa leaves undefined, and alpha against another library."""

import math

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics.agreement import cohen_kappa, krippendorff_alpha

CODES = st.sampled_from("abc")


@pytest.mark.parametrize(
    ("first", "second", "kappa"), [("", "", math.nan), ("aa", "aa", math.nan), ("aa", "bb", 0), ("aabb", "aaab", 0.5)]
)
def test_kappa_of_what_chance_explains_is_not_a_number(first: str, second: str, kappa: float):
    assert cohen_kappa(list(first), list(second)) == pytest.approx(kappa, nan_ok=True)


@settings(deadline=None)
@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.tuples(*[CODES | st.none()] * n), min_size=1, max_size=20)))
def test_alpha_is_that_of_the_library(things: list[tuple[str | None, ...]]):
    by_coder = list(zip(*things, strict=True))
    ours = krippendorff_alpha(by_coder)
    pairable = [[c for c in thing if c] for thing in things if sum(c is not None for c in thing) >= 2]
    if len({c for thing in pairable for c in thing}) < 2:
        assert math.isnan(ours)
        return
    numbers = np.array([[np.nan if c is None else "abc".index(c) for c in row] for row in by_coder])
    expected = krippendorff.alpha(reliability_data=numbers, level_of_measurement="nominal")
    assert ours == pytest.approx(expected, abs=1e-9)


def test_what_pandas_leaves_out_is_not_coded():
    texts = [["a", "b", "a", None, "b"], ["a", "b", "b", "a", None]]
    gaps = [pd.Series(row).tolist() for row in texts]  # NaN for None
    assert gaps != texts
    assert krippendorff_alpha(gaps) == krippendorff_alpha(texts)


def test_perfect_agreement_is_one_and_another_number_of_things_is_refused():
    codes = [frozenset({"price"}), frozenset(), frozenset({"price", "bugs"})]
    assert krippendorff_alpha([codes, codes, [None, *codes[1:]]]) == 1
    with pytest.raises(ValueError, match="inconsistent"):
        cohen_kappa(["a", "a"], ["a"])
    with pytest.raises(ValueError, match="as many codes"):
        krippendorff_alpha(["ab", "a"])
