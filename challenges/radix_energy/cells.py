"""Cells read as what they stand for: households, times, hours and numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from challenges.radix_energy.repair import HOUR_S, NO_TIME, Repairs
from common.data.delimited import TIME, parse_numbers, parse_times

# An hour that bears a number: 7, h7, hour_07.
NUMBERED_HOUR: Final = re.compile(
    r"\s*(?:hours?|hr|h|t|time|step|period|stunde|uur|heure|kwh|wh|value|reading)?[ _-]*(\d{1,6})\s*$", re.IGNORECASE
)
# kWh, watts, Kilowatt-hours, kW h; not the W of 'watch' nor the Wh of MWh.
_UNIT: Final = re.compile(
    r"(?<![a-z])(?P<kilo>k|kilo)?w(?:atts?)?(?P<hour>[\W_]*h(?:(?:ou)?rs?)?)?(?![a-z])", re.IGNORECASE
)
_POWER: Final = re.compile("power|leistung|vermogen|puissance", re.IGNORECASE)
_FIRST_DAY: Final = date(2024, 1, 1)  # a Monday, for hours without dates
_YEAR_S: Final = 365.25 * 86_400


def epoch_scale(numbers: NDArray[np.float64]) -> float | None:
    """Ticks a second, if these are times counted from 1970 in s, ms, us or ns; they lie in 1990 to 2060."""
    level = float(np.median(numbers)) if len(numbers) else 0.0
    return next((s for s in (1.0, 1e3, 1e6, 1e9) if 20 * _YEAR_S < level / s < 90 * _YEAR_S), None)


def coded(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int32]]:
    """The distinct values of a column and the (R,) codes into them, -1 where there is none."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return pa.array([], column.type.value_type), np.zeros(0, np.int32)
    codes = [chunk.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return column.chunk(0).dictionary, codes[0] if len(codes) == 1 else np.concatenate(codes)


def _texts(values: pa.Array) -> pd.Series:
    if pa.types.is_floating(values.type):  # whole numbers that stood beside gaps: 12.0 is 12
        numbers = pd.Series(values.to_pandas())
        return pd.Series([str(int(n)) if n == n and n % 1 == 0 else str(n) for n in numbers], dtype=object)
    texts: pd.Series = values.cast(pa.string()).to_pandas().astype(object)
    return texts.where(texts.notna(), "")


def read_ids(column: pa.ChunkedArray) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
    """The distinct households as they first appear, and the (R,) codes into them, -1 where blank."""
    values, codes = coded(column)
    texts = _texts(values).str.strip()
    blank = (texts == "").to_numpy(dtype=bool)
    same, _ = pd.factorize(texts)
    order = pd.unique(
        np.append(np.where(blank, -1, same), -1)[codes] if blank.any() else same[pd.unique(codes[codes >= 0])]
    )
    order = order[order >= 0]
    places = np.full(len(texts) + 1, -1, np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    mapping = np.append(np.where(blank, -1, places[same]), -1).astype(np.int32)  # the last is of -1
    firsts = pd.Series(texts.to_numpy(), index=same)
    ids = firsts[~firsts.index.duplicated()].loc[order].to_numpy(dtype=object)
    unchanged = np.array_equal(mapping[:-1], np.arange(len(texts), dtype=np.int32))
    return ids, codes if unchanged else mapping[codes]


def read_seconds(column: pa.ChunkedArray, start: date | None) -> tuple[NDArray[np.int64], list[str]]:
    """Wall-clock seconds since 1970 of a column of times of any kind, NO_TIME where unreadable; and remarks."""
    kind = column.type
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return column.cast(pa.timestamp("s"), safe=False).to_numpy().astype("datetime64[s]").astype(np.int64), []
    values, codes = coded(column)
    notes: list[str]
    if pa.types.is_timestamp(values.type):
        times = values.to_pandas().dt.tz_localize(None).to_numpy().astype("datetime64[s]")
        notes = [f"times are of the zone {kind.tz}; its wall-clock time is kept"]
        distinct = times.astype(np.int64)
    else:
        distinct, notes = _parse_distinct(_texts(values), start)
    return np.append(distinct, NO_TIME)[codes], notes


def _parse_distinct(texts: pd.Series, start: date | None) -> tuple[NDArray[np.int64], list[str]]:
    times, notes = parse_times(texts)
    numbers = parse_numbers(texts)
    if np.isnat(times).mean() < 0.5 or np.isnan(numbers).all():
        return times.astype(np.int64), notes
    valid = np.isfinite(numbers)
    scale = epoch_scale(numbers[valid])
    whole = np.where(valid, numbers, 0)
    if scale is not None:
        seconds = np.round(whole / scale).astype(np.int64)
        return np.where(valid, seconds, NO_TIME), ["times are counted from 1970 and are kept in UTC"]
    first = 1 if whole[valid].min() == 1 else 0
    valid &= np.abs(whole) < 1e6
    day = start or _FIRST_DAY
    seconds = int(np.datetime64(day, "s").astype(np.int64)) + np.round(
        (np.where(valid, whole, 0) - first) * HOUR_S
    ).astype(np.int64)
    assumed = "" if start else ", a Monday, is taken as the first day: weekdays are not known, give the option start"
    return np.where(valid, seconds, NO_TIME), [f"hours have numbers, not dates; {day.isoformat()}{assumed}"]


def read_hour_names(
    names: pa.ChunkedArray | None, n_hours: int, start: date | None
) -> tuple[NDArray[np.int64], list[str]]:
    """Times of hours that are named by times or numbers, or not at all."""
    if names is None:
        return _parse_distinct(pd.Series(np.arange(n_hours).astype(str), dtype=object), start)
    texts = names.to_pandas().astype(object)
    return _parse_distinct(texts.where(texts.str.match(TIME), texts.str.extract(NUMBERED_HOUR)[0]), start)


def add_hours(seconds: NDArray[np.int64], column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Add hours of the day, as numbers or as 13:30, to dates; where they go to 24, each is named by its end."""
    values, codes = coded(column)
    texts = _texts(values)
    parts = texts.str.extract(r"^\s*(\d{1,2})(?:\.0*)?(?:[:h](\d{2}))?")
    hours = pd.to_numeric(parts[0]).to_numpy(dtype=np.float64) + pd.to_numeric(parts[1]).fillna(0).to_numpy() / 60
    first = np.nanmin(hours) if np.nanmax(hours) >= 24 else 0.0  # 1:00 to 24:00, or 0:30 to 24:00
    offsets = np.append(np.round((hours - first) * HOUR_S), np.nan)[codes]
    return np.where(
        np.isnan(offsets) | (seconds == NO_TIME), NO_TIME, seconds + np.nan_to_num(offsets).astype(np.int64)
    )


def read_numbers(
    columns: Sequence[pa.ChunkedArray],
    at: Callable[[NDArray[np.intp]], tuple[NDArray[np.int32], NDArray[np.int64]]],
    repairs: Repairs,
) -> NDArray[np.float32]:
    """The cells of columns, one column after the other, as writeable numbers; `at` says whose and when a cell is."""
    if not any(
        pa.types.is_string(c.type) or pa.types.is_dictionary(c.type) or pa.types.is_large_string(c.type)
        for c in columns
    ):
        chunks = [chunk.cast(pa.float64(), safe=False) for c in columns for chunk in c.chunks]
        with np.errstate(over="ignore"):
            return np.concatenate(
                [np.zeros(0, np.float32), *(c.to_numpy(zero_copy_only=False).astype(np.float32) for c in chunks)]
            )
    texts = pa.chunked_array([chunk.cast(pa.string()) for c in columns for chunk in c.chunks], pa.string())
    distinct, codes = coded(texts)
    words = _texts(distinct)
    numbers = parse_numbers(words)
    is_word = np.isnan(numbers) & ~words.str.strip().str.lower().isin(["", "nan"]).to_numpy(dtype=bool)
    odd = np.isfinite(numbers) & (pd.to_numeric(words, errors="coerce").to_numpy() != numbers)
    for rule, mask in (("text", is_word), ("disguised", odd)):
        cells = np.flatnonzero(np.append(mask, False)[codes])
        repairs.add(rule, *at(cells), words.to_numpy()[codes[cells[:5]]].tolist())
    with np.errstate(over="ignore"):
        return np.append(numbers, np.nan).astype(np.float32)[codes]


def unit_in_words(names: Sequence[str]) -> str | None:
    """The unit that all of `names` have in them: kWh, Wh, kW or W."""
    found = [_UNIT.search(name) for name in names[:100]]
    units = {("k" if unit["kilo"] else "") + ("Wh" if unit["hour"] else "W") if unit else None for unit in found}
    return units.pop() if len(units) == 1 else None


def is_power(names: Sequence[str]) -> bool:
    """Whether all of `names`, which tell no unit, speak of power, whose readings within an hour are no amounts."""
    return bool(names) and all(_POWER.search(name) for name in names[:100])
