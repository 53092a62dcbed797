"""What a month of readings says of a household: how much it uses (level) and when (shape).

Composition, who lives there, shows in the level; activity, when they are at home, in the shape. They part ways
here, so that a large office household and a small one share their shape, and a large one that is never at home
keeps its level.

Every function maps arrays of households to arrays of households, row by row: `household_features` of two files
joined is that of each joined.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRIMMED_SHARE: Final = 0.2
"""Of the days of each hour, this share is left out at either end: a charging car, a party, a missed shower."""
HOLIDAY_DAYS: Final = 4
"""So many quiet days in a row are a holiday; a weekend away has two."""
QUIET: Final = 0.5
"""A day is quiet when it uses less than this share of the household's median day."""
MIN_KWH: Final = 0.01
"""Level, in kWh an hour, below which ratios to it mean nothing: a lamp on standby."""


class Features(NamedTuple):
    """Of N households; hours are those of the clock on the wall."""

    shape: Floats  # (N, 48) weekday, then weekend: use in each hour against the household's mean; mean about 1
    level: Floats  # (N,) kWh an hour, of a typical week


def household_features(kwh: NDArray[np.float32], dates: NDArray[np.datetime64]) -> Features:
    """Level and shape of each household.

    A profile is the trimmed mean of each hour over days, holidays left out, weekdays and weekends apart. An hour
    that has no reading on any weekend takes its weekday value, and the other way round.

    Args:
        kwh: (N, D, 24), nan where there is no reading.
        dates: (D,) datetime64[D].
    """
    weekend = is_weekend(dates)
    present = np.where(on_holiday(kwh)[:, :, None], np.nan, kwh)  # (N, D, 24)
    weekday_profile = trimmed_mean(present[:, ~weekend])  # (N, 24)
    weekend_profile = trimmed_mean(present[:, weekend])
    weekday_profile, weekend_profile = (
        _fill(_first_known(weekday_profile, weekend_profile)),
        _fill(_first_known(weekend_profile, weekday_profile)),
    )
    # What a solar panel exports is no use: without the maximum, noon would cancel the evening.
    use = [np.maximum(profile, 0.0).mean(1) for profile in (weekday_profile, weekend_profile)]  # (N,) each
    level = (5 * use[0] + 2 * use[1]) / 7  # (N,)
    profiles = np.hstack([weekday_profile, weekend_profile])
    return Features(profiles / np.maximum(level, MIN_KWH)[:, None], level)


def is_weekend(dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """(D,) dates -> whether each is a Saturday or Sunday."""
    return np.asarray(days_since_monday(dates) >= 5)


def days_since_monday(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """(D,) dates -> the day of the week of each, 0 for Monday to 6 for Sunday."""
    return np.asarray((dates.astype("datetime64[D]").astype(np.int64) + 3) % 7)  # 1 January 1970 was a Thursday


def on_holiday(kwh: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N, D, 24) readings -> (N, D) days that lie in a run of at least HOLIDAY_DAYS quiet days.

    Not if that were most of the days: who is away for a month leaves nothing else to go by.
    """
    n_known = (~np.isnan(kwh)).sum(2)  # (N, D)
    daily = np.where(n_known >= 12, np.nansum(kwh, 2) / np.maximum(n_known, 1), np.nan)
    with np.errstate(invalid="ignore"):
        quiet = daily < QUIET * median(daily)[:, None]
    n_days = quiet.shape[1]
    away = np.zeros_like(quiet)
    if n_days < HOLIDAY_DAYS:
        return away
    runs = np.lib.stride_tricks.sliding_window_view(quiet, HOLIDAY_DAYS, axis=1).all(2)  # (N, D - 3): run starts here
    for day in range(HOLIDAY_DAYS):
        away[:, day : day + runs.shape[1]] |= runs
    return np.asarray(away & (away.mean(1, keepdims=True) <= 0.5))


def trimmed_mean(readings: NDArray[np.floating], share: float = TRIMMED_SHARE) -> Floats:
    """(N, D, 24) -> (N, 24) mean over days without the lowest and highest `share`; nan where there is no reading.

    Robust where a median is, but not as coarse: an appliance that runs on a third of the days still counts.
    """
    ordered = np.sort(readings, axis=1)  # nan last
    n_known = (~np.isnan(readings)).sum(1, keepdims=True)  # (N, 1, 24)
    n_cut = np.floor(share * n_known)
    rank = np.arange(readings.shape[1])[None, :, None]
    kept = (rank >= n_cut) & (rank < n_known - n_cut)
    n_kept = kept.sum(1)
    total = np.where(kept, ordered, 0.0).sum(1, dtype=np.float64)
    return np.where(n_kept > 0, total / np.maximum(n_kept, 1), np.nan)


def median(values: NDArray[np.floating]) -> Floats:
    """(N, D) -> (N,) median of what is known; nan where nothing is. Much faster than `np.nanmedian`."""
    ordered = np.sort(values, axis=1)  # nan last
    n_known = (~np.isnan(values)).sum(1)
    rows = np.arange(len(values))
    return np.asarray((ordered[rows, np.maximum(n_known - 1, 0) // 2] + ordered[rows, n_known // 2]) / 2)


def _first_known(first: Floats, second: Floats) -> Floats:
    return np.where(np.isnan(first), second, first)


def _fill(profiles: Floats) -> Floats:
    """(N, 24) -> the same, hours without a value interpolated between their neighbours around midnight."""
    for row in np.flatnonzero(np.isnan(profiles).any(1)):
        known = np.flatnonzero(~np.isnan(profiles[row]))
        if len(known):
            profiles[row] = np.interp(np.arange(24), known, profiles[row, known], period=24)
    return profiles


def smoothed(profiles: Floats) -> Floats:
    """(..., 24) -> the same, each hour averaged with its neighbours (1 2 1), so that 8:00 is near 9:00."""
    return 0.25 * np.roll(profiles, 1, -1) + 0.5 * profiles + 0.25 * np.roll(profiles, -1, -1)


def standardised(features: Features, level_weight: float) -> Floats:
    """(N, 49) what households are compared by: square roots of smoothed shares, and the weighted log of the level.

    The square root makes a busy hour of a household as noisy as a quiet one (readings are sums of a few
    appliance events, so their variance grows with their mean: Bartlett, 1936). With a level weight of 1 twice the
    level counts as much as a distance of 0.7 between shapes.
    """
    shape = smoothed(features.shape.reshape(-1, 2, 24)).reshape(-1, 48)
    return np.column_stack(
        [np.sqrt(np.maximum(shape, 0.0)), level_weight * np.log(np.maximum(features.level, MIN_KWH))]
    )
