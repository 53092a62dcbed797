"""Tables on disk: atomic writes, and parquet read against a declared schema."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError, first_line

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow

_ROW_GROUP_ROWS = 100_000
# The last: larger than the file system or `ulimit -f` allows.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TABLE_TYPES = (".parquet", ".json", ".csv")


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a new path beside `path`; what is written there becomes `path` when the block succeeds.

    Parent folders are made. On any exception, Ctrl-C included, the temporary file is removed and
    `path` keeps what it held. A reader sees the old file or the new one, never a part. Of a symbolic link the file
    that it leads to is replaced.

    Raises:
        UserError: the folder cannot be written, the disk is full, the path is not UTF-8, or there is something else
            than a file.
    """
    path = Path(path)
    temporary, _ = _claim(path)
    target = path.resolve()
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)  # noqa: PTH105 - the call whose atomicity we rely on
        _flush_to_disk(target.parent)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise UserError(f"cannot write {path}: {error.strerror}; free some space or choose another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path: Path, *inputs: Path) -> None:
    """Refuse before the work what could not be written after it, or would be written over what is read.

    Args:
        path: file that a command will write.
        inputs: files and folders that it reads. A file in such a folder may be written over if it is an earlier
            output, which has its report beside it.

    Raises:
        UserError: `path` cannot be written, or is an input.
    """
    _try(path)
    report = report_path(path)
    _try(report)
    if not path.exists():
        return
    target, is_output = path.resolve(), report.exists()
    for given in inputs:
        if target == given.resolve() or (given.resolve() in target.parents and not is_output):
            raise UserError(f"{path} is among what is read; choose another place to write")


def _try(path: Path) -> None:
    """Claim a place and leave it as it was."""
    trial, made = _claim(path)
    trial.unlink()
    for folder in made:
        with suppress(OSError):  # another process has begun to write there
            folder.rmdir()


def beside(path: Path, suffix: str) -> Path:
    """The file that goes with `path`: predictions.parquet and .report.json give predictions.report.json.

    What follows the last dot is kept where it is no type of table: run.1 gives run.1.report.json.
    """
    return path.with_name((path.stem if path.suffix.lower() in _TABLE_TYPES else path.name) + suffix)


def report_path(path: Path) -> Path:
    """Where the report on the output `path` is: predictions.parquet has predictions.report.json."""
    return beside(path, ".report.json")


def _claim(path: Path) -> tuple[Path, list[Path]]:
    """Make an empty temporary file beside what `path` leads to; and say which folders that took, inner first."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name a file to write")
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise UserError(f"{path} is a device or a pipe; name a file to write")
        if any("\ud800" <= character <= "\udfff" for character in str(target)):  # pyarrow takes UTF-8 only
            raise UserError(f"cannot write {path}: the path is not UTF-8; choose another place")
        made = [folder for folder in target.parents if not folder.exists()]
        # The suffix stays last: writers choose the format, or a compression, by it.
        temporary = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(6)}.tmp{target.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error
    except (RuntimeError, ValueError) as error:  # links in a circle, a name that no file can have
        raise UserError(f"cannot write {path}: {error}; choose another place") from error
    return temporary, made


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` without its index to `path`, atomically."""
    with replace_atomically(path) as temporary:
        frame.to_parquet(temporary, index=False)


def write_with_report(frame: pd.DataFrame, path: Path, report: object) -> None:
    """Write `frame` to `path` and `report` to `<path>.report.json` beside it: both, or neither where one fails."""
    with replace_atomically(path) as temporary:
        frame.to_parquet(temporary, index=False)
        write_json(report, report_path(path))


@contextmanager
def append_parquet(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Write a table of many frames to `path`, atomically, without holding all of them; yields `append(frame)`.

    Frames have the columns of the first, each with the dtype of the first that has a value there (among the first
    100,000 rows), and lose their index.

    Raises:
        ValueError: not one frame was appended, so that nobody knows the columns; or one has other columns.
    """
    import pyarrow
    import pyarrow.parquet

    writer: Any = None
    schema: pyarrow.Schema | None = None
    blank: pyarrow.Schema | None = None  # of a frame without rows, whose dtypes say nothing
    pending: list[pyarrow.Table] = []

    def flush() -> None:
        nonlocal writer
        writer = writer or pyarrow.parquet.ParquetWriter(temporary, schema or blank)
        if pending:
            writer.write_table(pyarrow.concat_tables(pending, promote_options="default"))
            pending.clear()

    with replace_atomically(path) as temporary:

        def append(frame: pd.DataFrame) -> None:
            nonlocal schema, blank
            if schema and {*map(str, frame.columns)} != {*schema.names}:  # one too many would be left out
                raise ValueError(f"{path}: a frame has the columns {[*frame.columns]}, the first {schema.names}")
            if writer is None:
                own = pyarrow.Schema.from_pandas(frame, preserve_index=False)
                if frame.empty:
                    blank = own
                    return
                schema = _fill_types(schema or own, own)
            pending.append(pyarrow.Table.from_pandas(frame, schema=schema, preserve_index=False))
            if sum(table.num_rows for table in pending) >= _ROW_GROUP_ROWS:
                # Small row groups would swell the file's footer and slow its readers.
                flush()

        try:
            yield append
            if schema is None and blank is None:
                raise ValueError(f"{path}: no frame was appended")
            flush()
        finally:
            if writer is not None:
                writer.close()


def _fill_types(schema: pyarrow.Schema, later: pyarrow.Schema) -> pyarrow.Schema:
    """`schema`, with the types of `later` for columns that have held nothing but nulls."""
    import pyarrow

    fields = [later.field(field.name) if field.type == pyarrow.null() else field for field in schema]
    return pyarrow.schema(fields, metadata=schema.metadata)


def write_json(obj: object, path: Path) -> None:
    """Write `obj` as indented UTF-8 JSON to `path`, atomically; see `json_text` for what is understood."""
    with replace_atomically(path) as temporary:
        temporary.write_text(json_text(obj, indent=2) + "\n", encoding="utf-8")


def json_text(obj: object, indent: int | None = None) -> str:
    """`obj` as strict JSON: NumPy values, dataclasses and paths are understood, NaN becomes null.

    Raises:
        TypeError: a value of another kind.
    """
    plain = _plain(obj)
    text = json.dumps(plain, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file's name in another encoding than UTF-8; only as escapes can it be written
        return json.dumps(plain, indent=indent, allow_nan=False)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None  # JSON has no NaN
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(v) for v in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read_parquet(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read `path`, with rows numbered from 0, and check it against `schema`.

    Raises:
        UserError: the file is missing or not parquet, or a value breaks the schema; the message names
            file, column, row (position from 0), value, and what is allowed.
    """
    return check_table(load_parquet(Path(path)), schema, path)


def check_table(frame: pd.DataFrame, schema: pa.DataFrameSchema, where: Path | str) -> pd.DataFrame:
    """Check `frame`, whose index holds the numbers of its rows in the file `where`, against `schema`.

    Raises:
        UserError: a value breaks the schema, as `read_parquet` says it.
    """
    import pandera.errors

    try:
        return schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        raise UserError(f"{where}: {_first_failure(errors, frame)}") from errors


def load_parquet(path: Path) -> pd.DataFrame:
    """Read `path` with rows numbered from 0, unchecked.

    Raises:
        UserError: the file is missing or not parquet.
    """
    import pandas as pd
    from pyarrow import ArrowException

    if not path.exists():
        raise UserError(f"{path}: no such file; name a parquet file")
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a parquet file")
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (OSError, ValueError, LookupError, TypeError, ArrowException) as error:
        raise UserError(f"{path}: not a readable parquet file ({first_line(error)}); copy or write it again") from error


def _first_failure(errors: Any, frame: pd.DataFrame) -> str:
    """The first broken rule of a pandera report as one line; rules on the whole table come first."""
    cases = errors.failure_cases
    row, check_of = cases["index"].fillna(-1).astype("int64"), cases["check"].astype(str)
    is_type = check_of.str.startswith(("dtype(", "coerce_dtype("))
    # A check of texts crashes on a column of numbers, and is no failure of its own: the type is what to say.
    crashed = (row < 0) & (cases["schema_context"] == "Column") & ~is_type
    cases = cases.assign(row=row, crashed=crashed).sort_values(["crashed", "row"], kind="stable")
    first = cases.iloc[0]
    column, check, value = first["column"], str(first["check"]), first["failure_case"]
    value = value.item() if hasattr(value, "item") else value  # 7, not np.int64(7)
    if check == "column_in_dataframe":
        text = f"column {value!r} is missing; the file has {', '.join(map(repr, frame.columns))}"
    elif check == "column_in_schema":
        text = f"column {value!r} does not belong; remove it"
    elif check.startswith(("dtype(", "coerce_dtype(")):
        wanted = check.partition("(")[2].strip("')").removesuffix("[pyarrow]")
        what = f"has type {value}" if first["row"] < 0 else f"has the value {value!r} in row {first['row']}"
        text = f"column {column!r} {what}; it must be {wanted}"
    elif first["schema_context"] == "DataFrameSchema" and first["row"] < 0:
        text = f"the table must satisfy {check}"
    elif first["row"] < 0:
        text = f"column {column!r} is {value!r}; it must satisfy {check}"
    else:
        text = f"column {column!r}, row {first['row']}: {value!r} is not allowed; {_rule(check)}"
    more = len(cases) - 1
    return text + (f" (and {more} more)" if more else "")


def _rule(check: str) -> str:
    words = {"not_nullable": "a value must be given", "field_uniqueness": "each value may stand only once"}
    return words.get(check, f"it must satisfy {check}")
