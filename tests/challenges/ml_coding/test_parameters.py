"""The checks of parameters."""

import numpy as np
import pytest

from challenges.ml_coding.parameters import check_counts, check_not_negative, check_option


def test_an_option_is_one_of_those_allowed() -> None:
    check_option("norm", None, ["l2", None])
    check_option("tf", "natural", {"natural": 1})
    with pytest.raises(ValueError, match=r"^norm = 'max' is none of 'l2', None$"):
        check_option("norm", "max", ["l2", None])


def test_counts_are_whole_and_large_enough() -> None:
    check_counts(1, n=1, k=np.int64(5))
    check_counts(0, depth=0)
    with pytest.raises(ValueError, match=r"^k == 0, must be >= 1"):
        check_counts(1, n=1, k=0)
    with pytest.raises(TypeError, match=r"^n must be an instance of int"):
        check_counts(1, n=2.5)


@pytest.mark.parametrize("number", [-0.1, np.nan, np.inf])
def test_a_penalty_is_finite_and_not_negative(number: float) -> None:
    check_not_negative(l2=0, alpha=np.float32(1.5))
    with pytest.raises(ValueError, match=rf"^l2 = {number} is not"):
        check_not_negative(l2=number)
