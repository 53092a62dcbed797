"""Tables of prose: the one table of a file, a zip or a folder, its cells as text, its columns under varying names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.data.archives import ArchiveLimits, MemberError, open_store
from common.data.cells import cell_text
from common.data.delimited import add_missing_name, as_utf8, find_encoding
from common.errors import UserError, first_line

SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".xlsx", ".txt")
_NO_SEPARATOR: Final = "\0"  # which no text holds
_LIMITS: Final = ArchiveLimits(max_member_bytes=4_000_000_000)


@dataclass(frozen=True)
class TextTable:
    """Rows of text cells under the names of their columns; a cell may hold line breaks."""

    path: Path  # the file, or the zip that holds it
    name: str  # for messages: the path, and the member of a zip
    columns: list[str]
    rows: list[list[str]]  # each as long as `columns`
    ragged: list[int]  # rows, from 1, that had more or fewer cells than columns and were cut or filled up
    encoding: str = ""  # of a delimited text; empty for other files
    separator: str = ""  # of a delimited text; empty where it has one column


def read_text_table(path: Path, ignore: str = "") -> TextTable:
    """Read a CSV (in UTF-8, UTF-16 or Windows-1252), parquet or Excel file, a zip of one, or a folder that holds one.

    A folder's zip is opened only where no table lies beside it, and a workbook or a .txt counts only where there is no
    other.

    Args:
        path: where the table is.
        ignore: files of a folder or zip whose names hold this are passed over; empty: none is.

    Raises:
        UserError: there is no such file, there are several, it cannot be read, or it has no rows.
    """
    path = Path(path)
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        return read_text_table(path / _only(path, names, ignore, or_zip=True), ignore)
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; give a CSV, parquet or Excel file, a zip of one, or a folder that holds one"
        )
    try:
        if path.suffix.lower() == ".zip":
            with open_store(path, _LIMITS) as store:
                member = _only(path, store.names, ignore)
                return _parse(path, f"{path}/{member}", store.read(member))
        _only(path, [path.name])
        return _parse(path, str(path), path.read_bytes())
    except (OSError, MemberError) as error:
        raise UserError(f"{path}: cannot be read ({error}); copy or download it again") from error


def find_columns(
    table: TextTable, names: Mapping[str, Sequence[str]], given: Mapping[str, str | None] | None = None
) -> dict[str, int]:
    """The position of each field's column; absent where there is none.

    Args:
        table: whose columns are looked at.
        names: of each field the names its column goes by, in lower case, letters and digits only, the surest first.
        given: of some fields the column's very name, which is then not looked for, nor taken for another field's; None:
            look.

    Raises:
        UserError: a given column is not in the table, or is given for two fields.
    """
    named: dict[str, int] = {}
    for field, name in (given or {}).items():
        if name is None:
            continue
        if name not in table.columns:
            raise UserError(f"{table.name}: no column {name!r}; it has {name_some(table.columns)}")
        position = table.columns.index(name)
        if other := next((earlier for earlier, i in named.items() if i == position), None):
            both = f"both {other} and {field}"
            raise UserError(f"{table.name}: {name!r} is named as the column of {both}; name another for one of them")
        named[field] = position
    plain = ["" if i in named.values() else re.sub(r"[^a-z0-9]", "", c.lower()) for i, c in enumerate(table.columns)]
    found: dict[str, int] = {}
    for field, usual in names.items():
        if field in named:
            found[field] = named[field]
        elif (position := next((plain.index(n) for n in usual if n in plain), -1)) >= 0:
            found[field] = position
    return found


def name_some(columns: Sequence[str]) -> str:
    """The first columns' names, for messages; without a header the first row may stand there, with whole texts."""
    return ", ".join(repr(name[:60]) for name in columns[:8]) + (" ..." if len(columns) > 8 else "")


def _only(path: Path, names: Sequence[str], ignore: str = "", or_zip: bool = False) -> str:
    names = [name for name in names if not ignore or ignore not in name.lower()]
    for kind in (SUFFIXES[:3], SUFFIXES[3:4], SUFFIXES[4:], (".zip",) if or_zip else ()):
        tables = [name for name in names if name.lower().endswith(kind)]
        if len(tables) == 1:
            return tables[0]
        if tables:
            raise UserError(f"{path}: holds {len(tables)} tables ({', '.join(tables[:5])}); name the file, or keep one")
    seen = ", ".join(names[:5]) or "nothing"
    raise UserError(f"{path}: no table, but {seen}; {', '.join(SUFFIXES)} and a .zip of one are read")


def _parse(path: Path, name: str, content: bytes) -> TextTable:
    if not content:
        raise UserError(f"{name}: the file is empty; export or copy it again")
    suffix, encoding, separator = Path(name).suffix.lower(), "", ""
    if suffix == ".parquet":
        columns, rows = _parquet(name, content)
    elif suffix == ".xlsx":
        from common.data.excel import read_workbook

        columns, rows = read_workbook(content, name)
    else:
        columns, rows, encoding, separator = _delimited(name, content)
    if not rows:
        raise UserError(f"{name}: no rows below the header ({name_some(columns)}); export it again")
    ragged = [i + 1 for i, row in enumerate(rows) if len(row) != len(columns)]
    full = [(row + [""] * len(columns))[: len(columns)] for row in rows]
    return TextTable(path, name, columns, full, ragged, encoding, separator)


def _parquet(name: str, content: bytes) -> tuple[list[str], list[list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(content))
        columns = [[cell_text(cell) for cell in column.to_pylist()] for column in table.columns]
    # Python's own are of texts that are not UTF-8, and of dates that it does not know.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{name}: not a readable parquet file ({first_line(error)}); copy or write it again") from error
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def _delimited(name: str, content: bytes) -> tuple[list[str], list[list[str]], str, str]:
    """Columns, rows, encoding and separator."""
    import pyarrow as pa

    buffer = pa.py_buffer(content)
    text = as_utf8(buffer).to_pybytes().decode("utf-8")
    if "\0" in text[:10_000]:
        raise UserError(f"{name}: not text in UTF-8, UTF-16 or Windows-1252; save it as CSV in UTF-8")
    try:
        separator = _separator(text)
        rows = [row for row in _read_rows(name, text, separator) if row]
        # One column; but where all rows have two, the first is R's, of names.
        if rows and len(rows[0]) == 1 and {*map(len, rows[1:])} != {2}:
            rows, separator = [row for row in _read_rows(name, text, _NO_SEPARATOR) if row], ""
    except csv.Error as error:
        raise UserError(f"{name}: not readable as delimited text ({error}); save it as CSV in UTF-8") from error
    if not rows:
        raise UserError(f"{name}: no text in it; export or copy it again")
    columns, rows = [cell.strip() for cell in rows[0]], rows[1:]
    if rows and len(columns) == min(map(len, rows)) - 1:
        columns = add_missing_name(columns, rows)
    return columns, rows, find_encoding(buffer), separator


def _separator(text: str) -> str:
    """The one that parts the header; of several the one that parts most rows into as many cells.

    Prose is full of commas and semicolons, so that what parts rows alone tells nothing.
    """

    def agreement(separator: str) -> tuple[float, int]:
        rows = csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=separator)
        width, *widths = [len(row) for row in rows if row] or [0]
        return (widths.count(width) / max(1, len(widths)) if width > 1 else -1.0), width

    return max(",\t;|", key=agreement)  # the first of equals


def _read_rows(name: str, text: str, separator: str) -> Iterator[list[str]]:
    """The rows of delimited text. Quotes that are sloppy within a line are taken as they come.

    Raises:
        UserError: a quote is opened and closed lines later by another cell's, or never: rows would be lost in a cell.
    """
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        start = reader.line_num
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "limit" in str(error):  # of a cell's length
                raise
            if reader.line_num > start + 1 or "end of data" in str(error):
                where = f"{name}, line {start + 1}"
                raise UserError(f"{where}: a quote is opened and not closed; close or remove it") from error
            yield next(csv.reader([lines[start]], delimiter=separator))
