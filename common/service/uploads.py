"""Uploaded tables: unpacked, refused where they would fill the memory, on disk while they are read."""

from __future__ import annotations

import gzip
import io
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from common.data.archives import ArchiveLimits, ZipStore
from common.errors import UserError
from common.service.errors import ItemError

MAX_UNPACKED_BYTES: Final = 64 * 2**20
MAX_COLUMNS: Final = 20_000
MAX_CELLS: Final = 20_000_000
_ZIP: Final = b"PK\x03\x04"


@contextmanager
def uploaded_table(data: bytes) -> Iterator[Path]:
    """Yield the path of a table, which is gone afterwards; its suffix is what its first bytes call for.

    A zip of one file, or gzip, is unpacked.

    Raises:
        ItemError: it is damaged or too large, or the block raised a UserError, which is told without the path.
    """
    try:
        table = _unpacked(data)
        suffix = _suffix(table)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ItemError("unreadable", "the file is damaged; copy or export it again") from error
    except UserError as error:
        raise ItemError("unreadable", str(error)) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{suffix}"
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
    limits = ArchiveLimits(10_000, max_member_bytes=MAX_UNPACKED_BYTES, max_total_bytes=MAX_UNPACKED_BYTES)
    with ZipStore("the file", io.BytesIO(data), lambda size, at: data[at : at + size], limits) as store:
        if "xl/workbook.xml" in store.names:
            return data
        if len(store.names) != 1:
            raise UserError(f"the archive holds {len(store.names)} files; send the table alone")
        return store.read(store.names[0])


def _suffix(table: bytes) -> str:
    """.csv for whatever is not known; what cannot be read as such is told by who reads it."""
    if table.startswith(_ZIP):
        return ".xlsx"  # its reader counts the cells
    if table.startswith(b"PAR1"):
        import pyarrow.parquet as pq

        # A column of one value weighs nothing, and fills the memory; a cell may be a list of them.
        about = pq.ParquetFile(io.BytesIO(table)).metadata
        _check("holds", about.num_columns, MAX_COLUMNS, "columns")
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        n_values = sum(group.column(i).num_values for group in groups for i in range(about.num_columns))
        _check("holds", n_values, MAX_CELLS, "cells")
        return ".parquet"
    _check_text(table)
    return ".csv"


def _check_text(table: bytes) -> None:
    """Refuse long lines, and short ones below a long header: readers fill them up to its columns."""
    for line in io.BytesIO(table):
        if len(line) > MAX_COLUMNS:
            _check("holds", _width(line), MAX_COLUMNS, "columns in a line")
    first, *others = [_width(line) for line in islice(io.BytesIO(table), 1000)] or [0]
    usual = max(first, Counter(others or [0]).most_common(1)[0][0])
    n_rows = max(table.count(b"\n"), table.count(b"\r"))
    _check("holds", n_rows * usual, MAX_CELLS, "cells")


def _width(line: bytes) -> int:
    """The cells of a line, whichever separator it has; quotes are not looked at."""
    return 1 + max(line.count(separator) for separator in (b",", b";", b"\t", b"|"))


def _check(what: str, found: int, most: int, unit: str) -> None:
    if found > most:
        raise ItemError("unreadable", f"the file {what} more than {most:,} {unit}; the command line takes it")
