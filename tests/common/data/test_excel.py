"""Excel workbooks, honest and otherwise."""

import datetime
import io
import zipfile
from pathlib import Path

import openpyxl
import pytest

from common.data.excel import read_workbook
from common.data.text_tables import read_text_table
from common.errors import UserError


def workbook(*sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def repacked(content: bytes, name: str, text: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, text if member == name else old.read(member))
    return stream.getvalue()


ROWS: list[list[object]] = [["id", "text", None], [7.0, "Zwei\nZeilen", None], [None, None, None], [2.5, None, None]]
SHEET = "xl/worksheets/sheet1.xml"


def sheet_of(rows: str) -> bytes:
    """A workbook whose sheet is written by hand."""
    start = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    return repacked(workbook([["a"]]), SHEET, f"{start}{rows}</sheetData></worksheet>".encode())


def with_broken_data(content: bytes) -> bytes:
    """A sheet whose compressed bytes are none."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.getinfo(SHEET)
    start = sheet.header_offset + 30 + len(sheet.filename)
    return content[:start] + b"\xff\xff" + content[start + 2 :]


def test_cells_become_text_and_empty_rows_and_columns_go():
    when = datetime.datetime(2026, 1, 31, 13, 0)
    columns, rows = read_workbook(workbook([*ROWS, [when, True]], []), "a.xlsx")
    assert columns == ["id", "text"]
    assert rows == [["7", "Zwei\nZeilen"], ["2.5", ""], ["2026-01-31T13:00:00", "True"]]


def test_a_workbook_is_a_table_and_gives_way_to_a_csv_beside_it(tmp_path: Path):
    (tmp_path / "a.xlsx").write_bytes(workbook([["id", "text"], [1, "x"], [2, "y", "more"]]))
    table = read_text_table(tmp_path)
    assert (table.columns, table.rows, table.ragged) == (["id", "text"], [["1", "x"], ["2", "y"]], [2])
    (tmp_path / "notes.txt").write_text("not a table")
    assert read_text_table(tmp_path).path == tmp_path / "a.xlsx"
    (tmp_path / "b.csv").write_text("id,text\n3,z\n")
    assert read_text_table(tmp_path).rows == [["3", "z"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK, and no more", "not a readable zip"),
        (workbook([], []), r"it has 0 \(none\)"),
        (workbook([["a"]], [["b"]]), r"it has 2 \('sheet 0', 'sheet 1'\)"),
        (repacked(workbook([["a"]]), SHEET, b"<worksheet"), "not a readable Excel workbook"),
        (sheet_of('<row r="1"><c r="A1" t="s"><v>99</v></c></row>'), r"not a readable Excel workbook \(list index"),
        (with_broken_data(workbook([["a"]])), "not a readable Excel workbook"),
        (repacked(workbook([["a"]]), SHEET, b" " * 30_000_000), "expands more than 200 times"),
        (
            repacked(
                workbook([["a"]]),
                SHEET,
                b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><worksheet>&b;</worksheet>',
            ),
            "not a readable Excel workbook",
        ),
    ],
    ids=["no zip", "empty", "two sheets", "broken", "no such text", "broken data", "bomb", "entities"],
)
def test_what_is_refused(content: bytes, message: str):
    with pytest.raises(UserError, match=rf"^a\.xlsx: .*{message}"):
        read_workbook(content, "a.xlsx")


def test_a_sheet_as_other_programs_write_it():
    header = (
        '<row r="1"><c r="A1" t="inlineStr"><is><t> id </t></is></c><c r="C1" t="str"><v>text</v></c><c r="D1"/></row>'
    )
    values = '<row r="2"><c r="A2"><v>7.0</v></c><c r="C2"><f>1+1</f><v>2</v></c><c r="D2"/></row>'
    empty = '<row r="3"><c r="A3"/><c r="B3" t="inlineStr"><is><t></t></is></c></row>'
    longer = '<row r="4"><c r="A4"><v>0.5</v></c><c r="D4"><v>1</v></c></row>'
    columns, rows = read_workbook(sheet_of(header + values + empty + longer), "a.xlsx")
    assert columns == ["id", "", "text"]
    assert rows == [["7", "", "2"], ["0.5", "", "", "1"]]


@pytest.mark.parametrize(
    "rows", [[16_384, 16_384], [4_000, 4_000, 4_000], [5_000, 1, 1, 1]], ids=["one row", "all rows", "the header"]
)
def test_a_cell_far_out_is_refused_before_memory_fills(rows: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("common.data.excel.MAX_CELLS", 10_000)
    book = openpyxl.Workbook()
    for row, column in enumerate(rows, start=1):
        book.active.cell(row, column, "far")
    stream = io.BytesIO()
    book.save(stream)
    with pytest.raises(UserError, match=r"^a\.xlsx: more than 10000 cells"):
        read_workbook(stream.getvalue(), "a.xlsx")


def test_all_sheets_share_the_limit_of_cells(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("common.data.excel.MAX_CELLS", 10_000)
    book = workbook([["id", "text"], [1, "x"]], *[[[None] * 3_999 + [None]] * 2] * 3)
    for number in (2, 3, 4):
        far = "".join(f'<row r="{row}"><c r="EWU{row}"/></row>' for row in (1, 2))
        text = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        book = repacked(book, f"xl/worksheets/sheet{number}.xml", f"{text}{far}</sheetData></worksheet>".encode())
    with pytest.raises(UserError, match="more than 10000 cells up to sheet 'sheet 2'"):
        read_workbook(book, "a.xlsx")
