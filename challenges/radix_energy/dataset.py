"""Hourly readings of households: loaded from a file of any usual layout, repaired by stated rules, or reported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from challenges.radix_energy.cells import (
    add_hours,
    is_power,
    read_hour_names,
    read_ids,
    read_numbers,
    read_seconds,
    unit_in_words,
)
from challenges.radix_energy.layout import Layout, find_layout
from challenges.radix_energy.repair import (
    DAY_S,
    MAX_CELLS,
    NO_TIME,
    WATT_LEVEL,
    Grid,
    Long,
    Repairs,
    as_grid,
    clear_impossible,
    clear_negative,
    divide_watts,
    is_in_watts,
    merge_rows,
    to_hours,
)
from challenges.radix_energy.source import Source, open_source
from common.errors import UserError

MIN_DAYS: Final = 7  # with at least
MIN_READINGS_OF_DAY: Final = 12
# Columns and rows that stand among the households of a table and are none.
_NOBODY: Final = re.compile(
    r"\W*(?:(?:grand |sub)?totals?|sums?|average|mean|summe|gesamt|totaal|somme|(?:outdoor )?temp(?:erature)?|price)"
    r"[\W_]*(?:k?wh|c)?\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Readings:
    """Hourly consumption of N households on D days."""

    household_ids: NDArray[np.str_]  # (N,) those that can be used, in the order of the file
    dates: NDArray[np.datetime64]  # (D,) datetime64[D], consecutive days of the wall clock
    kwh: NDArray[np.float32]  # (N, D, 24) kWh used in each hour of the wall clock, nan where no reading


@dataclass(frozen=True)
class Dataset:
    """What a file holds: the readings, the households left out with the reason, and what was repaired."""

    path: Path
    readings: Readings
    unused: dict[str, str]  # household_id -> why it cannot be used
    report: dict[str, Any]  # what was found, assumed, repaired, and how often


@dataclass(frozen=True)
class ReadOptions:
    """What to take as given instead of finding it out."""

    layout: Literal["auto", "long", "rows", "columns"] = "auto"
    household: str | None = None  # names of columns in the long layout
    time: str | None = None
    value: str | None = None
    unit: Literal["auto", "kWh", "Wh", "kW", "W"] = "auto"
    start: date | None = None  # the first day, where hours have no dates


def load(path: Path, options: ReadOptions = ReadOptions(), *, max_cells: int = MAX_CELLS) -> Dataset:
    """Read a CSV (also .tsv, .txt, .gz) or parquet file, a zip of one of these, or a folder that holds one.

    Args:
        path: the file or folder.
        options: what to take as given.
        max_cells: households times hours at most: a small file may hold few readings of very many.

    Raises:
        UserError: there is no such file, several tables, no known layout, too many households times hours, or no
            household that can be used.
    """
    path = Path(path)
    try:
        source = open_source(path)
        layout = find_layout(source, options)
        parsed = (_parse_long if layout.kind == "long" else _parse_wide)(source, layout, options)
    except (pa.ArrowException, OSError) as error:
        what = str(error).split("\n")[0][:200]
        raise UserError(f"{path}: not readable as a table ({what}); write it again as CSV or parquet") from error
    return _dataset(path, source.name, parsed, options, max_cells)


@dataclass(frozen=True)
class Parsed:
    """Readings as the file has them, and what was found on the way."""

    table: Long | Grid
    repairs: Repairs  # with the ids
    differing: NDArray[np.int32]  # households that stand twice with different series
    layout: str  # in words
    value_names: list[str]  # which may tell the unit
    ignored: list[str]  # columns not used
    notes: list[str]  # on the times


def _parse_long(source: Source, layout: Layout, options: ReadOptions) -> Parsed:
    labels = [i for i in (layout.household, layout.time, layout.hour) if i is not None]
    arrays, ragged = source.read([*labels, *layout.values], layout.values)
    ids, codes = read_ids(arrays[0])
    arrays[0] = None  # each is let go as soon as it is read: they are large
    seconds, notes = read_seconds(arrays[1], options.start)
    _refuse_timeless(source, layout, seconds)
    arrays[1] = None
    if layout.hour is not None:
        seconds = add_hours(seconds, arrays[2])
    n_rows, n_parts = len(codes), len(layout.values)
    if n_parts > 1:  # a row is a day
        starts = np.arange(n_parts) * (DAY_S // n_parts)
        days = seconds[:, None]
        codes, seconds = np.repeat(codes, n_parts), np.where(days == NO_TIME, NO_TIME, days + starts).ravel()
    repairs = Repairs(ids)

    def at(cells: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:  # the cells go down the columns
        part, row = np.divmod(cells, max(n_rows, 1))
        return codes[row * n_parts + part], seconds[row * n_parts + part]

    values = read_numbers(arrays[len(labels) :], at, repairs).reshape(n_parts, n_rows).T.ravel()
    _add_ragged(repairs, ragged)
    names = source.names
    value_names = [names[i] for i in layout.values]
    words = f"long: household {names[labels[0]]!r}, time {names[labels[1]]!r}, value {value_names[0]!r}"
    words += f" to {value_names[-1]!r}" if n_parts > 1 else ""
    words += f", hour {names[layout.hour]!r}" if layout.hour is not None else ""
    ignored = [name for i, name in enumerate(names) if i not in {*labels, *layout.values}]
    table = Long(codes, seconds, values)
    nobody = np.zeros(0, np.int32)
    return Parsed(as_grid(table, len(ids)), repairs, nobody, words, value_names, ignored, notes)


def _parse_wide(source: Source, layout: Layout, options: ReadOptions) -> Parsed:
    by_rows = layout.kind == "rows"
    names = source.names
    labels = [i for i in ((layout.household,) if by_rows else (layout.time, layout.hour)) if i is not None]
    arrays, ragged = source.read([*labels, *layout.values], layout.values)
    n_rows = len(arrays[0])
    value_names = pa.chunked_array([pa.array([names[i] for i in layout.values], pa.string())])
    if by_rows:
        numbered = pa.chunked_array(
            [pa.array([f"row {i + 1}" for i in range(n_rows)] if not labels else [], pa.string())]
        )
        ids, codes = read_ids(arrays[0] if labels else numbered)
        seconds, notes = read_hour_names(value_names if source.header else None, len(layout.values), options.start)
        words = f"rows: a row a household, named by {names[labels[0]]!r}" if labels else "rows: a row a household"
        words += ", a column an hour" + ("" if source.header else ", no header")
    else:
        ids, codes = read_ids(value_names)
        times = arrays[0] if layout.time is not None else None
        seconds, notes = (
            read_seconds(times, options.start) if times is not None else read_hour_names(None, n_rows, options.start)
        )
        if layout.hour is not None:
            seconds = add_hours(seconds, arrays[1])
        words = "columns: a column a household, a row an hour"
        words += f", time {names[labels[0]]!r}" if labels else ", no times"
    _refuse_timeless(source, layout, seconds)
    repairs = Repairs(ids)

    def at(cells: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:  # the cells go down the columns
        column, row = np.divmod(cells, max(n_rows, 1))
        return (codes[row], seconds[column]) if by_rows else (codes[column], seconds[row])

    cells = read_numbers(arrays[len(labels) :], at, repairs).reshape(len(layout.values), n_rows)
    _add_ragged(repairs, ragged)
    values, differing = merge_rows(codes, np.ascontiguousarray(cells.T) if by_rows else cells, len(ids), repairs)
    used = {*labels, *layout.values}
    ignored = [name for i, name in enumerate(names) if i not in used]
    unit_names = [names[i] for i in layout.values]
    return Parsed(Grid(seconds, values), repairs, differing, words, unit_names, ignored, notes)


def _add_ragged(repairs: Repairs, ragged: Sequence[str]) -> None:
    repairs.add("ragged", np.full(len(ragged), -1), None, [row[:100] for row in ragged[:5]])


def _refuse_timeless(source: Source, layout: Layout, seconds: NDArray[np.int64]) -> None:
    if len(seconds) and (seconds == NO_TIME).all():
        column = "" if layout.time is None else f", column {source.names[layout.time]!r}"
        raise UserError(
            f"{source.name}{column}: no time could be read; write times as 2024-01-31 13:00, or name their column "
            "with the option time"
        )


def _refuse_several(name: str, parsed: Parsed) -> None:
    """Refuse a table with further readings at half of its times: nothing says which of them are to be added."""
    counts = parsed.repairs.counts
    several, repeated = (int(counts[rule].sum()) if rule in counts else 0 for rule in ("several", "repeated"))
    n_times = int(np.isfinite(parsed.table.values).sum()) - several - repeated
    if 2 * several >= max(n_times, 1):
        raise UserError(
            f"{name}: each time of a household stands in {1 + several / n_times:.3g} rows with other readings; add a "
            "column of households, write hours and minutes into the time, or leave one kind of reading"
        )


def _dataset(path: Path, name: str, parsed: Parsed, options: ReadOptions, max_cells: int) -> Dataset:
    repairs, ids = parsed.repairs, parsed.repairs.ids
    unit: str | None = options.unit if options.unit != "auto" else unit_in_words(parsed.value_names)
    solar = clear_negative(parsed.table, repairs)
    power = is_power(parsed.value_names) if unit is None else unit in ("W", "kW")
    grid = to_hours(parsed.table, is_power=power, repairs=repairs, max_cells=max_cells)
    _refuse_several(name, parsed)
    hours = grid.values  # (N, D * 24)
    unit, why = (unit, "as given") if options.unit != "auto" else _unit_by_size(unit, hours, power)
    if unit in ("W", "Wh"):
        hours /= 1000
    divide_watts(grid, repairs)
    clear_impossible(grid, repairs)
    kwh = hours.reshape(len(ids), hours.shape[1] // 24, 24)  # (N, D, 24); N may be 0
    reasons = unused_reasons(kwh, set(parsed.differing.tolist()))
    if len(ids) > 1:
        reasons |= {i: "no household, by its name" for i, text in enumerate(ids) if _NOBODY.fullmatch(text)}
    for i in reasons:
        if losses := repairs.losses(i):
            reasons[i] += f" (left out: {', '.join(losses)})"
    unused = {str(ids[i]): reason for i, reason in reasons.items()}
    if len(unused) == len(ids):
        (reason, count), *_ = Counter(reasons.values()).most_common(1) or [("the file has no readings", 0)]
        raise UserError(
            f"{name}: no household can be used: {reason} ({count} of {len(ids)}); read as {parsed.layout}, in {unit}; "
            "if that is wrong, give the options layout, household, time, value or unit"
        )
    usable = np.array([i for i in range(len(ids)) if i not in reasons], dtype=np.int64)
    dates = grid.seconds[::24].astype("datetime64[s]").astype("datetime64[D]")  # (D,)
    readings = Readings(ids[usable].astype(np.str_), dates, kwh if not unused else kwh[usable])
    report = {
        "file": name,
        "layout": f"{parsed.layout}; {len(ids)} households, {len(grid.seconds)} hours from {dates[0]}",
        "ignored_columns": parsed.ignored,
        "unit": f"{unit}, {why}",
        "times": parsed.notes,
        "households": len(ids),
        "usable": len(usable),
        "days": len(dates),
        "first_day": str(dates[0]),
        "last_day": str(dates[-1]),
        "repairs": repairs.found,
        "solar_households": [str(ids[i]) for i in solar],
        "gaps": _gaps(readings),
    }
    return Dataset(path, readings, unused, report)


def _unit_by_size(named: str | None, hours: NDArray[np.float32], power: bool) -> tuple[str, str]:
    """The unit of (N, H) readings an hour, and why: as their columns are named, unless no household could use that."""
    in_watts = 2 * is_in_watts(hours, WATT_LEVEL).sum() > (hours > 0).any(axis=1).sum()
    if named in ("W", "Wh") or (named and not in_watts):
        return named, "by the column's name"
    unit = ("W" if power else "Wh") if in_watts else ("kW" if power else "kWh")
    why = f"by their size: a usual hour is {'over' if in_watts else 'not over'} {WATT_LEVEL:g} in most households"
    return unit, why + (f", though the column is named {named}" if named else "")


def _gaps(readings: Readings) -> dict[str, Any]:
    """Missing hours of the usable households; they stay missing."""
    missing = np.isnan(readings.kwh).sum(axis=(1, 2))
    with_gaps = np.flatnonzero(missing)
    return {
        "rule": "An hour without a reading stays missing.",
        "households": len(with_gaps),
        "share_missing": float(missing.sum() / readings.kwh.size),
        "hours_by_household": {str(readings.household_ids[i]): int(missing[i]) for i in with_gaps},
    }


def unused_reasons(kwh: NDArray[np.float32], differing: Collection[int] = ()) -> dict[int, str]:
    """Say of each household that cannot be used why, in words; the first that holds of these rules.

    Args:
        kwh: (N, D, 24), nan where missing.
        differing: households that stand twice with different series.
    """
    n_of_day = np.isfinite(kwh).sum(axis=2)  # (N, D)
    n_readings = n_of_day.sum(axis=1)
    n_days = (n_of_day > 0).sum(axis=1)
    n_full_days = (n_of_day >= MIN_READINGS_OF_DAY).sum(axis=1)
    flat = kwh.reshape(len(kwh), kwh.shape[1] * 24)  # households, days or both may be none
    highest = np.fmax.reduce(flat, axis=1, initial=-np.inf)
    lowest = np.fmin.reduce(flat, axis=1, initial=np.inf)
    step = _usual_step(flat, n_readings)
    suspects = (
        (n_full_days < MIN_DAYS) | (highest == lowest) | (n_readings < 12 * n_days) | (step > 1) | (n_readings == 0)
    )
    hardly_falls = _hardly_falls(flat)
    reasons = dict.fromkeys(sorted(differing), "two different series under one name")
    for i in np.flatnonzero(suspects | hardly_falls):
        if i in reasons:
            continue
        if n_readings[i] == 0:
            reasons[int(i)] = "no readings"
        elif step[i] > 1:
            reasons[int(i)] = f"one reading in {step[i]} hours; hourly ones are needed"
        elif n_full_days[i] < MIN_DAYS:
            reasons[int(i)] = (
                f"only {n_full_days[i]} days with at least {MIN_READINGS_OF_DAY} readings; {MIN_DAYS} are needed"
            )
        elif highest[i] == lowest[i]:
            reasons[int(i)] = f"every reading is {highest[i]:g}"
        elif hardly_falls[i]:
            reasons[int(i)] = (
                "readings rise and hardly fall, as a meter's register does; differences from hour to hour are needed"
            )
        else:
            share = n_readings[i] / (24 * n_days[i])
            reasons[int(i)] = f"only {share:.0%} of the readings of its {n_days[i]} days are left; half are needed"
    return reasons


def _hardly_falls(hours: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether readings rise ten times as often as they fall: registers may be reset, at midnight or once."""

    def rises(rows: NDArray[np.float32], least_falls: int) -> NDArray[np.bool_]:
        steps = np.diff(rows)
        n_rises, n_falls = np.count_nonzero(steps > 0, axis=1), np.count_nonzero(steps < 0, axis=1)
        return np.asarray(n_rises >= 10 * np.maximum(n_falls, least_falls))

    # Nearly all fall within their first days; only the rest is looked at as a whole.
    suspects = rises(hours[:, :72], 0)
    suspects[suspects] = rises(hours[suspects], 1)
    return suspects


def _usual_step(hours: NDArray[np.float32], n_readings: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the most frequent number of hours from one reading to the next; 25 stands for more than a day."""
    steps = np.ones(len(hours), dtype=np.int64)
    sparse = np.flatnonzero((n_readings > 1) & (n_readings <= 0.6 * hours.shape[1]))  # few: the others step by one
    rows, columns = np.nonzero(np.isfinite(hours[sparse]))
    within = np.diff(rows) == 0
    lengths = np.minimum(np.diff(columns)[within], 25)
    counts = np.bincount(rows[1:][within] * 26 + lengths, minlength=len(sparse) * 26)
    steps[sparse] = counts.reshape(-1, 26).argmax(axis=1)
    return steps
