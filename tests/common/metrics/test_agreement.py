"""Agreement of coders, against scikit-learn and Krippendorff's own formula in another library."""

import math

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from common.metrics.agreement import cohen_kappa, krippendorff_alpha

CODES = st.sampled_from("abc")


@settings(deadline=None)
@given(st.lists(st.tuples(CODES, CODES), min_size=1, max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]):
    first, second = zip(*pairs, strict=True)
    ours = cohen_kappa(first, second)
    if len({*first, *second}) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)


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


def test_perfect_agreement_is_one_and_another_number_of_things_is_refused():
    codes = [frozenset({"price"}), frozenset(), frozenset({"price", "bugs"})]
    assert cohen_kappa(codes, codes) == krippendorff_alpha([codes, codes, [None, *codes[1:]]]) == 1
    with pytest.raises(ValueError, match="2 and 1"):
        cohen_kappa("ab", "a")
    with pytest.raises(ValueError, match="as many codes"):
        krippendorff_alpha(["ab", "a"])
