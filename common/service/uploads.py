"""Uploaded tables: unpacked, refused where they would fill the memory, on disk while they are read."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from common.data.archives import ArchiveLimits, ZipStore
from common.data.delimited import as_utf8
from common.data.excel import MAX_CELLS
from common.data.parquet_pages import unpacked_size
from common.errors import UserError
from common.service.errors import ItemError
from common.service.scratch import scratch_folder

if TYPE_CHECKING:
    import pyarrow

MAX_UNPACKED_BYTES: Final = 64 * 2**20
MAX_COLUMNS: Final = 20_000
_ZIP: Final = b"PK\x03\x04"
_WORKBOOK: Final = "xl/workbook.xml"
_SEPARATORS: Final = ",;\t|"


@contextmanager
def uploaded_table(data: bytes, max_cells: int = MAX_CELLS) -> Iterator[Path]:
    """Yield the path of a table, which is gone afterwards; its suffix is what its first bytes call for.

    A zip of one file, or gzip, is unpacked. A text or parquet file of more than `max_cells` is refused.

    Raises:
        ItemError: it is damaged or too large, or the block raised a UserError, which is told without the path.
    """
    try:
        table = _unpacked(data)
        suffix = _suffix(table, max_cells)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ItemError("unreadable", "the file is damaged; copy or export it again") from error
    except UserError as error:
        raise ItemError("unreadable", str(error)) from error
    with scratch_folder() as folder:
        path = folder / f"upload{suffix}"
        path.write_bytes(table)
        try:
            yield path
        except UserError as error:
            raise ItemError("unreadable", str(error).replace(f"{folder}/", "")) from error


def _unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        with gzip.open(io.BytesIO(data)) as packed:
            table = packed.read(MAX_UNPACKED_BYTES + 1)
        _check("unpacks to", len(table), MAX_UNPACKED_BYTES, "bytes")
        return table
    if not data.startswith(_ZIP):
        return data
    with _open_zip(data) as store:
        if _WORKBOOK in store.names:
            return data
        if len(store.names) != 1:
            raise UserError(f"the archive holds {len(store.names)} files; send the table alone")
        return store.read(store.names[0])


def _open_zip(data: bytes) -> ZipStore:
    limits = ArchiveLimits(10_000, max_member_bytes=MAX_UNPACKED_BYTES, max_total_bytes=MAX_UNPACKED_BYTES)
    return ZipStore("the file", io.BytesIO(data), lambda size, at: data[at : at + size], limits)


def _suffix(table: bytes, max_cells: int) -> str:
    """.csv for whatever is not known; what cannot be read as such is told by who reads it."""
    if table.startswith(_ZIP):
        _open_zip(table).close()  # it may have come out of gzip; its reader counts the cells
        return ".xlsx"
    if table.startswith(b"PAR1"):
        _check_parquet(table, max_cells)
        return ".parquet"
    _check_text(table, max_cells)
    return ".csv"


def _check_parquet(table: bytes, max_cells: int) -> None:
    """Refuse what is small on disk and fills the memory: repeated values, lists of them, one long text many times."""
    import pyarrow.parquet as pq

    about = pq.ParquetFile(io.BytesIO(table))
    columns = [about.schema.column(i) for i in range(about.metadata.num_columns)]
    _check("holds", len(columns), MAX_COLUMNS, "columns")
    groups = [about.metadata.row_group(i) for i in range(about.num_row_groups)]
    n_values = [sum(group.column(i).num_values for group in groups) for i in range(len(columns))]
    _check("holds", sum(n_values), max_cells, "cells")
    _check("unpacks to", unpacked_size(table, about.metadata), MAX_UNPACKED_BYTES, "bytes")
    n_fixed = sum(n * column.length for n, column in zip(n_values, columns, strict=True) if column.length)
    _check("unpacks to", n_fixed, MAX_UNPACKED_BYTES, "bytes")
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    # As dictionaries equal texts are held once.
    held = pq.ParquetFile(io.BytesIO(table), read_dictionary=texts).read()
    n_text = sum(_text_bytes(chunk) for column in held.columns for chunk in column.chunks)
    _check("unpacks to", n_text, MAX_UNPACKED_BYTES, "bytes of text")


def _text_bytes(array: pyarrow.Array) -> int:
    """The bytes of all texts of a column read as dictionaries, in lists and records too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return pc.sum(pc.binary_length(array.dictionary).cast(pa.int64()).take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(map(_text_bytes, array.flatten()))
    return _text_bytes(array.flatten()) if pa.types.is_nested(array.type) else 0


def _check_text(table: bytes, max_cells: int) -> None:
    """Refuse long lines, and short ones below a long header: readers fill them up to its columns."""
    import pyarrow as pa

    for line in re.finditer(rb"[^\r\n]{%d,}" % MAX_COLUMNS, table):
        _check("holds", _width(line[0]), MAX_COLUMNS, "columns in a line")
    n_rows = max(table.count(b"\n"), table.count(b"\r"))
    text = as_utf8(pa.py_buffer(table))
    usual = max(_usual_width(text, separator) for separator in _SEPARATORS)
    _check("holds", n_rows * usual, max_cells, "cells")


def _usual_width(text: pyarrow.Buffer, separator: str) -> int:
    """The cells of the header, or of most rows below it if they have more; a row may be several lines, by quotes."""
    import pyarrow as pa

    lines = io.TextIOWrapper(pa.BufferReader(text), encoding="utf-8", newline="")
    widths: list[int] = []
    try:
        widths.extend(map(len, islice(filter(None, csv.reader(lines, delimiter=separator)), 1000)))
    except csv.Error as error:  # a cell longer than the module takes
        if not widths:
            raise ItemError("unreadable", f"the file has no header that can be read ({error})") from error
    return max(widths[:1] + [width for width, _ in Counter(widths[1:]).most_common(1)], default=0)


def _width(line: bytes) -> int:
    """The cells of a line, whichever separator it has; quotes are not looked at."""
    return 1 + max(map(line.count, _SEPARATORS.encode()))


def _check(what: str, found: int, most: int, unit: str) -> None:
    if found > most:
        raise ItemError("unreadable", f"the file {what} more than {most:,} {unit}; the command line takes it")
