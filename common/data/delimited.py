"""Delimited text (CSV and its relatives) in any dialect: encodings, separators, numbers and times."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

# The csv module's limit of a cell is the whole process's: a thread that set it back would fail another's file.
csv.field_size_limit(1 << 26)

_DATE: Final = (
    r"(?:(?P<a>\d{4})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{1,2})"
    r"|(?P<d>\d{1,2})[-/.](?P<e>\d{1,2})[-/.](?P<f>\d{4}|\d{2}))(?!\d)"
)
_CLOCK: Final = r"(?P<h>\d{1,2})(?:[:h.](?P<m>\d{2}))?(?::(?P<s>\d{2})(?:[.,]\d+)?)?\s*(?:(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE: Final = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
# A cell that is a date, or a date and a time: 2024-01-31T13:00:00+01:00, 31/01/2024 13:00, 1/31/24 1:00 PM.
TIME: Final = re.compile(rf"\s*{_DATE}(?:(?:T|\s+|:){_CLOCK}{_ZONE})?\s*$")
# The same in digits only: 20240131, 202401311300.
COMPACT_TIME: Final = re.compile(
    r"\s*(?P<a>(?:19|20)\d\d)(?P<b>0[1-9]|1[0-2])(?P<c>[0-3]\d)(?P<d>)(?P<e>)(?P<f>)"
    r"(?:[T ]?(?P<h>\d\d):?(?P<m>\d\d):?(?P<s>\d\d)?)?(?P<half>)(?P<zone>Z?)\s*$"
)
_GAPS: Final = "' \u00a0\u202f\u2019"  # apostrophes and spaces that part thousands
_PARTED: Final = "|".join(  # 1,234.5 or 1.234,5 or 1 234,5, and in India 12,34,567
    rf"\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}(?:{point}\d*)?"
    for mark, point in ((",", r"\."), (r"\.", ","), (f"[{_GAPS}]", "[.,]"))
)
# A cell that is a number, maybe with a decimal comma or parted thousands.
NUMBER: Final = re.compile(
    rf"\s*[-+]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+|{_PARTED})(?:e[-+]?\d+)?|inf(?:inity)?|nan)\s*$", re.IGNORECASE
)
_GROUPED: Final = {mark: rf"\s*[-+]?[1-9]\d{{0,2}}(?:[{mark}]\d{{3}})+\s*$" for mark in ",."}  # 1,234 or 1.234.567
_BLANK_START: Final = re.compile(rb"(?:\xef\xbb\xbf|\s*[\r\n])*")  # byte order marks and blank lines
_BINARY: Final = re.compile(r"[\x00-\x08\x0e-\x1f]")  # control characters that no text holds


@dataclass(frozen=True)
class DelimitedText:
    """A table as text: what it holds, and how its cells are parted."""

    name: str  # the file, for messages
    content: pyarrow.Buffer  # UTF-8, without a byte order mark
    separator: str
    head: list[list[str]]  # the first rows, a header included; each may be shorter or longer than `width`
    width: int  # number of columns
    has_odd_quotes: bool  # a quote may be open to the end


def open_delimited(content: pyarrow.Buffer, name: str, max_rows: int = 1000, max_cells: int = 100_000) -> DelimitedText:
    """Find encoding (UTF-8, UTF-16, else Windows-1252) and separator (tab, semicolon, bar or comma).

    Args:
        content: the bytes of the file.
        name: the file, for messages.
        max_rows: rows of `head` at most.
        max_cells: cells of `head` at most, but never less than 20 rows.

    Raises:
        UserError: there is no text, or no separator parts it.
    """
    import pyarrow as pa

    content = as_utf8(content)
    stream = io.TextIOWrapper(pa.BufferReader(content), encoding="utf-8", newline="")
    lines = [line for line in itertools.islice(stream, 20) if line.strip()]
    if not lines:
        raise UserError(f"{name}: no text in it; export or copy it again")
    if any(map(_BINARY.search, lines)):
        raise UserError(f"{name}: not text in UTF-8, UTF-16 or Windows-1252; save it as CSV in UTF-8")
    stream.seek(0)
    try:
        separator = _separator(lines)
        width = max(len(row) for row in csv.reader(lines[:2], delimiter=separator))
        rows = (row for row in csv.reader(stream, delimiter=separator) if row)
        head = list(itertools.islice(rows, max(20, min(max_rows, max_cells // width))))
    except csv.Error as error:
        raise UserError(f"{name}: not readable as delimited text ({error}); save it as CSV in UTF-8") from error
    if width < 2:
        raise UserError(f"{name}: one column only ({lines[0].strip()[:60]!r}); part columns by comma, semicolon or tab")
    usual = Counter(len(row) for row in head[1:] or head).most_common(1)[0][0]
    if len(head[0]) == usual - 1:
        head[0] = add_missing_name(head[0], head[1:])
    return DelimitedText(name, content, separator, head, max(len(head[0]), usual), _count(content, b'"') % 2 == 1)


def add_missing_name(header: list[str], rows: Iterable[list[str]]) -> list[str]:
    """The names of columns with an empty one for the cell that the rows have more.

    It is the first one's, which R leaves out, or, where all rows end in a separator, the last one's.
    """
    width = len(header) + 1
    return ["", *header] if any(row[width - 1] for row in rows if len(row) >= width) else [*header, ""]


def as_utf8(content: pyarrow.Buffer) -> pyarrow.Buffer:
    """The same text in UTF-8, from its first line that is not blank: no byte order mark, no empty lines above a header.

    It comes in UTF-8, UTF-16, or else in Windows-1252.
    """
    import pyarrow as pa

    encoding = find_encoding(content)
    if encoding != "utf-8":
        content = pa.py_buffer(bytes(memoryview(content)).decode(encoding, errors="replace").encode())
    blank = _BLANK_START.match(memoryview(content))
    return content.slice(blank.end() if blank else 0)


def find_encoding(content: pyarrow.Buffer) -> str:
    """The encoding of a text: utf-16 if it is marked so, utf-8 if all of it can be read so, else cp1252."""
    view = memoryview(content)
    if bytes(view[:2]) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    step = 1 << 24
    try:
        for start in range(0, len(view), step):
            decoder.decode(view[start : start + step], final=start + step >= len(view))
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The separator that parts the most lines into the same number of cells; comma last: it may be a decimal point."""

    def agreement(separator: str) -> float:
        parted = csv.reader((line for line in lines if separator in line), delimiter=separator)
        widths = Counter(len(row) for row in parted if len(row) > 1)
        return max(widths.values(), default=0) / len(lines)

    return max("\t;|,", key=agreement)  # the first of equals


def read_delimited(
    text: DelimitedText, columns: Sequence[int], numbers: Collection[int], *, header: bool, decimal_point: str = "."
) -> tuple[list[pyarrow.ChunkedArray], list[str]]:
    """Read some columns, by position.

    Args:
        text: the table.
        columns: which columns, by position from 0.
        numbers: those of them that should be numbers: float64 where every cell of all of them is one or
            is empty (null), else strings.
        header: the first row is names, not data.
        decimal_point: '.' or ','.

    Returns:
        A column each, of float64 or dictionary-encoded strings, and the rows as they stand in the text
        that have more or fewer cells than the table; they come last, in their order, cut or filled up with empty cells.

    Raises:
        UserError: a cell has a line break in it: a quote that is not closed has swallowed the rows after it; or a
            cell is too long.
        ValueError: the text cannot be read as a table (pyarrow's ArrowInvalid).
    """
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    ragged: list[str] = []

    def read(number_type: pa.DataType, *, in_order: bool = False) -> list[pa.ChunkedArray]:
        ragged.clear()
        types = {i: number_type if i in numbers else words for i in columns}
        return _read_csv(text, types, header, decimal_point, ragged, in_order)

    try:
        found = read(pa.float64())
    except pa.ArrowInvalid:
        found = read(pa.string())
    if ragged:
        regular = read(pa.string(), in_order=True)  # threads meet ragged rows in an order of their own
        rows = [(_parse_row(text, line) + [""] * text.width)[: text.width] for line in ragged]
        found = [
            pa.chunked_array([*c.cast(pa.string()).chunks, pa.array([row[i] for row in rows], pa.string())])
            for i, c in zip(columns, regular, strict=True)
        ]
    _refuse_open_quote(text, columns, found, n_rows=int(header) + len(found[0]))
    return found, ragged


def _parse_row(text: DelimitedText, line: str) -> list[str]:
    if "\n" in line or "\r" in line:
        raise UserError(f"{text.name}: a line break within {line[:60]!r}; close or remove its quote")
    try:
        return next(csv.reader([line], delimiter=text.separator))
    except csv.Error as error:
        raise UserError(f"{text.name}, {line[:60]!r}...: {error}; mend or remove that row") from error


def _read_csv(
    text: DelimitedText,
    types: Mapping[int, pyarrow.DataType],
    header: bool,
    decimal_point: str,
    ragged: list[str],
    in_order: bool,
) -> list[pyarrow.ChunkedArray]:
    """The columns of `types`; rows of another width are left out and added to `ragged`, if need be in order."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    def skip(row: Any) -> str:
        ragged.append(row.text)
        return "skip"

    longest = 50 * text.width + max(sum(map(len, row)) for row in text.head)  # bytes of a row, generously
    table = arrow_csv.read_csv(
        pa.BufferReader(text.content),
        arrow_csv.ReadOptions(
            column_names=[str(i) for i in range(text.width)],
            skip_rows_after_names=int(header),
            block_size=max(1 << 22, 8 * longest),
            use_threads=not in_order,
        ),
        arrow_csv.ParseOptions(delimiter=text.separator, invalid_row_handler=skip),
        arrow_csv.ConvertOptions(
            include_columns=[str(i) for i in types],
            column_types={str(i): kind for i, kind in types.items()},
            null_values=[""],
            decimal_point=decimal_point,
        ),
    )
    return list(table.columns)


def _refuse_open_quote(
    text: DelimitedText, columns: Sequence[int], found: Sequence[pyarrow.ChunkedArray], n_rows: int
) -> None:
    """Refuse a table in which a quote that is not closed has swallowed rows: they would be lost silently."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, column in zip(columns, found, strict=True):
        for chunk in column.chunks if not pa.types.is_floating(column.type) else []:
            cells = chunk.dictionary if pa.types.is_dictionary(column.type) else chunk
            broken = pc.match_substring_regex(cells, "[\r\n]")
            if broken.true_count:
                start = cells.filter(broken)[0].as_py()[:60]
                raise UserError(
                    f"{text.name}, column {i + 1}: a line break within {start!r}; close or remove its quote"
                )
    if text.has_odd_quotes and n_rows < _count(text.content, b"\n"):
        raise UserError(f"{text.name}: a quote is opened and not closed; close or remove it")


def _count(content: pyarrow.Buffer, byte: bytes) -> int:
    values = np.frombuffer(content, np.uint8)
    step = 1 << 24
    return sum(int(np.count_nonzero(values[i : i + step] == ord(byte))) for i in range(0, len(values), step))


def thousands_mark(texts: pd.Series) -> str | None:
    """The comma or point that parts thousands in all of the texts; None where it may be that of decimals.

    It parts thousands if three digits follow wherever it stands and no number without it is longer, though some, like
    '987' beside '1,234', have all three.
    """
    for mark, grouped in _GROUPED.items():
        marked = texts.str.contains(mark, regex=False, na=False)
        plain = texts[~marked & texts.str.fullmatch(NUMBER, na=False)].str.strip().str.lstrip("+-")
        lengths = plain.str.len().where(plain.str.isdecimal(), np.inf)
        if marked.any() and lengths.max() == 3 and texts[marked].str.match(grouped).all():
            return mark
    return None


def parse_numbers(texts: pd.Series) -> NDArray[np.float64]:
    """Read numbers as people write them: '1,234.5', '1.234,5', '0,35', "1'000"; what is none is nan.

    A lone comma is a decimal point, and so is a point, unless all of the texts say that it parts thousands.
    """
    import pandas as pd

    texts = texts.astype(object)  # of pandas' own types some hold NA, which is neither true nor false
    if (mark := thousands_mark(texts)) is not None:
        texts = texts.str.replace(mark, "", regex=False)
    numbers = np.array(pd.to_numeric(texts, errors="coerce"), dtype=np.float64)
    odd = np.flatnonzero(np.isnan(numbers) & texts.notna().to_numpy())
    if len(odd) == 0:
        return numbers
    cells = texts.iloc[odd]
    cells = cells.where(cells.str.match(NUMBER).astype(bool), "").str.replace(rf"[\s{_GAPS}]", "", regex=True)
    comma_last = cells.str.rfind(",") > cells.str.rfind(".")
    decimal_comma = comma_last & (cells.str.count(",") == 1)
    with_comma = cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    with_point = cells.str.replace(",", "", regex=False)
    many_points = with_point.str.count(r"\.") > 1  # 1.234.567
    with_point = with_point.where(~many_points, with_point.str.replace(".", "", regex=False))
    numbers[odd] = pd.to_numeric(with_comma.where(decimal_comma, with_point), errors="coerce")
    return numbers


def parse_times(texts: pd.Series) -> tuple[NDArray[np.datetime64], list[str]]:
    """Read dates and times as people write them. An offset from UTC is cut off: the wall-clock time is kept.

    Whether a column has day/month/year or month/day/year is decided by the whole of it: which of the two
    exceeds 12 more often is the day; where neither does, the first is. Years of two digits are 1969 to 2068.

    Args:
        texts: (N,).

    Returns:
        (N,) datetime64[s], NaT where a text is no time, and remarks in words on what was assumed.
    """
    import pandas as pd

    texts = texts.astype(object)
    filled = texts.notna() & (texts != "")
    is_compact = texts.str.match(COMPACT_TIME).fillna(False).astype(bool)
    parts = texts.str.extract(COMPACT_TIME if is_compact.sum() > 0.8 * filled.sum() else TIME)
    number = {k: pd.to_numeric(parts[k], errors="coerce").to_numpy(dtype=np.float64) for k in "abcdefhms"}
    notes = []
    swap = False
    short = ~np.isnan(number["d"])
    if short.any():
        over = [int((number[k][short] > 12).sum()) for k in "de"]
        swap = over[1] > over[0]
        if min(over) > 0:
            notes.append("some dates are day/month/year and some month/day/year: all are read as the more frequent")
        if max(over) == 0:
            notes.append("no day or month exceeds 12: dates are read as day/month/year")
    day, month = ("e", "d") if swap else ("d", "e")
    century = np.where(number["f"] < 69, 2000, 1900)  # as POSIX has it: 68 is 2068, 69 is 1969
    year = np.where(short, number["f"] + np.where(number["f"] < 100, century, 0), number["a"])
    days, valid = _calendar_days(
        year, np.where(short, number[month], number["b"]), np.where(short, number[day], number["c"])
    )
    hour, minute, second = (np.nan_to_num(number[k]) for k in "hms")
    afternoon = parts["half"].str.lower()
    hour = np.where(afternoon.isin(["a", "p"]), hour % 12 + 12 * (afternoon == "p"), hour)
    valid &= (hour < 24) & (minute < 60) & (second <= 60) | (hour == 24) & (minute == 0) & (second == 0)
    seconds = days * 86_400 + (hour * 3600 + minute * 60 + second).astype(np.int64)
    zones = set(parts["zone"].dropna()) - {""}
    if zones and zones <= {"Z", "UTC", "GMT", "+00", "+0000", "+00:00"}:
        notes.append("times are in UTC and are kept so")
    elif zones:
        notes.append("times bear offsets from UTC; the wall-clock time is kept")
    return np.where(valid, seconds.astype("datetime64[s]"), np.datetime64("NaT", "s")), notes


def _calendar_days(
    year: NDArray[np.float64], month: NDArray[np.float64], day: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970 and whether there is such a day; 0 where there is none."""
    valid = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype(np.int64).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(valid, day - 1, 0).astype(np.int64)
    return days.astype(np.int64), valid & (days.astype("datetime64[M]") == months)
