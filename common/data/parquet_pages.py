"""What the pages of a parquet file unpack to.

Each page begins with its own header, and a reader goes by that: the sums in the footer may say anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_MAX_PAGES: Final = 200_000
_MAX_DEPTH: Final = 4  # of records in a page's header; honest ones have three
# Thrift's compact protocol: types of fields, and those that are a number of variable length.
_BOOLEANS, _BYTE, _NUMBERS, _DOUBLE, _BINARY, _RECORD = (1, 2), 3, (4, 5, 6), 7, 8, 12
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3  # fields of PageHeader in parquet.thrift


def unpacked_size(content: bytes, metadata: pq.FileMetaData) -> int:
    """Bytes of all pages after decompression, read from their headers alone.

    Args:
        content: the file.
        metadata: its footer, which says where the pages are.

    Raises:
        ValueError: a header is damaged, or there are more pages than any honest writer makes.
    """
    total = n_pages = 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j in range(metadata.num_columns):
            chunk = group.column(j)
            at = chunk.data_page_offset
            # Of a column without rows it is 0.
            if chunk.has_dictionary_page and (at == 0 or 0 < chunk.dictionary_page_offset < at):
                at = chunk.dictionary_page_offset
            end = at + chunk.total_compressed_size
            while at < end:
                fields, at = _read_record(content, at)
                unpacked, packed = fields.get(_UNPACKED_SIZE, -1), fields.get(_PACKED_SIZE, -1)
                n_pages += 1
                if min(unpacked, packed) < 0 or n_pages > _MAX_PAGES:
                    raise ValueError("the pages of the parquet file are damaged")
                total += unpacked
                at += packed
    return total


def _read_record(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, int], int]:
    """The numbers in a record by field, and where it ends (Thrift's compact protocol)."""
    numbers: dict[int, int] = {}
    field = 0
    while (head := _byte(data, at)) != 0:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            field, at = _read_number(data, at)
        if kind in _NUMBERS:
            numbers[field], at = _read_number(data, at)
        elif kind == _BYTE:
            at += 1
        elif kind == _DOUBLE:
            at += 8
        elif kind == _BINARY:
            size, at = _read_varint(data, at)
            at += size
        elif kind == _RECORD and depth < _MAX_DEPTH:
            _, at = _read_record(data, at, depth + 1)
        elif kind not in _BOOLEANS:  # those are all in the type
            raise ValueError("the header of a parquet page is damaged")
    return numbers, at + 1


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    coded, at = _read_varint(data, at)
    return (coded >> 1) ^ -(coded & 1), at  # zigzag


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(data, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number in a parquet page is damaged")


def _byte(data: bytes, at: int) -> int:
    if not 0 <= at < len(data):
        raise ValueError("the parquet file ends within a page")
    return data[at]
