"""What pages unpack to, as their own headers say it."""

import io
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import parquet_pages
from common.data.parquet_pages import unpacked_size

TABLE = pa.table(
    {
        "number": np.arange(3000),
        "text": ["ä" * (i % 50) for i in range(3000)],
        "list": [[1.5] * (i % 3) for i in range(3000)],
        "nothing": pa.nulls(3000),
    }
)


def written(**options: object) -> bytes:
    stream = io.BytesIO()
    pq.write_table(TABLE, stream, row_group_size=700, data_page_size=1000, **options)
    return stream.getvalue()


def metadata(content: bytes) -> pq.FileMetaData:
    return pq.read_metadata(io.BytesIO(content))


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionaries", [True, False])
def test_it_is_what_an_honest_footer_says(compression: str, version: str, dictionaries: bool):
    content = written(compression=compression, data_page_version=version, use_dictionary=dictionaries)
    about = metadata(content)
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    claimed = sum(group.column(j).total_uncompressed_size for group in groups for j in range(about.num_columns))
    assert 0.7 * claimed < unpacked_size(content, about) <= claimed  # which counts the headers, too


def test_a_table_without_rows_has_its_dictionaries_alone():
    stream = io.BytesIO()
    pq.write_table(TABLE.slice(0, 0), stream)
    assert unpacked_size(stream.getvalue(), metadata(stream.getvalue())) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(4, 3000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_is_a_size_or_a_value_error(changes: list[tuple[int, int]]):
    honest = written()
    damaged = bytearray(honest)
    for place, byte in changes:
        damaged[place] = byte
    with suppress(ValueError):
        assert unpacked_size(bytes(damaged), metadata(honest)) >= 0


# Fields of a page's header as Thrift's compact protocol writes them: step to the next field and type, then the value.
KIND, UNPACKED_100, PACKED_3, END = b"\x15\x00", b"\x15\xc8\x01", b"\x15\x06", b"\x00"
PAGE = KIND + UNPACKED_100 + PACKED_3 + END + b"abc"


def size_of(content: bytes) -> int:
    """`unpacked_size` of a file that is one column's pages."""
    chunk = SimpleNamespace(data_page_offset=0, has_dictionary_page=False, total_compressed_size=len(content))
    group = SimpleNamespace(column=lambda _: chunk)
    return unpacked_size(content, SimpleNamespace(num_row_groups=1, num_columns=1, row_group=lambda _: group))


@pytest.mark.parametrize(
    "others",
    [
        b"",
        b"\x13\x2a",  # a byte
        b"\x17" + b"\x00" * 8,  # a double
        b"\x18\x05\x02\x15\x02\x15\x02",  # five bytes that look like numbers
        b"\x11\x12",  # true, false
        b"\x05\xc8\x01\x2a",  # field 100 by its number
        b"\x2c" * 4 + b"\x15\x2a" + END * 4,  # a record in a record in a record in a record
    ],
    ids=["nothing", "byte", "double", "bytes", "booleans", "far field", "records"],
)
def test_other_fields_are_passed_over(others: bytes):
    page = KIND + UNPACKED_100 + PACKED_3 + others + END + b"abc"
    assert size_of(page + PAGE) == 200


def test_fields_may_bear_their_numbers():
    assert size_of(b"\x05\x06\x06" + b"\x05\x04\xc8\x01" + END + b"abc") == 100  # 3, then 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (KIND + UNPACKED_100 + END, "pages of the parquet file are damaged"),
        (KIND + b"\x25\x06" + END + b"abc", "pages of the parquet file are damaged"),
        (KIND + b"\x15\x01" + PACKED_3 + END + b"abc", "pages of the parquet file are damaged"),  # -1 bytes
        (PAGE * 3, "pages of the parquet file are damaged"),  # more than two
        (KIND + b"\x19\x15", "header of a parquet page is damaged"),  # a list
        (b"\x1c" * 5 + END * 5, "header of a parquet page is damaged"),
        (b"\x15" + b"\xff" * 10 + b"\x01", "number in a parquet page is damaged"),
        (KIND + UNPACKED_100, "ends within a page"),
    ],
    ids=["no packed size", "no size", "negative", "too many", "list", "deep", "long number", "cut off"],
)
def test_what_no_writer_writes_is_refused(content: bytes, told: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parquet_pages, "_MAX_PAGES", 2)
    assert size_of(PAGE * 2) == 200
    with pytest.raises(ValueError, match=told):
        size_of(content)
