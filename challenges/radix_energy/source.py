"""The one table of a file, a zip or a folder: opened, and its columns read by position."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.data.archives import ArchiveLimits, MemberError, open_store
from common.data.delimited import NUMBER, TIME, open_delimited, read_delimited, thousands_mark
from common.errors import UserError

_TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
_SUFFIXES: Final = (*_TEXT_SUFFIXES, ".parquet", *(s + ".gz" for s in _TEXT_SUFFIXES))
# 100,000 households of 720 hours are 3 to 5 GB as CSV. Meter readings shrink up to about 100 times, a
# zip bomb 1000 times.
_LIMITS: Final = ArchiveLimits(max_members=10_000, max_member_bytes=12_000_000_000, max_ratio=400.0)
_HEAD_ROWS: Final = 1000
_HEAD_CELLS: Final = 40_000


@dataclass(frozen=True)
class Source:
    """A table whose columns are read by position."""

    name: str  # the file, for messages
    names: list[str]  # of the columns; 'column 1' ... where there is no header
    header: bool
    head: NDArray[np.object_]  # (rows, columns): the first cells as text; one row at least
    read: Callable[[Sequence[int], Collection[int]], tuple[list[pa.ChunkedArray], list[str]]]  # see `read_delimited`


def open_source(path: Path) -> Source:
    """Open a CSV (also .tsv, .txt, .gz) or parquet file, a zip of one of these, or a folder that holds one.

    Raises:
        UserError: there is no such file, there are several, or it holds no rows.
        pyarrow.ArrowException, OSError: it cannot be read; `Source.read` raises these too.
    """
    name, content = _open(path)
    if content.size == 0:
        raise UserError(f"{name}: the file is empty; export or copy it again")
    return _parquet(name, content) if name.lower().endswith(".parquet") else _delimited(name, content)


def _open(path: Path) -> tuple[str, pa.Buffer]:
    """The name of the one table, for messages and its kind, and its bytes."""
    if path.is_dir():
        found = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        return _open(path / _only(path, found, (*_SUFFIXES, ".zip")))
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a CSV or parquet file, a zip of one, or a folder that holds one")
    if path.suffix.lower() == ".zip":
        with open_store(path, _LIMITS) as store:
            member = _only(path, store.names, _SUFFIXES)
            try:
                return _unpacked(f"{path}/{member}", pa.py_buffer(store.read(member)))
            except MemberError as error:
                raise UserError(f"{path}: {error}; download or copy it again") from error
    if not path.name.lower().endswith(_SUFFIXES):
        raise UserError(f"{path}: {path.suffix or 'no suffix'} is not read; {', '.join(_SUFFIXES)} and .zip are")
    if path.stat().st_size == 0:  # cannot be mapped
        return str(path), pa.py_buffer(b"")
    return _unpacked(str(path), pa.memory_map(str(path)).read_buffer())


def _only(path: Path, names: Sequence[str], suffixes: tuple[str, ...]) -> str:
    tables = [name for name in names if name.lower().endswith(suffixes)]
    if len(tables) == 1:
        return tables[0]
    seen = ", ".join((tables or list(names))[:5]) or "nothing"
    if tables:
        raise UserError(f"{path}: holds {len(tables)} tables ({seen}); give a file or zip with one of them")
    raise UserError(f"{path}: holds no table, but {seen}; it must hold one file of {', '.join(_SUFFIXES)}")


def _unpacked(name: str, content: pa.Buffer) -> tuple[str, pa.Buffer]:
    """Expand gzip, never far beyond what honest readings need."""
    if not name.lower().endswith(".gz"):
        return name, content
    limit = int(min(_LIMITS.max_member_bytes, max(1_000_000, len(content) * _LIMITS.max_ratio)))
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: not readable as gzip ({error}); download or copy it again") from error
    if len(data) > limit:
        raise UserError(f"{name}: refused, expands to more than {limit} bytes")
    return name, pa.py_buffer(data)


def _delimited(name: str, content: pa.Buffer) -> Source:
    text = open_delimited(content, name, _HEAD_ROWS, _HEAD_CELLS)
    header = not looks_like_data(text.head)
    if header and len(text.head[0]) < text.width - 1:  # rows cut to it would lose their readings
        raise UserError(
            f"{name}: the first line ({','.join(text.head[0])[:60]!r}) has fewer cells than the rows below it "
            f"({len(text.head[0])}, not {text.width}); remove the lines above the header"
        )
    names = text.head[0] if header else [f"column {i + 1}" for i in range(text.width)]
    names = names + [""] * (text.width - len(names))
    rows = [(row + [""] * text.width)[: text.width] for row in text.head[int(header) :]]
    if not rows:
        raise UserError(f"{name}: no rows below the header ({', '.join(names[:8])}); export it again with readings")
    head = np.array(rows, dtype=object)
    commas, points = (
        sum(cell.count(mark) == 1 and cell.replace(mark, "").strip().lstrip("-").isdigit() for cell in head.flat)
        for mark in ",."
    )

    thousands = {thousands_mark(pd.Series(column)) for column in head.T}
    decimal_point = "," if "." in thousands or (commas > points and "," not in thousands) else "."

    def read(columns: Sequence[int], numbers: Collection[int]) -> tuple[list[pa.ChunkedArray], list[str]]:
        return read_delimited(text, columns, numbers, header=header, decimal_point=decimal_point)

    return Source(name, names, header, head, read)


def looks_like_data(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of `rows` holds readings, not names."""
    first, second = rows[0], (rows[1] if len(rows) > 1 else [])
    if any(TIME.match(a) and TIME.match(b) for a, b in zip(first, second, strict=False)):
        return True
    cells = [c.strip() for c in first[1:] if c.strip()]
    numbers = [c for c in cells if NUMBER.match(c) and not TIME.match(c)]
    names = len(set(numbers)) == len(numbers) and not any(c in cell for cell in numbers for c in ".,")
    return bool(first[0].strip()) and len(numbers) > 0.8 * len(cells) and len(numbers) > 1 and not names


def _parquet(name: str, content: pa.Buffer) -> Source:
    schema = pq.read_schema(pa.BufferReader(content))
    flat = [f.name for f in schema if not pa.types.is_nested(f.type) and not _is_binary(f.type)]
    texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
    if not flat or file.metadata.num_rows == 0:
        raise UserError(f"{name}: the table has no rows or no columns; write it again with readings")
    refuse_repeated(name, flat)
    first = next(file.iter_batches(min(_HEAD_ROWS, max(20, _HEAD_CELLS // len(flat))), columns=flat))
    head = np.array([_as_text(column) for column in first.columns], dtype=object).T

    def read(columns: Sequence[int], _: Collection[int]) -> tuple[list[pa.ChunkedArray], list[str]]:
        table = file.read([flat[i] for i in columns])
        return [table.column(flat[i]) for i in columns], []

    return Source(name, flat, True, head, read)


def refuse_repeated(name: str, columns: Sequence[str]) -> None:
    """Raise a UserError where two of the columns, which must be told apart, bear one name."""
    for column, count in Counter(columns).most_common(1):
        if count > 1:
            raise UserError(f"{name}: {count} columns are named {column!r}; rename or remove all but one")


def _is_binary(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary))


def _as_text(column: pa.Array) -> list[str]:
    if pa.types.is_timestamp(column.type):  # without its zone, whose name pyarrow may not know
        column = column.cast(pa.int64()).cast(pa.timestamp(column.type.unit))
    return [cell or "" for cell in column.cast(pa.string()).to_pylist()]
