"""From a table of unknown layout to readings: which column or name means what, found by looking.

Three layouts are known: long (a row is a household, a time and a value, or a household, a date and the values of the
day), rows (a row is a household, a column an hour) and columns (a row is an hour, a column a household).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.radix_energy.cells import NUMBERED_HOUR, coded, epoch_scale, unit_in_words
from challenges.radix_energy.source import Source, refuse_repeated
from common.data.delimited import COMPACT_TIME, NUMBER, TIME, parse_numbers
from common.errors import UserError

if TYPE_CHECKING:
    from challenges.radix_energy.dataset import ReadOptions

_HOUR_OF_DAY: Final = re.compile(r"\s*\d{1,2}[:h]\d{2}(:\d{2})?\s*$")
_ID_NAME: Final = re.compile(
    r"(?=.)(?:household|house|home|hh|(?:smart)?meter|customer|client|consumer|user|site|dwelling|premises?|account|lcl"
    r"|mpan|series|sensor|device|apartment|flat|building|haushalt|huishouden|foyer)?(?:id|ids|nr|no|number|name|code|key)?"
)
_HOUR_NAME: Final = re.compile(
    r"(?:hours?|hr|hh|h|t|time|timestamp|step|timestep|period|interval|stunde|uur|heure)(?:ofday|index|no|nr)?"
)
_VALUE_NAME: Final = re.compile(
    r"k?wh?\b|kwh|watt|energy|consum|usage|load|power|reading|value|demand|import|verbrauch|verbruik|conso",
    re.IGNORECASE,
)
_OTHER_NAME: Final = re.compile(
    r"export|feed.?in|generat|produc|solar|pv\b|reactive|factor|price|cost|tariff|temp|(?:^|[\W_])(?:date|time)(?:$|[\W_])",
    re.IGNORECASE,
)
_MIDNIGHT: Final = re.compile(r"[T ]0?0:00(?::00(?:\.0+)?)?$")
_PARTS_OF_DAY: Final = (24, 48, 96)
_INDEX_NAMES: Final = ("", "Unnamed: 0", "__index_level_0__", "index")


@dataclass(frozen=True)
class Layout:
    """The meaning of the columns, by position."""

    kind: str  # long, rows or columns
    household: int | None
    time: int | None  # times, or numbers of hours
    hour: int | None  # the hour of the day, where `time` holds only dates
    values: list[int]  # one in the long layout, or where a row is a day its hours, halves or quarters of them


def _kinds(head: NDArray[np.object_]) -> list[str]:
    """What most cells of each column are: time, clock, number, text, or empty."""
    cells = pd.Series(head.ravel(), dtype=object)
    shape = head.shape
    filled = (cells.str.strip() != "").to_numpy().reshape(shape)
    n_filled = filled.sum(axis=0)

    def share(pattern: re.Pattern[str]) -> NDArray[np.float64]:
        hits = cells.str.match(pattern).to_numpy(dtype=bool).reshape(shape) & filled
        shares: NDArray[np.float64] = hits.sum(axis=0) / np.maximum(n_filled, 1)
        return shares

    kinds = np.full(shape[1], "text", dtype=object)
    kinds[share(NUMBER) >= 0.5] = "number"
    kinds[share(_HOUR_OF_DAY) >= 0.8] = "clock"
    kinds[(share(TIME) >= 0.8) | (share(COMPACT_TIME) == 1.0)] = "time"
    kinds[n_filled == 0] = "empty"
    return [str(kind) for kind in kinds]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


class _Columns:
    """What is known of the columns before the table is read."""

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self.source, self.names = source, source.names
        self.kinds = _kinds(source.head)
        self.everything = range(len(self.names))
        self.household = self._position(options.household, "household")
        self.value = self._position(options.value, "value")
        given = self._position(options.time, "time")
        self.time = self._find_time() if given is None else given
        self.hour = self._find_hour()
        self.parts_of_day = self._find_parts_of_day()
        self.hour_names = [i for i in self.everything if source.header and self._names_an_hour(i)]

    def _position(self, name: str | None, option: str) -> int | None:
        if name is None:
            return None
        if name not in self.names:
            seen = ", ".join(map(repr, self.names[:10]))
            raise UserError(f"{self.source.name}: no column {name!r}, which was given as {option}; it has {seen}")
        refuse_repeated(self.source.name, [other for other in self.names if other == name])
        return self.names.index(name)

    def numbers_of(self, i: int) -> NDArray[np.float64]:
        numbers = parse_numbers(pd.Series(self.source.head[:, i], dtype=object))
        return numbers[np.isfinite(numbers)]

    def is_whole(self, i: int) -> bool:
        numbers = self.numbers_of(i)
        return bool(len(numbers) and (numbers == np.round(numbers)).all())

    def _find_time(self) -> int | None:
        times = [i for i in self.everything if self.kinds[i] == "time"]
        if times:
            return max(times, key=lambda i: len(set(self.source.head[:, i])))
        few = [i for i in self.everything if self.kinds[i] == "number"][:20]
        return next((i for i in few if self._is_epoch(i)), None)

    def _is_epoch(self, i: int) -> bool:
        numbers = self.numbers_of(i)
        scale = epoch_scale(numbers)
        return scale is not None and bool((numbers / scale % 60 == 0).mean() > 0.9)

    def has_only_dates(self) -> bool:
        """Whether the times lack a clock; midnight in every row is none."""
        if self.time is None or self.kinds[self.time] != "time":
            return False
        dates = pd.Series(self.source.head[:, self.time], dtype=object)
        return not dates.str.replace(_MIDNIGHT, "", regex=True).str.contains(r"\d[T :]+\d|\d{12}").any()

    def _find_hour(self) -> int | None:
        if not self.has_only_dates():
            return None
        named = [i for i in self.everything if self.kinds[i] == "number" and _HOUR_NAME.fullmatch(_bare(self.names[i]))]
        clocks = [i for i in self.everything if self.kinds[i] == "clock"]
        return next(iter(clocks + [i for i in named if self.numbers_of(i).max(initial=0) <= 24]), None)

    def _find_parts_of_day(self) -> list[int]:
        """The columns of a table whose rows are days: hours, halves or quarters of them, in order."""
        if self.value is not None or self.hour is not None or not self.has_only_dates():
            return []
        parts = [i for i in self.everything if self.kinds[i] in ("number", "empty") and self.names[i][-1:].isdigit()]
        return parts if len(parts) in _PARTS_OF_DAY else []

    def _names_an_hour(self, i: int) -> bool:
        name = self.names[i]
        return bool(TIME.match(name) or NUMBERED_HOUR.match(name)) and self.kinds[i] in ("number", "empty", "text")

    def names_nobody(self) -> bool:
        """Whether a table of numbers without a header begins with readings; ids would be whole, and one column more."""
        whole = self.is_whole(0) and not (len(self.names) % 24 == 0 and self.is_whole(1))
        return self.kinds[0] == "number" and not whole

    def counts_hours(self, i: int) -> bool:
        """Whether the column numbers hours: by name, or because it goes up by one, maybe again and again."""
        numbers = self.numbers_of(i)
        if self.kinds[i] != "number" or not self.is_whole(i) or numbers.min() < 0:
            return False
        steps = np.diff(numbers)
        return bool(_HOUR_NAME.fullmatch(_bare(self.names[i]))) or (len(steps) > 5 and bool((steps == 1).mean() > 0.8))


def find_layout(source: Source, options: ReadOptions) -> Layout:
    """Find the layout from the names and the first rows; the whole of some columns is read only in doubt.

    Raises:
        UserError: nothing fits, or an option names a column that is not there.
    """
    columns = _Columns(source, options)
    kind = options.layout if options.layout != "auto" else _guess(columns)
    layout = {"long": _long, "rows": _rows, "columns": _as_columns}[kind](columns)
    labels = [i for i in (layout.household, layout.time, layout.hour) if i is not None]
    for i in labels:
        if labels.count(i) + layout.values.count(i) > 1:
            raise UserError(
                f"{source.name}: column {source.names[i]!r} would be two of household, time and value at once; "
                "give each of the options another column"
            )
    return layout


def _guess(columns: _Columns) -> str:
    n_columns, kinds = len(columns.names), columns.kinds
    if columns.value is not None or columns.parts_of_day:
        return "long"
    if columns.time is not None:
        return "long" if _is_long(columns, columns.time) else "columns"
    texts = [i for i in columns.everything if kinds[i] in ("text", "clock")]
    if len(columns.hour_names) >= max(2, n_columns - 5, n_columns // 2):
        bare_ids = not texts and not any(columns.names[i] == "" or _is_id_name(columns, i) for i in columns.everything)
        if bare_ids and len(columns.hour_names) % 24 and len(columns.source.read([0], ())[0][0]) % 24 == 0:
            return "columns"
        return "rows"
    numbers = [i for i in columns.everything if kinds[i] == "number"]
    if not columns.source.header and len(numbers) >= max(2, n_columns - 1):
        is_turned = columns.names_nobody() and n_columns % 24 and len(columns.source.read([0], ())[0][0]) % 24 == 0
        return "columns" if is_turned else "rows"
    is_narrow = len(numbers) > 1 and n_columns < 20
    if (
        is_narrow
        and (texts or any(_is_id_name(columns, i) for i in numbers))
        and any(map(columns.counts_hours, numbers))
    ):
        return "long"
    timeless = any(_HOUR_NAME.fullmatch(_bare(columns.names[i])) and not columns.is_whole(i) for i in numbers[:1])
    if numbers and not texts and not timeless and not any(_is_id_name(columns, i) for i in numbers):
        return "columns"
    raise _unknown(columns)


def _unknown(columns: _Columns, missing: str = "neither times nor hours") -> UserError:
    first = columns.source.head[0][:8] if len(columns.source.head) else []
    seen = ", ".join(f"{name}={cell}" for name, cell in zip(columns.names, first, strict=False))
    return UserError(
        f"{columns.source.name}: {missing} found in its first row ({seen}); name the columns with the options "
        "household, time and value, or give layout rows or columns; times look like 2024-01-31 13:00"
    )


def _is_id_name(columns: _Columns, i: int) -> bool:
    if not _ID_NAME.fullmatch(_bare(columns.names[i])):
        return False
    return columns.kinds[i] == "text" or (columns.kinds[i] == "number" and columns.is_whole(i))


def _is_long(columns: _Columns, time: int) -> bool:
    """In the long layout the times repeat, once a household."""
    rest = [i for i in columns.everything if i not in (time, columns.hour)]
    if columns.household is not None or any(_is_id_name(columns, i) for i in rest):
        return len(rest) > 1
    if len(rest) < 2 or len(rest) > 50:
        return False
    needed = [i for i in (time, columns.hour) if i is not None]
    arrays, _ = columns.source.read(needed, ())
    n_times = len(coded(arrays[0])[0]) * (24 if len(needed) > 1 else 1)
    if len(arrays[0]) >= 1.5 * max(n_times, 1):
        return True
    n_texts = sum(columns.kinds[i] == "text" for i in rest)
    return n_texts > 0 and len(rest) - n_texts == 1


def _long(columns: _Columns) -> Layout:
    time = columns.time
    if time is None:
        counters = [i for i in columns.everything if columns.counts_hours(i)]
        # The row number of the file counts too, and goes further.
        ranked = sorted(
            counters,
            key=lambda i: (not _HOUR_NAME.fullmatch(_bare(columns.names[i])), columns.names[i] in _INDEX_NAMES),
        )
        time = ranked[0] if ranked else None
    if time is None:
        raise _unknown(columns, "no column of times")
    taken = {time, columns.hour}
    value = columns.value
    household = columns.household
    if household is None:
        household = _find_household(columns, taken | {value, *columns.parts_of_day})
    if value is None and not columns.parts_of_day:
        value = _find_value(columns, [i for i in columns.everything if i not in taken | {household}])
    return Layout("long", household, time, columns.hour, columns.parts_of_day if value is None else [value])


def _find_household(columns: _Columns, taken: set[int | None]) -> int:
    free = [i for i in columns.everything if i not in taken]
    named = [i for i in free if _is_id_name(columns, i)]
    texts = [i for i in free if columns.kinds[i] == "text"]
    candidates = named or texts + [i for i in free if columns.kinds[i] == "number" and columns.is_whole(i)]
    if not candidates:
        raise _unknown(columns, "no column of households")
    if len(candidates) == 1 or columns.time is None:
        return candidates[0]
    # Households times hours make the rows: the column for which that comes nearest to true is the household.
    arrays, _ = columns.source.read([columns.time, *candidates], ())
    n_times, *counts = (len(coded(array)[0]) for array in arrays)
    misfit = np.abs(np.log((np.array(counts) * n_times + 1) / (len(arrays[0]) + 1)))
    return candidates[int(np.argmin(misfit.round(3)))]


def _find_value(columns: _Columns, free: list[int]) -> int:
    names = columns.names
    numbers = [i for i in free if columns.kinds[i] == "number"] or [i for i in free if columns.kinds[i] == "empty"]
    numbers = numbers or free
    named = [i for i in numbers if _VALUE_NAME.search(names[i]) and not _OTHER_NAME.search(names[i])]
    united = [i for i in named if unit_in_words([names[i]])]
    fractions = [i for i in numbers if columns.kinds[i] == "number" and not columns.is_whole(i)]
    found = next((few for few in (numbers, named, united, fractions) if len(few) == 1), None)
    if found is None:
        refuse_repeated(columns.source.name, [names[i] for i in named])
        seen = ", ".join(repr(names[i]) for i in numbers[:6]) or "none"
        raise _unknown(columns, f"no single column of readings ({seen} could be)")
    refuse_repeated(columns.source.name, [names[i] for i in numbers if names[i] == names[found[0]]])
    return found[0]


def _rows(columns: _Columns) -> Layout:
    others = sorted({*columns.everything} - {*columns.hour_names})
    household = columns.household
    if household is None:
        if not columns.source.header:
            others = [] if columns.names_nobody() else [0]
        ranked = sorted(others, key=lambda i: (not _is_id_name(columns, i), columns.kinds[i] != "text", i))
        household = ranked[0] if ranked else None
    hours = columns.hour_names if columns.source.header else list(columns.everything)
    hours = [i for i in hours if i != household]
    if not hours:
        raise _unknown(columns, "no columns named by hours")
    return Layout("rows", household, None, None, hours)


def _as_columns(columns: _Columns) -> Layout:
    time = columns.time
    aside = {time, columns.hour, *(i for i in columns.everything if columns.kinds[i] in ("time", "clock"))}
    is_index = columns.names[0] in _INDEX_NAMES and len(columns.names) > 1
    if columns.counts_hours(0) and (is_index or (time is None and _HOUR_NAME.fullmatch(_bare(columns.names[0])))):
        time = 0 if time is None else time
        aside.add(0)
    households = [i for i in columns.everything if i not in aside]
    if not households:
        raise _unknown(columns, "no column of readings")
    return Layout("columns", None, time, columns.hour, households)
