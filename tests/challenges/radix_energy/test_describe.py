"""Households and types in numbers and words: true, unique, and the same however the households come."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks

from challenges.radix_energy.describe import (
    ACTIVITY,
    COMPOSITION,
    _told_apart,
    activity_words,
    composition_words,
    describe_households,
    describe_type,
    n_peaks,
    name_types,
    type_summaries,
    usual_household,
)
from challenges.radix_energy.features import household_features
from challenges.radix_energy.sample import TYPES, generate

DATES = np.datetime64("2024-03-04") + np.arange(28)  # from a Monday
WEEKEND = np.arange(28) % 7 >= 5
RNG = np.random.default_rng(0)


def described(kwh: np.ndarray, dates: np.ndarray = DATES) -> pd.DataFrame:
    kwh = np.asarray(kwh, dtype=np.float32)
    return describe_households(kwh, dates, household_features(kwh, dates))


def household(busy: list[int], kwh: float = 1.0, weekend: list[int] | None = None, base: float = 0.1) -> np.ndarray:
    """(28, 24) `base`, and `kwh` in the busy hours."""
    days = np.full((28, 24), base)
    days[np.ix_(~WEEKEND, busy)] = kwh
    days[np.ix_(WEEKEND, busy if weekend is None else weekend)] = kwh
    return days


def neighbours(pattern: np.ndarray, n: int = 30) -> np.ndarray:
    """(n, 28, 24) households like it."""
    return pattern * RNG.gamma(50, 1 / 50, (n, 28, 24)) * RNG.lognormal(0, 0.05, (n, 1, 1))


@pytest.fixture(scope="module")
def sample():
    return generate(300, 8, seed=1, missing=0.05, outliers=0.05)


@pytest.fixture(scope="module")
def table(sample) -> pd.DataFrame:
    return described(sample.kwh, sample.dates)


def test_numbers_of_a_household_can_be_read_off_its_profile():
    days = household([7, 8, 19, 20, 21], kwh=0.8)
    days[:, 20] = 1.2
    row = described(days[None]).loc[0]
    assert row["kwh_per_day"] == pytest.approx(19 * 0.1 + 4 * 0.8 + 1.2, rel=1e-5)
    assert row["base_kwh_per_hour"] == pytest.approx(0.1, rel=1e-5)
    assert row["peak_kwh_per_hour"] == pytest.approx(1.2, rel=1e-5)
    assert row["daily_variation"] == pytest.approx(0.0, abs=1e-5)
    assert row["peak_hour"] == 20
    assert row["n_peaks"] == 2
    assert row["weekday_day_share"] == pytest.approx(0.1 / (6.3 / 24), rel=1e-5)
    assert row["night_share"] == pytest.approx(0.6 / 6.3, rel=1e-5)
    assert row["weekend_ratio"] == pytest.approx(1.0, rel=1e-5)
    assert row["weekend_shift_hours"] == 0
    assert row["regularity"] == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("shift", [-3, 0, 2, 5])
def test_a_weekend_that_starts_later_is_shifted_by_as_much(shift: int):
    busy = [7, 8, 17, 18, 19, 20]
    row = described(household(busy, weekend=[(hour + shift) % 24 for hour in busy])[None]).loc[0]
    assert row["weekend_shift_hours"] == shift


def test_daily_variation_is_that_of_the_totals_and_gaps_are_no_quiet_days():
    scale = np.where(np.arange(28) % 2, 1.2, 0.8)
    days = household([18, 19]) * scale[:, None]
    assert described(days[None]).loc[0, "daily_variation"] == pytest.approx(0.2, rel=1e-3)
    steady = household([18, 19])
    steady[::3, 10:20] = np.nan
    assert described(steady[None]).loc[0, "daily_variation"] == pytest.approx(0.0, abs=1e-5)


def test_random_days_are_less_regular_than_a_routine():
    routine, chaos = household([7, 8, 19, 20]), RNG.gamma(1.0, 0.3, (28, 24))
    regularity = described(np.stack([routine, chaos]))["regularity"]
    assert regularity[0] > 0.99
    assert regularity[1] < 0.4


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(24)))  # no ties: of two equal peaks side by side scipy makes two, we one
def test_peaks_are_those_of_scipy_around_the_clock(heights: list[int]):
    profile = np.array(heights, dtype=np.float64)
    lowest = int(profile.argmin())
    walk = np.append(np.roll(profile, -lowest), profile[lowest])
    assert n_peaks(profile[None])[0] == len(find_peaks(walk, prominence=0.25 * np.ptp(profile))[0])


def test_household_order_changes_nothing(sample, table: pd.DataFrame):
    order = RNG.permutation(len(table))
    pd.testing.assert_frame_equal(described(sample.kwh[order], sample.dates), table.iloc[order].reset_index(drop=True))


@settings(max_examples=8, deadline=None)
@given(factor=st.floats(0.5, 50.0))
def test_activity_is_free_of_a_constant_factor_and_composition_grows_with_it(
    sample, table: pd.DataFrame, factor: float
):
    used = table[table["kwh_per_day"] > 1.0].index[:60]
    scaled = described(sample.kwh[used] * np.float32(factor), sample.dates)
    plain = table.loc[used].reset_index(drop=True)
    whole_hours = ["peak_hour", "peak_width_hours", "n_peaks", "weekend_shift_hours"]  # may jump where two are level
    others = [name for name in ACTIVITY if name not in whole_hours]
    np.testing.assert_allclose(scaled[others], plain[others], rtol=1e-3, atol=1e-4)
    assert (scaled[whole_hours] == plain[whole_hours]).to_numpy().mean() > 0.98
    np.testing.assert_allclose(scaled["kwh_per_day"], factor * plain["kwh_per_day"], rtol=1e-3)


def test_gaps_move_the_numbers_little_and_a_household_of_gaps_has_none(sample):
    kwh = generate(60, 4, seed=2).kwh.astype(np.float32)
    holes = np.where(RNG.random(kwh.shape) < 0.2, np.nan, kwh)
    holes[0] = np.nan
    holes[1, :, 3] = np.nan  # an hour that is never read
    dates = np.datetime64("2024-03-04") + np.arange(30)
    whole, gappy = described(kwh, dates), described(holes, dates)
    assert gappy.loc[0].isna().all()
    assert gappy.loc[1:].notna().all().all()
    np.testing.assert_allclose(gappy.loc[1:, "kwh_per_day"], whole.loc[1:, "kwh_per_day"], rtol=0.15)
    assert composition_words(gappy)[0] == "unknown use"
    assert activity_words(gappy)[0] == ""


def test_a_constant_and_an_exporting_household_are_described_without_nonsense():
    solar = household([19, 20])
    solar[:, 9:16] = -0.5
    constant = np.full((28, 24), 0.3)
    table = described(np.stack([solar, constant]))
    assert "exports by day" in activity_words(table)[0]
    assert 0 <= table.loc[0, "night_share"] <= 1
    assert table.loc[1, ["n_peaks", "peak_width_hours", "weekend_shift_hours"]].eq(0).all()
    assert np.isnan(table.loc[1, "regularity"])


def test_words_say_how_a_household_lives():
    evening = neighbours(household([7, 18, 19, 20, 21]))
    night = neighbours(household([22, 23, 0, 1, 2, 3, 4]))
    home = neighbours(household(list(range(8, 22)), kwh=0.5))
    away = neighbours(household([18, 19, 20], weekend=[]))
    large = neighbours(household([7, 18, 19, 20, 21], kwh=5.0, base=0.5))
    table = described(np.concatenate([evening, night, home, away, large]))
    words = np.split(activity_words(table).to_numpy(), 5)
    assert all("evening peak" in text and "out on weekdays" in text for text in words[0])
    assert all("mostly at night" in text for text in words[1])
    assert all("home on weekdays" in text and "weekends as weekdays" in text for text in words[2])
    assert all("weekends away" in text for text in words[3])
    levels = np.split(composition_words(table).to_numpy(), 5)
    assert all(text.startswith("very high use") for text in levels[4])


def test_use_is_compared_to_the_given_usual_household(table: pd.DataFrame):
    usual = usual_household(table)
    some = table[table["kwh_per_day"] < 0.75 * usual["kwh_per_day"]]
    assert composition_words(some, usual).str.contains("low use").all()
    assert not composition_words(some).str.contains("low use").all()


def test_planted_types_get_true_names():
    patterns = {
        "mostly at night": household([22, 23, 0, 1, 2, 3, 4]),
        "weekends away": household([7, 18, 19, 20], weekend=[]),
        "home on weekdays": household(list(range(8, 22)), kwh=0.5),
        "very high use": household([7, 18, 19, 20, 21], kwh=5.0, base=0.5),
        "low use": household([7, 18, 19, 20], kwh=0.15, base=0.04),
    }
    table = described(np.concatenate([neighbours(pattern) for pattern in patterns.values()]))
    names = name_types(table, np.repeat(np.arange(5), 30), 5)
    for phrase, name in zip(patterns, names, strict=True):
        assert phrase in name
    assert "night" in names[0].split(", ")[0]  # the most distinctive comes first


def test_names_are_unique_have_a_level_and_two_to_four_phrases(sample, table: pd.DataFrame):
    names = name_types(table, sample.types, 8)
    assert len(set(names)) == 8
    for name in names:
        phrases = name.split(", ")
        assert 2 <= len(set(phrases)) == len(phrases) <= 4
        assert len(re.findall(r"\b(?:very low|low|average|high|very high) use\b", name)) == 1
    for (composition, activity), name in zip(TYPES[:8], names, strict=True):
        if activity == "home all day":
            assert "home on weekdays" in name
        if activity == "weekends away":
            assert "weekends away" in name
        if composition == "family":
            assert "high use" in name


def test_types_that_are_the_same_still_have_names_of_their_own(table: pd.DataFrame):
    alike = pd.concat([table.iloc[:50]] * 4, ignore_index=True)
    assert len(set(name_types(alike, np.repeat(np.arange(4), 50), 6))) == 6  # two of them have no household


def test_the_same_phrases_in_another_order_are_no_other_name():
    names = ["low use, night active", "night active, low use", "low use"]
    kwh = ["4 kWh", "5 kWh", "6 kWh"]
    assert _told_apart(names, [["", "", ""], kwh]) == [
        "low use, night active, 4 kWh",
        "night active, low use, 5 kWh",
        "low use",
    ]


def test_names_follow_their_types_when_these_are_renumbered(sample, table: pd.DataFrame):
    order = RNG.permutation(8)
    renumbered = np.where(sample.types >= 0, order[sample.types], -1)
    names = name_types(table, sample.types, 8)
    assert [name_types(table, renumbered, 8)[new] for new in order] == names


def test_summaries_are_medians_with_hours_around_the_clock(table: pd.DataFrame):
    rows = table.iloc[:5].assign(peak_hour=[22.0, 23.0, 0.0, 1.0, 2.0])
    summaries = type_summaries(rows, np.array([0, 0, 0, 0, 0]), 2)
    assert summaries.loc[0, "peak_hour"] == 0
    assert summaries.loc[0, "kwh_per_day"] == rows["kwh_per_day"].median()
    assert summaries["n_households"].tolist() == [5, 0]
    assert summaries.loc[1, [*COMPOSITION, *ACTIVITY]].isna().all()


def test_a_type_in_a_sentence_has_its_numbers():
    members = described(neighbours(household([18, 19, 20], weekend=[20, 21, 22])))
    sentence = describe_type(members, 120)
    assert sentence.startswith("25 % of households (30); ")
    assert f"{members['kwh_per_day'].median():.1f} kWh a day" in sentence
    assert "the highest at 19 h" in sentence
    assert "2 h later" in sentence
