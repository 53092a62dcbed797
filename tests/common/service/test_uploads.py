"""What is taken for a table, and what unpacks to too much."""

import gzip
import io
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import UserError
from common.service import uploads
from common.service.errors import ItemError
from common.service.uploads import uploaded_table


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def parquet(n_rows: int, list_of: int = 0) -> bytes:
    out = io.BytesIO()
    column = pa.array([[0] * list_of] * n_rows) if list_of else pa.nulls(n_rows, pa.int8())
    pq.write_table(pa.table({"a": column}), out)
    return out.getvalue()


def repeated(text: str, n_rows: int, *, list_of: int = 1) -> bytes:
    out = io.BytesIO()
    column = pa.array([{"a": [text] * list_of}] * n_rows)
    pq.write_table(pa.table({"a": column}), out, compression="zstd", store_schema=False)
    return out.getvalue()


def fixed(width: int, n_rows: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array([bytes(width)] * n_rows, pa.binary(width))}), out)
    return out.getvalue()


def forged(content: bytes) -> bytes:
    """The same with a footer that says 1 byte where it said how much a column unpacks to."""
    chunk = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0)
    said = _varint(2 * chunk.total_uncompressed_size)
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    lie = b"\x82" + b"\x80" * (len(said) - 2) + b"\x00"
    assert content.count(said, start) >= 1
    return content[:start] + content[start:].replace(said, lie)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*digits, value])


def excel() -> bytes:
    out = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_excel(out)
    return out.getvalue()


CSV, PARQUET, EXCEL = b"a,b\n1,2\n", parquet(3), excel()


@pytest.mark.parametrize(
    ("data", "suffix", "table"),
    [
        (CSV, ".csv", CSV),
        (zipped("a.csv", CSV), ".csv", CSV),
        (gzip.compress(CSV), ".csv", CSV),
        (zipped("a.dat", PARQUET), ".parquet", PARQUET),
        (EXCEL, ".xlsx", EXCEL),
    ],
    ids=["plain", "zip", "gzip", "parquet in a zip", "excel"],  # packed bytes hold the time, so they name no test
)
def test_a_table_is_unpacked_named_by_its_first_bytes_and_gone_afterwards(data: bytes, suffix: str, table: bytes):
    with uploaded_table(data) as path:
        assert path.name == f"upload{suffix}"
        assert path.read_bytes() == table
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "bomb",
    [
        zipped("a.csv", bytes(1001)),
        gzip.compress(bytes(1001)),
        parquet(1001),
        parquet(1, list_of=1001),
        repeated("a" * 40, 30),
        repeated("a" * 40, 5, list_of=6),
        fixed(40, 30),
        forged(repeated("a" * 5_000, 1)),
        gzip.compress(zipped("xl/workbook.xml", bytes(1001))),
        zipped("a.xlsx", zipped("xl/workbook.xml", b"a" * 500 + bytes(600))),
        b"a" + b"," * 30 + b"\n" + b"b\n" * 40,  # a long header
        b"a\n" + b"b,,,,,,,,,,,\n" * 100,  # most lines longer than it
        b"\r\n" * 3 + b"a" + b"," * 30 + b"\n" + b"b\n" * 40,
        b"\xef\xbb\xbf\n" * 1100 + b"a" + b"," * 30 + b"\n" + b"b\n" * 40,
        ("\n\na" + "," * 30 + "\n" + "b\n" * 40).encode("utf-16"),
        b" \t\n" * 1100 + b"a" + b"," * 30 + b"\n" + b"b\n" * 40,
        b'"a\n\nb"' + b"," * 30 + b"\n" + b"b\n" * 40,
        b'"' + b"a\n" * 70_000 + b'"' + b"," * 30 + b"\n" + b"b\n" * 40,
        b"a,b,c,d\r" * 400,
        b"a\n" + b"," * 200,
        zipped("a.csv", b"a\n" + b"," * 200),
    ],
    ids=[
        *("zip", "gzip", "parquet", "lists", "one text", "one text in lists", "bytes of one width", "forged footer"),
        *("workbook in gzip", "workbook in a zip", "long header", "short header", "blank lines", "marks", "UTF-16"),
        *("white lines", "header of several lines", "header beyond the module's limit"),
        *("no line ends", "commas", "commas in a zip"),
    ],
)
def test_what_would_fill_the_memory_is_refused(bomb: bytes, monkeypatch: pytest.MonkeyPatch):
    for limit, most in (("MAX_UNPACKED_BYTES", 1000), ("MAX_COLUMNS", 100)):
        monkeypatch.setattr(uploads, limit, most)
    with (
        pytest.raises(ItemError, match=r"more than 1(,0)?00|expands to 1\d{3}|no header"),
        uploaded_table(bomb, max_cells=1000),
    ):
        pass


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped("a", b"b")[:20], "zip"),
        (gzip.compress(b"a")[:12], "damaged"),
        (b"PAR1 and no more", "damaged"),
    ],
    ids=["zip", "gzip", "parquet"],
)
def test_damaged_files_are_told(data: bytes, words: str):
    with pytest.raises(ItemError, match=words), uploaded_table(data):
        pass


def test_an_archive_of_several_files_and_errors_of_the_reader_are_told_without_the_path():
    two = io.BytesIO(zipped("a.csv", CSV))
    with zipfile.ZipFile(two, "a") as archive:
        archive.writestr("b.csv", CSV)
    with pytest.raises(ItemError, match="holds 2 files"), uploaded_table(two.getvalue()):
        pass
    with pytest.raises(ItemError, match=r"^upload\.csv: no answers$"), uploaded_table(b"a") as path:
        raise UserError(f"{path}: no answers")
