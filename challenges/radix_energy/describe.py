"""Households and types in numbers with units, and in words: how much they use, and when.

Numbers and words of a household hang on nothing but that household, and on the usual household its use is compared
to; a type's on its households, and its name also on the types it must be told from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.radix_energy.features import MIN_KWH, Features, is_weekend, on_holiday, smoothed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

COMPOSITION: Final = ("kwh_per_day", "base_kwh_per_hour", "peak_kwh_per_hour", "daily_variation")
"""Columns that say how much: they grow with the number of people and appliances."""
ACTIVITY: Final = (
    "peak_hour",
    "peak_width_hours",
    "n_peaks",
    "weekday_day_share",
    "night_share",
    "weekend_ratio",
    "weekend_shift_hours",
    "regularity",
)
"""Columns that say when: use times a constant leaves them as they are."""

DAY: Final = slice(9, 16)
NIGHT: Final = slice(0, 6)
N_BASE_HOURS: Final = 5
PEAK_SHARE: Final = 0.25
"""A peak rises above the valleys on both sides by this share of the range from lowest to highest hour."""
SHIFTS: Final = tuple(sorted(range(-6, 7), key=abs))
"""Hours; the first of equals wins, so that a flat weekend has no shift."""
MIN_HOURS_OF_DAY: Final = 12
"""A day with fewer readings has no total and no shape."""

UNKNOWN: Final = "unknown use"
MIN_LIFT: Final = 0.2
"""A phrase names a type when it is true of half its households, and this much rarer among all."""
MIN_SPREADS: Final = 0.5
"""A comparison names a type when its median is so many spreads from that of all households."""
N_PHRASES: Final = 3
"""Of a name; one more, or a number, where two types would share a name."""
COMPARISONS: Final = {  # by the group of phrases that says the same more plainly
    "base": ("base_share", "less base load", "more base load"),
    "day": ("weekday_day_share", "less use by day", "more use by day"),
    "night": ("night_share", "less use at night", "more use at night"),
    "weekend": ("weekend_ratio", "quieter weekends", "busier weekends"),
    "width": ("peak_width_hours", "shorter peak", "longer peak"),
    "days": ("regularity", "less regular days", "more regular days"),
    "variation": ("daily_variation", "steadier days", "more varied days"),
}


def describe_households(kwh: NDArray[np.float32], dates: NDArray[np.datetime64], features: Features) -> pd.DataFrame:
    """Describe each household in numbers that a reader can name; holidays (`on_holiday`) are left out.

    - kwh_per_day: mean use, kWh a day.
    - base_kwh_per_hour: mean of the five lowest hours of the weekday profile, kWh an hour.
    - peak_kwh_per_hour: its highest hour, kWh an hour.
    - daily_variation: standard deviation of daily totals, over their mean.
    - peak_hour: 0 to 23, highest hour of the smoothed weekday profile.
    - peak_width_hours: hours of it above halfway from base to peak.
    - n_peaks: its peaks that stand out by a quarter of its range.
    - weekday_day_share: use from 9 to 16 on weekdays, over the household's mean; below 1 is less than usual.
    - night_share: share of the typical week's use that falls between 0 and 6; 0.25 is as much as at other times.
    - weekend_ratio: use on a weekend day over that on a weekday.
    - weekend_shift_hours: -6 to 6, by which the weekday profile fits the weekend's best; positive is later.
    - regularity: 0 to 1, mean correlation of single weekdays with the household's weekday profile.

    Args:
        kwh: (N, D, 24), nan where there is no reading.
        dates: (D,) datetime64[D].
        features: of the same households.

    Returns:
        N rows of float64, columns COMPOSITION and ACTIVITY; nan where a household has nothing to go by.
    """
    weekend = is_weekend(dates)
    weekday_profile, weekend_profile = features.shape[:, :24], features.shape[:, 24:]  # (N, 24), mean about 1
    used = np.maximum((5 * weekday_profile + 2 * weekend_profile) / 7, 0.0)  # without what a solar panel exports
    kwh_of_shape = np.maximum(features.level, MIN_KWH)
    plain = np.maximum(weekday_profile, 0.0)
    smooth = smoothed(weekday_profile)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: nothing used, or nothing known
        kwh_per_day, daily_variation, regularity = _days(kwh, weekend, weekday_profile)
        table = pd.DataFrame(
            {
                "kwh_per_day": kwh_per_day,
                "base_kwh_per_hour": kwh_of_shape * _base(plain),
                "peak_kwh_per_hour": kwh_of_shape * plain.max(1),
                "daily_variation": daily_variation,
                "peak_hour": smooth.argmax(1).astype(np.float64),
                "peak_width_hours": _peak_width(smooth),
                "n_peaks": n_peaks(smooth).astype(np.float64),
                "weekday_day_share": weekday_profile[:, DAY].mean(1),
                "night_share": used[:, NIGHT].sum(1) / used.sum(1),
                "weekend_ratio": np.maximum(weekend_profile, 0.0).sum(1) / plain.sum(1),
                "weekend_shift_hours": _shift(weekday_profile, weekend_profile),
                "regularity": regularity,
            },
            columns=[*COMPOSITION, *ACTIVITY],
        )
    table[~np.isfinite(features.shape).all(1)] = np.nan
    return table.replace([np.inf, -np.inf], np.nan)


def _days(kwh: NDArray[np.float32], weekend: Flags, weekday_profile: Floats) -> tuple[Floats, Floats, Floats]:
    """(N,) kWh a day, variation of daily totals, and regularity, of days that are no holidays."""
    present = np.where(on_holiday(kwh)[:, :, None], np.nan, kwh).astype(np.float64)  # (N, D, 24)
    known = ~np.isnan(present)
    counted = known.sum(2) >= MIN_HOURS_OF_DAY  # (N, D)
    readings = np.where(known, present, 0.0)
    hourly = readings.sum(1) / known.sum(1)  # (N, 24)
    kwh_per_day = 24 * _mean(hourly, ~np.isnan(hourly))
    hourly = np.where(np.isnan(hourly), kwh_per_day[:, None] / 24, hourly)
    # A missing reading counts as the household's usual one at that hour: gaps must not look like quiet days.
    totals = np.where(known, present, hourly[:, None]).sum(2)  # (N, D)
    deviation = np.where(counted, totals - _mean(totals, counted)[:, None], 0.0)
    spread = np.sqrt((deviation**2).sum(1) / counted.sum(1))
    daily_variation = spread / np.maximum(kwh_per_day, 24 * MIN_KWH)

    known, readings = known[:, ~weekend], readings[:, ~weekend]
    n_known = known.sum(2, keepdims=True)
    usual = np.broadcast_to(weekday_profile[:, None], known.shape)
    days = np.where(known, readings - readings.sum(2, keepdims=True) / n_known, 0.0)
    usual = np.where(known, usual - np.where(known, usual, 0.0).sum(2, keepdims=True) / n_known, 0.0)
    power = (days**2).sum(2) * (usual**2).sum(2)  # (N, weekdays)
    # Rounding leaves a constant day a little variance.
    varies = counted[:, ~weekend] & (power > 1e-12 * (readings**2).sum(2) * (weekday_profile**2).sum(1)[:, None])
    regularity = _mean((days * usual).sum(2) / np.sqrt(power), varies)
    return kwh_per_day, daily_variation, np.clip(regularity, 0.0, 1.0)


def _mean(values: Floats, chosen: Flags) -> Floats:
    """(N, M) -> (N,) mean of the chosen values; nan where none is."""
    return np.asarray(np.where(chosen, values, 0.0).sum(1) / chosen.sum(1))


def _base(profiles: Floats) -> Floats:
    return np.asarray(np.sort(profiles, axis=1)[:, :N_BASE_HOURS].mean(1))


def _peak_width(profiles: Floats) -> Floats:
    halfway = (_base(profiles) + profiles.max(1)) / 2
    return np.asarray((profiles > halfway[:, None]).sum(1), dtype=np.float64)


def n_peaks(profiles: Floats) -> NDArray[np.int64]:
    """(N, 24) profiles -> (N,) number of peaks around the clock with a prominence of PEAK_SHARE of the range.

    A walk around the clock from the lowest hour, all households in step: it counts a peak when it has climbed by
    the required share, and looks for the next when it has come down by as much.
    """
    hours = (profiles.argmin(1)[:, None] + np.arange(24)) % 24
    walk = np.take_along_axis(profiles, hours, axis=1)  # (N, 24)
    required = PEAK_SHARE * np.ptp(profiles, axis=1)
    counts = np.zeros(len(profiles), dtype=np.int64)
    climbed = np.zeros(len(profiles), dtype=bool)
    extreme = walk[:, 0].copy()  # since the last turn
    for value in walk.T:
        extreme = np.where(climbed, np.maximum(extreme, value), np.minimum(extreme, value))
        turns = (np.abs(value - extreme) >= required) & (required > 0)
        counts += turns & ~climbed
        climbed ^= turns
        extreme = np.where(turns, value, extreme)
    return counts


def _shift(weekday_profile: Floats, weekend_profile: Floats) -> Floats:
    days, ends = (p - p.mean(1, keepdims=True) for p in (weekday_profile, weekend_profile))
    fits = np.column_stack([(np.roll(days, shift, axis=1) * ends).sum(1) for shift in SHIFTS])  # (N, 13)
    slack = 1e-9 * np.sqrt((weekday_profile**2).sum(1) * (weekend_profile**2).sum(1))
    first = (fits >= (fits.max(1) - slack)[:, None]).argmax(1)
    return np.asarray(np.array(SHIFTS, dtype=np.float64)[first])


def usual_household(table: pd.DataFrame) -> pd.Series:
    """Medians of a table of `describe_households`, and of base_share: the share of a day's use that is base load."""
    return _with_base_share(table).median()


def composition_words(table: pd.DataFrame, usual: pd.Series | None = None) -> pd.Series:
    """N rows of `describe_households` -> N texts such as 'low use, high base load'.

    Args:
        table: of the households.
        usual: `usual_household` of those that use is compared to; None compares to `table` itself.
    """
    words = _words(table, usual_household(table) if usual is None else usual)
    return _joined(words[["level", "base"]])


def activity_words(table: pd.DataFrame) -> pd.Series:
    """N rows of `describe_households` -> N texts such as 'evening peak, out on weekdays, weekends as weekdays'."""
    return _joined(_words(table, usual_household(table))[["peak", "peaks", "day", "night", "weekend"]])


def type_summaries(table: pd.DataFrame, types: NDArray[np.integer], n_types: int) -> pd.DataFrame:
    """Medians of the households of each type.

    Args:
        table: N rows of `describe_households`.
        types: (N,) type of each household, from 0; those of none have -1.
        n_types: K.

    Returns:
        K rows, the columns of `table` and before them n_households; nan for a type without households. The
        peak hour is the median around the clock: 23 and 1 give 0.
    """
    summaries = table.groupby(types).median().reindex(range(n_types))
    member = np.arange(n_types)[:, None] == types  # (K, N)
    hours = np.arange(24)
    peaks = np.stack([(member & (table["peak_hour"].to_numpy() == hour)).sum(1) for hour in hours], axis=1)  # (K, 24)
    apart = np.abs(hours[:, None] - hours)
    around = (peaks @ np.minimum(apart, 24 - apart)).argmin(1)
    summaries["peak_hour"] = np.where(peaks.any(1), around, np.nan)
    summaries.insert(0, "n_households", member.sum(1))
    return summaries


def name_types(table: pd.DataFrame, types: NDArray[np.integer], n_types: int) -> list[str]:
    """Name each type by what tells it from the others; no two names are alike.

    A name has two to four phrases, the most distinctive first; one says how much the type uses. A phrase is true of
    more than half the type's households, and the more distinctive, the rarer it is among all. Where there are too few
    such, comparisons follow: of the type's median with that of all households, in units of their spread.

    Args:
        table: N rows of `describe_households`.
        types: (N,) type of each household, from 0; those of none have -1.
        n_types: K.

    Returns:
        K names, such as 'two peaks, low use, out on weekdays'.
    """
    usual = usual_household(table)
    words = _words(table, usual)
    summaries = type_summaries(_with_base_share(table), types, n_types)
    levels = _words(summaries, usual)["level"]
    compared = summaries[usual.index].sub(usual) / _spread(_with_base_share(table))
    shares = _shares(words, types, n_types)
    lifts = shares.sub(_shares(words, np.zeros(len(words), np.int64), 1)[0], axis=0)
    phrases = []
    for kind in range(n_types):
        tells = (shares[kind] > 0.5) & (lifts[kind] >= MIN_LIFT) & (lifts.index.get_level_values(0) != "level")
        plain = lifts.loc[tells, kind].sort_values(ascending=False)
        others = [*plain.index.get_level_values(1), *_comparisons(compared.T[kind], plain.index.get_level_values(0))]
        strength = {levels[kind]: lifts[kind].get(("level", levels[kind]), 0.0), **plain.droplevel(0)}
        chosen = sorted([*others[: N_PHRASES - 1], levels[kind]], key=lambda phrase: -strength.get(phrase, 0.0))
        phrases.append((", ".join(chosen), [*others[N_PHRASES - 1 :], ""][0]))
    return _told_apart(
        [name for name, _ in phrases],
        [
            [extra for _, extra in phrases],
            [f"peak at {hour:.0f} h" for hour in summaries["peak_hour"]],
            [f"{kwh:.2g} kWh a day" for kwh in summaries["kwh_per_day"]],
            [f"number {kind}" for kind in range(n_types)],
        ],
    )


def describe_type(members: pd.DataFrame, n_households: int) -> str:
    """One sentence with the numbers of a type.

    Args:
        members: rows of `describe_households` of its households, at least one.
        n_households: of all types.
    """
    row = type_summaries(members, np.zeros(len(members), np.int64), 1).loc[0]
    low, high = members["kwh_per_day"].quantile([0.25, 0.75])
    peaks = "one peak" if row["n_peaks"] < 2 else f"{row['n_peaks']:.0f} peaks"
    weekend, shift = row["weekend_ratio"] - 1, row["weekend_shift_hours"]
    return "; ".join(
        [
            f"{100 * len(members) / n_households:.0f} % of households ({len(members):,})",
            f"{row['kwh_per_day']:.1f} kWh a day (half of them {low:.1f} to {high:.1f})",
            f"base load {row['base_kwh_per_hour']:.2f} kWh an hour",
            f"{peaks} on weekdays, the highest at {row['peak_hour']:.0f} h "
            f"({row['peak_kwh_per_hour']:.2f} kWh an hour), {row['peak_width_hours']:.0f} h above halfway",
            f"weekdays from 9 to 16 h at {row['weekday_day_share']:.1f} times the mean",
            f"{100 * row['night_share']:.0f} % used from 0 to 6 h",
            f"{100 * abs(weekend):.0f} % {'more' if weekend >= 0 else 'less'} on a weekend day"
            + (f", {abs(shift):.0f} h {'later' if shift > 0 else 'earlier'}" if abs(shift) >= 1 else ""),
            f"single days follow the profile with a correlation of {row['regularity']:.2f}",
        ]
    )


def _words(table: pd.DataFrame, usual: pd.Series) -> pd.DataFrame:
    """What can be said of each row, one column for each group of phrases that exclude each other; '' says nothing."""
    level = table["kwh_per_day"] / usual["kwh_per_day"]
    base = _with_base_share(table)["base_share"] / usual["base_share"]
    hour, peaks, day, night = (table[name] for name in ("peak_hour", "n_peaks", "weekday_day_share", "night_share"))
    weekend, shift = table["weekend_ratio"], table["weekend_shift_hours"]
    groups = {
        "level": {
            "very low use": level < 0.5,
            "low use": level < 0.8,
            "average use": level <= 1.25,
            "high use": level <= 2.0,
            "very high use": level > 2.0,
            UNKNOWN: level.isna(),
        },
        "base": {"low base load": base < 0.7, "high base load": base > 1.4},
        "peak": {
            "morning peak": hour.between(5, 10),
            "midday peak": hour.between(11, 14),
            "afternoon peak": hour.between(15, 16),
            "evening peak": hour.between(17, 22),
            "night peak": hour.notna(),
        },
        "peaks": {"two peaks": peaks.between(2, 2.5), "several peaks": peaks > 2},
        "day": {"exports by day": day < 0, "out on weekdays": day < 0.75, "home on weekdays": day > 1.05},
        "night": {"mostly at night": night > 0.4, "night active": night > 0.2},
        "weekend": {
            "weekends away": weekend < 0.6,
            "quiet weekends": weekend < 0.85,
            "later weekends": shift.between(2, 4),
            "earlier weekends": shift.between(-4, -2),
            "busy weekends": weekend > 1.25,
            "weekends as weekdays": weekend.notna() & (shift.abs() <= 1),
        },
    }
    return pd.DataFrame(
        {
            name: pd.Categorical.from_codes(
                np.stack([*group.values(), [True] * len(table)]).argmax(0),  # the first that is true
                categories=pd.Index([*group, ""]),
            )
            for name, group in groups.items()
        },
        index=table.index,
    )


def _joined(words: pd.DataFrame) -> pd.Series:
    texts = words.iloc[:, 0].astype(object)
    for name in words.columns[1:]:
        between = np.where((texts == "") | (words[name] == ""), "", ", ")
        texts = texts + between + words[name].astype(object)
    return texts


def _with_base_share(table: pd.DataFrame) -> pd.DataFrame:
    share: pd.Series = 24 * table["base_kwh_per_hour"] / np.maximum(table["kwh_per_day"], 24 * MIN_KWH)
    return table.assign(base_share=share)


def _spread(table: pd.DataFrame) -> pd.Series:
    """Half the distance between the 16th and the 84th percentile: of a Gaussian its standard deviation."""
    low, high = table.quantile(0.16), table.quantile(0.84)
    return ((high - low) / 2).replace(0.0, np.nan)


def _shares(words: pd.DataFrame, types: NDArray[np.integer], n_types: int) -> pd.DataFrame:
    """Of the households of each type (columns), the share of which each phrase (rows, by group) is true."""
    phrases = [(group, phrase) for group in words for phrase in words[group].cat.categories if phrase]
    true = np.stack([(words[group] == phrase).to_numpy() for group, phrase in phrases]).astype(np.float32)  # (P, N)
    member = (types[:, None] == np.arange(n_types)).astype(np.float32)  # (N, K)
    return pd.DataFrame(true @ member / np.maximum(member.sum(0), 1), index=pd.MultiIndex.from_tuples(phrases))


def _comparisons(spreads: pd.Series, said: Collection[str]) -> list[str]:
    """Comparisons of a type with all households, the clearest first, without those of groups already `said`.

    Those closer than MIN_SPREADS are left out, unless nothing else is said.
    """
    sides = {column: (less, more) for group, (column, less, more) in COMPARISONS.items() if group not in said}
    ranked = spreads[list(sides)].dropna().sort_values(key=lambda z: -z.abs(), kind="stable")
    ranked = ranked[ranked != 0]
    n_clear = int((ranked.abs() >= MIN_SPREADS).sum())
    return [sides[str(column)][int(z > 0)] for column, z in ranked[: max(n_clear, int(len(said) == 0))].items()]


def _told_apart(names: list[str], extras: Sequence[Sequence[str]]) -> list[str]:
    """Add to names that occur twice what tells them apart, the first of `extras` (K texts each) that does."""
    for extra in extras:
        said = [frozenset(name.split(", ")) for name in names]  # in another order it is no other name
        alike = [[i for i, other in enumerate(said) if other == phrases] for phrases in set(said)]
        for members in alike:
            if len({extra[i] for i in members}) > 1:
                for i in members:
                    names[i] += f", {extra[i]}" if extra[i] else ""
    return names
