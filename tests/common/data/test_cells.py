"""A cell is the same text whatever file it comes from."""

import datetime
import io
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from common.data.cells import cell_text
from common.data.text_tables import read_text_table

ROWS = {
    "id": [27205.0, None],
    "when": [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 12, 31, 23, 59)],
    "share": [0.5, 2.0],
    "text": ["a", None],
}


def test_parquet_and_excel_say_the_same(tmp_path: Path):
    frame = pd.DataFrame(ROWS)
    frame.to_parquet(tmp_path / "a.parquet")
    book = openpyxl.Workbook()
    for row in [list(ROWS), *zip(*ROWS.values(), strict=True)]:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    (tmp_path / "a.xlsx").write_bytes(stream.getvalue())
    expected = [["27205", "2020-01-01T00:00:00", "0.5", "a"], ["", "2021-12-31T23:59:00", "2", ""]]
    for name in ("a.parquet", "a.xlsx"):
        assert read_text_table(tmp_path / name).rows == expected


@pytest.mark.parametrize(
    ("cell", "text"), [(float("nan"), ""), (float("inf"), "inf"), (["a", 7.0, None], "a|7|"), (True, "True"), (0, "0")]
)
def test_odd_cells(cell: object, text: str):
    assert cell_text(cell) == text
