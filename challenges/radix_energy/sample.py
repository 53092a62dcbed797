"""Generated households whose true type is known: who lives there, and when they are at home.

A household is simulated from the inside: hours at home and awake (activity) let appliances be switched on
(composition says how many people do so, and how often). Noise is therefore what it is in a real meter: separate
events of so many kWh, not a wave with Gaussian noise. Options such as a car that charges at night are dealt out
whatever the type, because a neighbour's car says nothing about who he is.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_energy.features import is_weekend

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

START: Final = np.datetime64("2024-03-04", "D")  # a Monday; no clock changes within 27 days
TABLE: Final = "household_energy_consumption"


@dataclass(frozen=True)
class Composition:
    """Who lives there."""

    n_people: int
    base_kwh: float  # per hour: fridge, router, standby
    comfort: float  # how much a person uses, against the average person


@dataclass(frozen=True)
class Activity:
    """When somebody is at home and awake: (from, to, share) in hours; hours over 24 lie in the next day."""

    weekday: tuple[tuple[float, float, float], ...]
    weekend: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Appliance:
    """Something that is switched on while somebody is at home and awake."""

    kwh: float  # of one use
    n_hours: int  # that a use lasts
    per_household: float  # uses a day
    per_person: float  # uses a day
    hours: tuple[tuple[float, float], ...] = ((0.0, 24.0),)  # when it is used at all


COMPOSITIONS: Final = {
    "single": Composition(1, 0.05, 1.0),
    "couple": Composition(2, 0.09, 1.0),
    "family": Composition(4, 0.17, 1.1),
    "shared flat": Composition(4, 0.12, 0.8),
    "retired": Composition(2, 0.10, 0.8),
}
ACTIVITIES: Final = {
    "office hours": Activity(((6.5, 8.2, 1.0), (17.6, 23.0, 1.0)), ((8.5, 23.5, 0.8),)),
    "home all day": Activity(((7.5, 22.8, 0.8),), ((8.0, 23.0, 0.8),)),
    "night shift": Activity(((7.0, 9.0, 0.9), (15.0, 21.0, 1.0)), ((10.0, 25.0, 0.8),)),
    "weekends away": Activity(((6.5, 8.2, 1.0), (17.6, 23.0, 1.0)), ((19.5, 23.0, 0.3),)),
    "early": Activity(((4.5, 6.2, 1.0), (14.5, 21.0, 0.9)), ((5.5, 21.0, 0.8),)),
    "late": Activity(((9.5, 11.5, 0.8), (20.0, 26.5, 1.0)), ((11.5, 27.0, 0.8),)),
    "student": Activity(((8.5, 10.0, 0.6), (12.0, 13.5, 0.6), (16.5, 26.0, 0.8)), ((12.0, 19.0, 0.8),)),
}
TYPES: Final = (
    ("single", "office hours"),
    ("family", "office hours"),
    ("retired", "home all day"),
    ("single", "late"),
    ("family", "home all day"),
    ("couple", "weekends away"),
    ("shared flat", "student"),
    ("couple", "night shift"),
    ("couple", "early"),
    ("single", "night shift"),
    ("family", "early"),
    ("shared flat", "late"),
)
APPLIANCES: Final = (
    Appliance(0.11, 1, 0.0, 3.0),  # kettle, coffee
    Appliance(0.80, 1, 0.8, 0.2, ((6.0, 8.5), (11.5, 13.5), (17.0, 21.5))),  # cooking
    Appliance(0.35, 1, 0.2, 0.8),  # hot water
    Appliance(0.90, 2, 0.0, 0.25),  # washing
    Appliance(1.00, 2, 0.1, 0.20, ((12.0, 15.0), (19.0, 24.0))),  # dishes
)
ELECTRONICS_KWH: Final = 0.09  # per hour and person at home and awake
LIGHTS_KWH: Final = 0.08  # the same, while it is dark
DARK_HOURS: Final = ((0.0, 7.0), (18.5, 24.0))
OPTIONS: Final = {"electric heating": 0.015, "car": 0.03, "solar": 0.015, "holiday": 0.06}
"""Share of households with each option."""


@dataclass(frozen=True)
class Sample:
    """Generated households and the truth about them."""

    household_ids: NDArray[np.str_]  # (N,)
    dates: NDArray[np.datetime64]  # (D,) datetime64[D]
    kwh: NDArray[np.float32]  # (N, D, 24)
    types: NDArray[np.int64]  # (N,) index into TYPES; -1 is an outlier
    options: pd.DataFrame  # N rows, one bool column for each of OPTIONS


def generate(
    n_households: int = 1000,
    n_types: int = 10,
    *,
    n_days: int = 30,
    seed: int = 0,
    missing: float = 0.0,
    outliers: float = 0.0,
    clock_shifts: float = 0.0,
) -> Sample:
    """Simulate households of `n_types` types for `n_days` from a Monday.

    Args:
        n_households: how many; a thousand take a second.
        n_types: the first of TYPES, at most all 12. Shares are uneven, from about half to twice the average.
        n_days: length of the series.
        seed: the same seed gives the same households.
        missing: share of readings that are lost (nan).
        outliers: share of households that follow no type: random, constant, upside down, one giant peak.
        clock_shifts: share of households whose meter is an hour early or late.

    Raises:
        ValueError: more types than TYPES has, or fewer than one.
    """
    import pandas as pd

    if not 1 <= n_types <= len(TYPES):
        raise ValueError(f"n_types is {n_types}; there are {len(TYPES)} types")
    rng = np.random.default_rng(seed)
    dates = START + np.arange(n_days)
    shares = rng.uniform(0.5, 2.0, n_types)
    types = rng.choice(n_types, n_households, p=shares / shares.sum())
    kwh = np.empty((n_households, n_days, 24))
    for kind in range(n_types):
        members = np.flatnonzero(types == kind)
        if not len(members):
            continue
        composition, activity = TYPES[kind]
        kwh[members] = _simulate(COMPOSITIONS[composition], ACTIVITIES[activity], len(members), dates, rng)
    options = pd.DataFrame({name: rng.random(n_households) < share for name, share in OPTIONS.items()})
    _add_options(kwh, options, rng)
    strange = rng.random(n_households) < outliers
    types[strange] = -1
    kwh[strange] = _strange(int(strange.sum()), n_days, rng)
    shifted = rng.random(n_households) < clock_shifts
    for row in np.flatnonzero(shifted):
        kwh[row] = np.roll(kwh[row].ravel(), rng.choice([-1, 1])).reshape(n_days, 24)
    kwh[rng.random(kwh.shape) < missing] = np.nan
    width = len(str(n_households - 1))
    ids = np.array([f"household_{i:0{width}d}" for i in range(n_households)])
    return Sample(ids, dates, np.round(kwh, 3).astype(np.float32), types, options)


def write_sample(folder: Path, n_households: int = 1000, seed: int = 0) -> None:
    """Write `household_energy_consumption.zip` and beside it the truth, `types.csv`, into `folder`."""
    import pandas as pd

    from common.data.tables import replace_atomically

    sample = generate(n_households, seed=seed)
    truth = pd.DataFrame(
        {
            "household_id": sample.household_ids,
            "composition": [TYPES[kind][0] for kind in sample.types],
            "activity": [TYPES[kind][1] for kind in sample.types],
        }
    ).join(sample.options)
    with replace_atomically(folder / "types.csv") as part:
        truth.to_csv(part, index=False)
    with replace_atomically(folder / f"{TABLE}.zip") as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        # A fixed date: the same seed gives the same bytes.
        file.writestr(zipfile.ZipInfo(f"{TABLE}.csv", (2024, 4, 3, 0, 0, 0)), as_csv(sample), zipfile.ZIP_DEFLATED)


def as_csv(sample: Sample) -> str:
    """The readings in the official layout: a row an hour, a column a household, kWh."""
    import pandas as pd

    hours = pd.date_range(sample.dates[0], periods=24 * len(sample.dates), freq="h", name="timestamp")
    table = sample.kwh.reshape(len(sample.household_ids), -1).T
    return pd.DataFrame(table, index=hours, columns=sample.household_ids).to_csv(float_format="%.3f")


def _simulate(
    composition: Composition, activity: Activity, n: int, dates: NDArray[np.datetime64], rng: np.random.Generator
) -> Floats:
    """(n, D, 24) kWh of `n` households of one type."""
    at_home = _hours_at_home(activity, n, dates, rng)  # (n, D, 24), 0 to 1
    habit = rng.lognormal(0.0, 0.10, (n, 1, 1))  # this household against others of its type
    people = composition.n_people * composition.comfort * habit  # (n, 1, 1)
    base = composition.base_kwh * rng.lognormal(0.0, 0.12, (n, 1, 1)) * rng.normal(1.0, 0.1, at_home.shape)
    dark = _coverage(DARK_HOURS)  # (24,)
    awake = at_home * np.sqrt(people) * (ELECTRONICS_KWH * np.sqrt(people) + LIGHTS_KWH * dark)
    kwh = base + awake * rng.gamma(6.0, 1 / 6.0, at_home.shape)
    for appliance in APPLIANCES:
        window = at_home * _coverage(appliance.hours)
        # So many uses a day, spread over the hours at home; who is rarely at home uses it less.
        typical = window.mean(axis=(0, 1)).sum()
        uses = appliance.per_household * habit + appliance.per_person * people
        owned = rng.lognormal(0.0, 0.15, (n, 1, 1))
        expected = uses * owned * window / max(typical, 4.0)
        energy = rng.poisson(expected) * appliance.kwh * rng.uniform(0.7, 1.3, at_home.shape) / appliance.n_hours
        kwh += energy
        for later in range(1, appliance.n_hours):
            kwh.reshape(n, -1)[:, later:] += energy.reshape(n, -1)[:, :-later]
    return np.maximum(kwh, 0.01)


def _hours_at_home(activity: Activity, n: int, dates: NDArray[np.datetime64], rng: np.random.Generator) -> Floats:
    """(n, D, 24) share of each hour with somebody at home and awake, days jittered around the household's habit."""
    habit = rng.normal(0.0, 0.3, (n, 1))  # hours earlier or later than the type
    weekend = is_weekend(dates)
    share = np.zeros((n, len(dates), 24))
    for days, intervals in ((~weekend, activity.weekday), (weekend, activity.weekend)):
        n_days = int(days.sum())
        for start, end, intensity in intervals:
            start_jitter, end_jitter = habit + rng.normal(0.0, 0.5, (2, n, n_days))
            busy = rng.normal(intensity, 0.1, (n, n_days, 1))
            share[:, days] += busy * _overlap(start + start_jitter, end + end_jitter)
    return np.clip(share, 0.0, 1.0)


def _overlap(start: Floats, end: Floats) -> Floats:
    """(..., 24) share of each hour of the day that lies between `start` and `end` (...,), around midnight."""
    hour = np.arange(24.0)
    start, end = start[..., None], end[..., None]
    covered = np.zeros((*start.shape[:-1], 24))
    for day in (-24.0, 0.0, 24.0):
        covered += np.clip(np.minimum(hour + 1, end + day) - np.maximum(hour, start + day), 0.0, 1.0)
    return np.minimum(covered, 1.0)


def _coverage(intervals: tuple[tuple[float, float], ...]) -> Floats:
    """(24,) share of each hour that lies in one of the intervals."""
    return np.asarray(sum(_overlap(np.array(start), np.array(end)) for start, end in intervals))


def _add_options(kwh: Floats, options: pd.DataFrame, rng: np.random.Generator) -> None:
    """Add the options to the (N, D, 24) series in place."""
    n_days = kwh.shape[1]
    hour = np.arange(24)
    heated = np.flatnonzero(options["electric heating"])
    cold = rng.gamma(8.0, 1 / 8.0, (n_days,))  # the weather is the same for all
    kwh[heated] += 0.5 * cold[:, None] * (1.2 - 0.4 * np.cos((hour - 15) / 24 * 2 * np.pi)) * rng.gamma(
        4.0, 1 / 4.0, (len(heated), 1, 1)
    )  # fmt: skip
    for row in np.flatnonzero(options["car"]):
        share, first = rng.uniform(0.3, 0.6), int(rng.integers(0, 3))
        for night in np.flatnonzero(rng.random(n_days) < share):
            kwh[row, night, first : first + int(rng.integers(2, 5))] += rng.uniform(3.0, 4.0)
    sunny = np.flatnonzero(options["solar"])
    sun = np.clip(np.cos((hour + 0.5 - 13) / 12 * np.pi), 0.0, None)  # (24,)
    clouds = rng.uniform(0.1, 1.0, (n_days,))
    kwh[sunny] -= rng.uniform(0.3, 1.0, (len(sunny), 1, 1)) * clouds[:, None] * sun
    for row in np.flatnonzero(options["holiday"]):
        first, length = int(rng.integers(0, n_days)), int(rng.integers(5, 11))
        away = kwh[row, first : first + length]
        away[:] = np.quantile(kwh[row], 0.05) * rng.normal(1.0, 0.05, away.shape)


def _strange(n: int, n_days: int, rng: np.random.Generator) -> Floats:
    """(n, n_days, 24) households that follow no type."""
    kwh = rng.gamma(0.5, 0.8, (n, n_days, 24))  # random
    kinds = rng.integers(0, 4, n)
    kwh[kinds == 1] = rng.uniform(0.2, 1.5, ((kinds == 1).sum(), 1, 1)) + rng.normal(0, 0.005, (n_days, 24))
    upside_down = kinds == 2
    night = np.roll(np.repeat([3.0, 0.05], 12), -3)  # awake from 21 to 9
    kwh[upside_down] = night * rng.gamma(3.0, 1 / 3.0, (int(upside_down.sum()), n_days, 24))
    for row in np.flatnonzero(kinds == 3):
        kwh[row] = 0.15
        kwh[row].flat[rng.integers(0, kwh[row].size)] = 60.0
    return kwh
