"""The rules by which flawed readings are repaired; each is stated in `RULES` and counted where it acts.

Times are int64 seconds since 1970 of the wall clock; households are int32 codes into a list of ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError

Values = Sequence[str] | NDArray[np.float32]
NO_TIME: Final = np.iinfo(np.int64).min  # the integer behind NaT
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
MAX_KWH: Final = 100.0  # in an hour: more than any household's fuse lets through
WATT_LEVEL: Final = 20.0  # a usual hour above this is in Wh: no household uses 20 kWh in most hours
MAX_CELLS: Final = 1_000_000_000  # households x hours, 4 GB: 100,000 households for a year
_N_EXAMPLES: Final = 5
# Readings an hour of the cadences that meters have, finest first.
_PER_HOUR: Final = np.array([3600, 360, 120, 60, 30, 20, 12, 6, 4, 3, 2, 1])

RULES: Final = {
    "ragged": "A row with more or fewer cells than the table has columns is cut or filled up with empty cells.",
    "no_household": "A row without a household is left out.",
    "no_time": "A reading whose time cannot be read is left out.",
    "disguised": "A number written with a decimal comma or parted thousands is read as the number it is.",
    "text": "A cell that is no number counts as missing.",
    "unordered": "Readings are sorted by time within each household.",
    "repeated": "An exact repeat of household, time and value is dropped.",
    "several": "Several values of one household at one time, as when clocks go back, are averaged.",
    "merged": "A household that stands twice with the same series is merged.",
    "off_hour": "A time off the full hour, or off the meter's own steps within it, goes to the hour it lies in.",
    "finer": "Readings finer than hourly are joined to hours: energy is summed, power averaged.",
    "scaled": "An hour with half of its finer readings or more is scaled up to the full hour.",
    "short_hour": "An hour with less than half of its finer readings counts as missing.",
    "outside": "A reading outside the days on which at least 5 % of the households have readings is left out.",
    "negative": "A negative reading counts as missing, unless the household exports solar power: at least 2 % of its "
    "readings negative, 95 % of those from 07:00 to 19:59.",
    "impossible": f"A reading that is infinite or over {MAX_KWH:g} kWh in an hour counts as missing.",
    "watts": "A household most of whose readings exceed 20 kWh and 100 times the usual reading of the others is in W: "
    "they are divided by 1000.",
}  # fmt: skip
_LOSING: Final = ("text", "no_time", "negative", "outside", "short_hour", "impossible")


@dataclass
class Repairs:
    """What was repaired, by rule."""

    ids: NDArray[np.object_]  # (N,)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)  # (1 + N,) readings: of none, of each household
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(
        self, rule: str, codes: NDArray[Any], seconds: NDArray[np.int64] | None = None, values: Values | None = None
    ) -> None:
        """Count the readings of the households `codes` (-1: of none); no readings, no entry."""
        if len(codes) == 0:
            return
        counts = self.counts.setdefault(rule, np.zeros(1 + len(self.ids), np.int64))
        counts += np.bincount(codes + 1, minlength=len(counts))
        examples = self.examples.setdefault(rule, [])
        for i in range(min(len(codes), _N_EXAMPLES - len(examples))):
            example = {"household_id": str(self.ids[codes[i]]) if codes[i] >= 0 else ""}
            if seconds is not None and seconds[i] != NO_TIME:
                example["timestamp"] = str(np.datetime64(int(seconds[i]), "s"))
            if values is not None:
                value = values[i]
                example["value"] = value if isinstance(value, str) else str(np.float32(value))
            examples.append(example)

    def mark(self, rule: str, table: Long | Grid, index: NDArray[Any]) -> None:
        """Count the readings of a table at `index`: positions among its values laid flat, or a mask of them."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        self.add(rule, *table.at(index), table.values.reshape(-1)[index])

    @property
    def found(self) -> dict[str, dict[str, Any]]:
        """Of each rule that acted: number of readings and households, the rule in words, and some examples."""
        found: dict[str, dict[str, Any]] = {}
        for rule, counts in self.counts.items():
            n_readings, n_households = int(counts.sum()), int((counts[1:] > 0).sum())
            in_words = {"rule": RULES[rule], "examples": self.examples[rule]}
            found[rule] = {"readings": n_readings, "households": n_households, **in_words}
        return found

    def losses(self, code: int) -> list[str]:
        """The rules by which readings of a household were left out."""
        return [rule for rule in _LOSING if rule in self.counts and self.counts[rule][1 + code]]


@dataclass(frozen=True)
class Long:
    """R readings in any order."""

    codes: NDArray[np.int32]  # (R,) household of each, -1 where it has none
    seconds: NDArray[np.int64]  # (R,) NO_TIME where unreadable
    values: NDArray[np.float32]  # (R,) nan where missing

    def at(self, index: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Households and times of the readings at `index`."""
        return self.codes[index], self.seconds[index]

    def take(self, index: NDArray[Any]) -> Long:
        """The readings at `index`, a mask or positions."""
        return Long(self.codes[index], self.seconds[index], self.values[index])


@dataclass(frozen=True)
class Grid:
    """Readings of N households at the same T times; row i is of household i."""

    seconds: NDArray[np.int64]  # (T,)
    values: NDArray[np.float32]  # (N, T) nan where missing

    def at(self, index: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Households and times of the readings at `index` of the flattened values."""
        n_times = len(self.seconds)
        return (index // n_times).astype(np.int32), self.seconds[index % n_times]

    def is_hourly(self) -> bool:
        """Whether the times are full hours in order, each once."""
        return bool((self.seconds % HOUR_S == 0).all() and (np.diff(self.seconds) > 0).all())


def as_grid(table: Long, n_households: int) -> Grid | Long:
    """View a table that is complete, and sorted by household and by time within, as a grid; else return it."""
    n_times, rest = divmod(len(table.codes), max(n_households, 1))
    if n_times == 0 or rest or table.codes[-1] != n_households - 1 or table.codes[n_times - 1] != 0:
        return table
    first = table.seconds[:n_times]
    shape = n_households, n_times
    if not (table.codes.reshape(shape) == np.arange(n_households, dtype=np.int32)[:, None]).all():
        return table
    grid = Grid(first, table.values.reshape(shape))
    return grid if grid.is_hourly() and (table.seconds.reshape(shape) == first).all() else table


def as_long(grid: Grid) -> Long:
    """Write a grid as one reading after the other."""
    n_households, n_times = grid.values.shape
    codes = np.repeat(np.arange(n_households, dtype=np.int32), n_times)
    return Long(codes, np.tile(grid.seconds, n_households), grid.values.ravel())


def merge_rows(
    codes: NDArray[np.int32], values: NDArray[np.float32], n_households: int, repairs: Repairs
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """One row a household, out of rows of which several may be of one household.

    Args:
        codes: (rows,) household of each row, -1 where it has none.
        values: (rows, T).
        n_households: N; every household has a row.
        repairs: takes the count of what is merged.

    Returns:
        (N, T), the first row of each household, and the households that have rows which differ.
    """
    if len(codes) == n_households and (codes >= 0).all():
        return values, np.zeros(0, np.int32)
    repairs.add("no_household", codes[codes < 0])
    named = np.flatnonzero(codes >= 0)
    first = np.zeros(n_households, dtype=np.int64)
    first[codes[named][::-1]] = named[::-1]  # the last to be written is the first to stand
    again = named[first[codes[named]] != named]
    here, there = values[again], values[first[codes[again]]]
    same = ((here == there) | (np.isnan(here) & np.isnan(there))).all(axis=1)
    repairs.add("merged", codes[again[same]])
    return values[first], np.unique(codes[again[~same]])


def clear_negative(table: Long | Grid, repairs: Repairs) -> NDArray[np.int32]:
    """Set negative readings that are meter errors to nan, in place.

    Returns:
        The households that export power.
    """
    flat = table.values.reshape(-1)
    negative = np.flatnonzero(flat < 0)
    if len(negative) == 0:
        return np.zeros(0, np.int32)
    codes, seconds = table.at(negative)
    n = len(repairs.ids)
    if isinstance(table, Grid):
        n_readings = np.isfinite(table.values).sum(axis=1)
    else:
        n_readings = np.bincount(table.codes[(table.codes >= 0) & np.isfinite(flat)], minlength=n)
    known = codes >= 0
    n_negative = np.bincount(codes[known], minlength=n)
    by_day = known & (seconds % DAY_S >= 7 * HOUR_S) & (seconds % DAY_S < 20 * HOUR_S)
    n_by_day = np.bincount(codes[by_day], minlength=n)
    exports = (n_negative > 0) & (n_negative >= 0.02 * n_readings) & (n_by_day >= 0.95 * n_negative)
    wrong = negative[~(known & exports[codes]) | np.isinf(flat[negative])]
    repairs.mark("negative", table, wrong)
    flat[wrong] = np.nan
    return np.flatnonzero(exports).astype(np.int32)


def common_days(days: NDArray[np.int64], n_households: int) -> tuple[int, int]:
    """First and last day on which at least 5 % of the households have readings.

    Days that lie over a year from all others do not count where those have more readings: in a file of few
    households each wrong date would reach the 5 %.

    Args:
        days: since 1970, one for each household and day with readings; not empty.
        n_households: how many have readings at all.
    """
    found, counts = np.unique(days, return_counts=True)
    often = counts >= min(0.05 * n_households, counts.max())
    found, counts = found[often], counts[often]
    parts = np.flatnonzero(np.diff(found) > 366) + 1
    best = max(zip(np.split(found, parts), np.split(counts, parts), strict=True), key=lambda part: int(part[1].sum()))
    return int(best[0][0]), int(best[0][-1])


def to_hours(table: Long | Grid, *, is_power: bool, repairs: Repairs, max_cells: int = MAX_CELLS) -> Grid:
    """Bring readings to all hours of whole days; no days where nothing is readable.

    Raises:
        UserError: households times hours are more than `max_cells`.
    """
    if isinstance(table, Grid):
        readable = table.seconds != NO_TIME
        if not readable.all():
            repairs.mark("no_time", table, ~readable & ~np.isnan(table.values))
            table = Grid(table.seconds[readable], np.ascontiguousarray(table.values[:, readable]))
        if len(table.seconds) and table.is_hourly():
            return _place(table, repairs, max_cells)
        table = as_long(table)
    return _collect(table, is_power, repairs, max_cells)


def _place(grid: Grid, repairs: Repairs, max_cells: int) -> Grid:
    """Put a grid of full hours into whole days."""
    days, starts = np.unique(grid.seconds // DAY_S, return_index=True)
    has_readings = np.logical_or.reduceat(~np.isnan(grid.values), starts, axis=1)  # (N, days)
    if not has_readings.any():
        return _no_readings(len(grid.values))
    first, last = common_days(days[np.nonzero(has_readings)[1]], int(has_readings.any(axis=1).sum()))
    inside = (grid.seconds >= first * DAY_S) & (grid.seconds < (last + 1) * DAY_S)  # (T,)
    if not inside.all():
        repairs.mark("outside", grid, ~inside & ~np.isnan(grid.values))
    elif len(inside) == (last + 1 - first) * 24:
        return grid
    placed = _no_readings(len(grid.values), first, last, max_cells)
    placed.values[:, grid.seconds[inside] // HOUR_S - first * 24] = grid.values[:, inside]
    return placed


def _no_readings(n_households: int, first: int = 0, last: int = -1, max_cells: int = MAX_CELLS) -> Grid:
    n_days = last + 1 - first
    shape = n_households, n_days * 24
    if n_households * n_days * 24 > max_cells:
        raise UserError(f"{n_households} households over {n_days} days are too many at once; give a shorter time")
    return Grid(first * DAY_S + np.arange(shape[1]) * HOUR_S, np.full(shape, np.nan, np.float32))


def _collect(table: Long, is_power: bool, repairs: Repairs, max_cells: int) -> Grid:
    """Sort readings, join those of one hour, and put them into whole days."""
    n_households = len(repairs.ids)
    table = _sorted(_readable(table, repairs), repairs)
    if len(table.codes) == 0:
        return _no_readings(n_households)
    days = table.seconds // DAY_S
    new = np.flatnonzero(np.diff(table.codes, prepend=-1) | np.diff(days, prepend=days[0]))
    first, last = common_days(days[new], len(np.unique(table.codes[new])))
    outside = (days < first) | (days > last)
    if outside.any():
        repairs.mark("outside", table, outside)
        table = table.take(~outside)
    del days, outside
    grid = _no_readings(n_households, first, last, max_cells)
    cells = table.codes * np.int64(len(grid.seconds)) + (table.seconds // HOUR_S - first * 24)
    per_hour = _cadence(table, n_households)
    off = table.seconds % (HOUR_S // per_hour)[table.codes] != 0
    repairs.mark("off_hour", table, off)
    if (per_hour == 1).all() and not off.any():
        grid.values.reshape(-1)[cells] = table.values
    else:
        _join(table, cells, per_hour, grid, is_power, repairs)
    return grid


def _readable(table: Long, repairs: Repairs) -> Long:
    """Leave out what has no household, no time or no value."""
    nameless = table.codes < 0
    repairs.mark("no_household", table, nameless)
    timeless = (table.seconds == NO_TIME) & ~nameless
    repairs.mark("no_time", table, timeless)
    keep = ~(nameless | timeless | np.isnan(table.values))
    return table if keep.all() else table.take(keep)


def _sorted(table: Long, repairs: Repairs) -> Long:
    """Sort by household and time; drop repeats; average several values at one time."""
    if len(table.codes) == 0:
        return table
    low = table.seconds.min()
    span = table.seconds.max() - low + 1
    keys = table.codes * np.int64(span) + (table.seconds - low)
    if (np.diff(keys) > 0).all():
        return table
    if not (np.diff(keys) >= 0).all():
        order = np.argsort(keys, kind="stable")
        table, keys = table.take(order), keys[order]
        late = np.flatnonzero((np.diff(order) < 0) & (np.diff(table.codes) == 0)) + 1
        repairs.mark("unordered", table, late)
        del order
    same = np.diff(keys) == 0  # as the one before
    if not same.any():
        return table
    shared = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    frame = pd.DataFrame({"key": keys[shared], "value": table.values[shared]})
    repeat = frame.duplicated().to_numpy()
    first = ~frame.duplicated("key").to_numpy()
    for rule, rows in (("repeated", shared[repeat]), ("several", shared[~repeat & ~first])):
        repairs.mark(rule, table, rows)
    means = frame[~repeat].groupby("key", sort=True)["value"].mean().to_numpy(np.float32)
    values = table.values.copy()
    values[shared[first]] = means
    keep = np.insert(~same, 0, True)
    return Long(table.codes[keep], table.seconds[keep], values[keep])


def _cadence(table: Long, n_households: int) -> NDArray[np.int64]:
    """Readings an hour of each household, by its most frequent step; 1 where it is an hour or longer."""
    steps = np.diff(table.seconds)
    within = np.diff(table.codes) == 0
    if (steps[within] >= HOUR_S).all():
        return np.ones(n_households, np.int64)
    steps, codes = steps[within], table.codes[1:][within]
    lengths = HOUR_S / _PER_HOUR  # s, ascending
    hours = np.minimum(np.round(steps / HOUR_S), 25).astype(np.int64)  # longer steps: by hours
    fine = np.searchsorted(np.sqrt(lengths[:-1] * lengths[1:]), steps)  # the nearest length, by ratio
    kinds = np.where(steps < 1.5 * HOUR_S, fine, len(lengths) - 2 + hours)
    n_kinds = len(lengths) + 25
    counts = np.bincount(codes * np.int64(n_kinds) + kinds, minlength=n_households * n_kinds)
    usual = counts.reshape(n_households, n_kinds).argmax(axis=1)
    per_hour: NDArray[np.int64] = _PER_HOUR[np.minimum(usual, len(lengths) - 1)]
    per_hour[np.bincount(codes, minlength=n_households) == 0] = 1
    return per_hour


def _join(
    table: Long, cells: NDArray[np.int64], per_hour: NDArray[np.int64], grid: Grid, is_power: bool, repairs: Repairs
) -> None:
    """Join the readings of each hour (`cells`, ascending) into `grid`: their mean, for energy times their number."""
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    counts = np.diff(starts, append=len(cells))
    expected = per_hour[table.codes[starts]]
    means = np.add.reduceat(table.values.astype(np.float64), starts) / counts
    with np.errstate(over="ignore"):
        grid.values.reshape(-1)[cells[starts]] = means if is_power else means * expected
    repairs.mark("finer", table, per_hour[table.codes] > 1)
    short = counts < expected / 2
    repairs.mark("scaled", grid, cells[starts[(counts < expected) & ~short]])
    repairs.mark("short_hour", grid, cells[starts[short]])
    grid.values.reshape(-1)[cells[starts[short]]] = np.nan


def is_in_watts(hours: NDArray[np.float32], level: float) -> NDArray[np.bool_]:
    """(N,) which households have most of their positive readings over `level`: a few wrong ones do not count.

    Args:
        hours: (N, H) readings an hour.
        level: in the unit of the readings.
    """
    over: NDArray[np.bool_] = 2 * (hours > level).sum(axis=1) > (hours > 0).sum(axis=1)
    return over


def divide_watts(grid: Grid, repairs: Repairs) -> None:
    """Divide single households that are in W among kWh by 1000, in place."""
    hours = grid.values
    suspects = is_in_watts(hours, WATT_LEVEL)
    others = hours[~suspects] if suspects.any() else hours[:0]
    others = others[others > 0]
    if len(others) == 0:
        return
    wrong = suspects & is_in_watts(hours, max(WATT_LEVEL, 100 * float(np.median(others))))
    repairs.mark("watts", grid, wrong[:, None] & np.isfinite(hours))
    hours[wrong] /= 1000


def clear_impossible(grid: Grid, repairs: Repairs) -> None:
    """Set readings beyond 100 kWh an hour, in either direction, to nan, in place."""
    wrong = np.abs(grid.values) > MAX_KWH
    repairs.mark("impossible", grid, wrong)
    grid.values[wrong] = np.nan
