"""Normalised cross-entropy against scikit-learn's log loss and SciPy's entropy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import log_loss

from common.metrics.clicks import normalised_cross_entropy


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), rate=st.floats(0.05, 0.95))
def test_is_log_loss_over_the_entropy_of_the_base_rate(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    clicks = rng.random(50) < rate
    clicks[:2] = False, True
    probabilities = rng.uniform(0.001, 0.999, 50)
    for base_rate in (None, rate):
        r = clicks.mean() if base_rate is None else base_rate
        expected = log_loss(clicks, probabilities) / entropy([r, 1 - r])
        assert normalised_cross_entropy(clicks, probabilities, base_rate) == pytest.approx(expected)


def test_the_base_rate_scores_one_and_certainty_zero_whatever_the_rate() -> None:
    for n_clicks in (1, 10, 50):
        clicks = np.arange(100) < n_clicks
        assert normalised_cross_entropy(clicks, np.full(100, n_clicks / 100)) == pytest.approx(1)
        assert normalised_cross_entropy(clicks, clicks) == 0


def test_being_wrong_for_certain_costs_infinity() -> None:
    assert normalised_cross_entropy([1, 0], [0.0, 0.5]) == math.inf
    assert normalised_cross_entropy([1, 0], [0.5, 1.0]) == math.inf


def test_one_sided_clicks_leave_nothing_to_predict() -> None:
    assert math.isnan(normalised_cross_entropy([0, 0], [0.1, 0.2]))
    assert math.isnan(normalised_cross_entropy([1], [0.9]))
    assert normalised_cross_entropy([0, 0], [0.1, 0.1], base_rate=0.1) == pytest.approx(
        -math.log(0.9) / entropy([0.1, 0.9])
    )


@pytest.mark.parametrize(
    ("clicks", "probabilities"),
    [([], []), ([1], [0.5, 0.5]), ([2, 0], [0.5, 0.5]), ([1, 0], [1.5, 0.5]), ([1, 0], [np.nan, 0])],
)
def test_what_has_no_meaning_is_refused(clicks: list[int], probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match="clicks"):
        normalised_cross_entropy(clicks, probabilities)
