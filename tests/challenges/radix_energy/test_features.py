"""Level and shape: what they must not depend on, and what must not disturb them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import trim_mean

from challenges.radix_energy.features import (
    household_features,
    is_weekend,
    median,
    on_holiday,
    smoothed,
    standardised,
    trimmed_mean,
)
from challenges.radix_energy.sample import generate

SAMPLE = generate(40, 4, seed=1)


def test_a_constant_factor_changes_the_level_alone():
    one, three = (household_features(SAMPLE.kwh * factor, SAMPLE.dates) for factor in (1, 3))
    assert np.allclose(one.shape, three.shape, atol=1e-4)
    assert np.allclose(3 * one.level, three.level, rtol=1e-4)
    apart = standardised(three, 1.0) - standardised(one, 1.0)
    assert np.allclose(apart[:, :48], 0, atol=1e-4)
    assert np.allclose(apart[:, 48], np.log(3), atol=1e-3)


def test_households_are_looked_at_one_by_one():
    whole = household_features(SAMPLE.kwh, SAMPLE.dates)
    order = np.random.default_rng(0).permutation(40)
    part = household_features(SAMPLE.kwh[order[:7]], SAMPLE.dates)
    assert np.array_equal(part.shape, whole.shape[order[:7]])
    assert np.array_equal(part.level, whole.level[order[:7]])


def test_a_week_cut_off_or_a_tenth_missing_changes_little():
    whole = household_features(SAMPLE.kwh, SAMPLE.dates)
    kwh = SAMPLE.kwh.copy()
    kwh[np.random.default_rng(0).random(kwh.shape) < 0.1] = np.nan
    for other in (household_features(kwh, SAMPLE.dates), household_features(SAMPLE.kwh[:, :21], SAMPLE.dates[:21])):
        assert np.isfinite(other.shape).all()
        assert np.corrcoef(np.log(whole.level), np.log(other.level))[0, 1] > 0.95
        assert np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(whole.shape, other.shape, strict=True)]) > 0.9


def test_an_hour_without_readings_is_taken_from_its_neighbours_or_the_other_days():
    kwh = SAMPLE.kwh.copy()
    kwh[:, :, 3] = np.nan
    kwh[0, is_weekend(SAMPLE.dates)] = np.nan
    features = household_features(kwh, SAMPLE.dates)
    assert np.isfinite(features.shape).all()
    assert np.allclose(features.shape[:, 3], (features.shape[:, 2] + features.shape[:, 4]) / 2)
    assert np.array_equal(features.shape[0, :24], features.shape[0, 24:])


def test_weekends_are_saturdays_and_sundays():
    dates = np.arange(np.datetime64("2024-02-26"), np.datetime64("2024-03-11"))  # from a Monday
    assert is_weekend(dates).tolist() == [False] * 5 + [True] * 2 + [False] * 5 + [True] * 2


def test_a_holiday_is_found_and_a_weekend_away_is_none():
    kwh = np.ones((3, 30, 24), dtype=np.float32)
    kwh[1, 10:16] = 0.1
    kwh[2, is_weekend(SAMPLE.dates)] = 0.1
    found = on_holiday(kwh)
    assert np.flatnonzero(found[1]).tolist() == list(range(10, 16))
    assert not found[[0, 2]].any()
    normal = household_features(kwh, SAMPLE.dates)
    assert normal.level[1] == pytest.approx(1)


def test_solar_export_does_not_cancel_the_evening():
    kwh = np.full((1, 14, 24), 0.5, dtype=np.float32)
    kwh[:, :, 10:15] = -3
    assert household_features(kwh, SAMPLE.dates[:14]).level[0] == pytest.approx(0.5 * 19 / 24)


@given(arrays(np.float64, (2, 11, 24), elements=st.floats(0, 9)), st.sampled_from([0.0, 0.1, 0.2, 0.4]))
@settings(max_examples=30, deadline=None)
def test_the_trimmed_mean_is_scipys(readings, share):
    assert np.allclose(trimmed_mean(readings, share), trim_mean(readings, share, axis=1))


def test_the_trimmed_mean_leaves_out_what_is_missing():
    readings = np.random.default_rng(0).random((1, 9, 24))
    readings[0, 4:, 5] = np.nan
    assert trimmed_mean(readings)[0, 5] == pytest.approx(trim_mean(readings[0, :4, 5], 0.2))
    assert np.isnan(trimmed_mean(np.full((1, 9, 24), np.nan))).all()


@given(arrays(np.float64, (3, 8), elements=st.one_of(st.floats(-9, 9), st.just(float("nan")))))
def test_the_median_is_that_of_what_is_known(values):
    expected = [np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in values]
    assert np.allclose(median(values), expected, equal_nan=True)


def test_smoothing_goes_around_midnight():
    profile = np.zeros(24)
    profile[0] = 1
    assert smoothed(profile)[[23, 0, 1]].tolist() == [0.25, 0.5, 0.25]
