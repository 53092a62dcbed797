"""What pages unpack to, as their own headers say it."""

import io
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(4, 3000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damage_is_a_size_or_a_value_error(changes: list[tuple[int, int]]):
    honest = written()
    damaged = bytearray(honest)
    for place, byte in changes:
        damaged[place] = byte
    with suppress(ValueError):
        assert unpacked_size(bytes(damaged), metadata(honest)) >= 0


def test_records_in_records_end():
    content = written()
    start = metadata(content).row_group(0).column(0).dictionary_page_offset
    deep = content[:start] + b"\x1c" * 2000 + content[start + 2000 :]
    with pytest.raises(ValueError, match="damaged"):
        unpacked_size(deep, metadata(content))
