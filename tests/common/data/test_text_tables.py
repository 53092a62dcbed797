"""Tables of prose in every wrapping, and what is refused."""

import csv
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.text_tables import find_columns, name_some, read_text_table
from common.errors import UserError

COLUMNS = ["id", "Plot Summary"]
ROWS = [["1", 'He said: "run; run", and ran.'], ["2", "Zwei\nZeilen, über alles"], ["3", ""]]


def zip_of(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def as_csv(separator: str = ",", columns: list[str] = COLUMNS, rows: list[list[str]] = ROWS) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator).writerows([columns, *rows])
    return stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_dialect_and_encoding_holds_the_same(tmp_path: Path, encoding: str, separator: str):
    (tmp_path / "films.csv").write_bytes(as_csv(separator).encode(encoding))
    table = read_text_table(tmp_path / "films.csv")
    assert (table.columns, table.rows, table.ragged) == (COLUMNS, ROWS, [])
    assert (table.path, table.name) == (tmp_path / "films.csv", str(tmp_path / "films.csv"))
    assert (table.encoding, table.separator) == (encoding.removesuffix("-sig"), separator)


def test_a_folder_a_zip_and_parquet_hold_the_same(tmp_path: Path):
    plain, zipped, mixed = (tmp_path / name for name in ("plain", "zipped", "mixed"))
    for folder in (plain, zipped, mixed):
        folder.mkdir()
    pd.DataFrame(ROWS, columns=COLUMNS).to_parquet(plain / "films.parquet")
    with zipfile.ZipFile(zipped / "films.zip", "w") as archive:
        archive.writestr("inside/films.csv", as_csv())
    (mixed / "films.tsv").write_text(as_csv("\t"), "utf-8")
    (mixed / "notes.txt").write_text("not a table")
    (mixed / "predictions.csv").write_text("id\n1\n")
    (mixed / "posters.zip").write_bytes(b"PK, and no more")
    (mixed / ".films.csv").write_text("hidden")
    (mixed / "films.csv").mkdir()
    for path in (plain, zipped, zipped / "films.zip"):
        assert read_text_table(path).rows == ROWS
    assert read_text_table(mixed, ignore="prediction").rows == ROWS
    of_zip, of_parquet = read_text_table(zipped), read_text_table(plain)
    assert (of_zip.path, of_zip.name) == (zipped / "films.zip", str(zipped / "films.zip/inside/films.csv"))
    assert (of_parquet.path, of_parquet.encoding, of_parquet.separator) == (plain / "films.parquet", "", "")
    with zipfile.ZipFile(zipped / "films.zip", "a") as archive:
        archive.writestr("predictions.csv", "id\n1\n")
    for path in (zipped, zipped / "films.zip"):
        assert read_text_table(path, ignore="prediction").rows == ROWS


def test_lists_are_parted_by_bars_and_nothing_is_empty(tmp_path: Path):
    pd.DataFrame({"id": [7, 8], "genres": [["War", "Drama"], None]}).to_parquet(tmp_path / "a.parquet")
    assert read_text_table(tmp_path).rows == [["7", "War|Drama"], ["8", ""]]


def test_texts_that_a_writer_marked_as_bytes_are_texts(tmp_path: Path):
    pd.DataFrame({"id": [b"7"], "names": [["Zoë".encode(), b"Jo"]]}).to_parquet(tmp_path / "a.parquet")
    assert read_text_table(tmp_path).rows == [["7", "Zoë|Jo"]]


@pytest.mark.parametrize(
    "column", [pa.array([10**15], pa.timestamp("s")), pa.array([b"\xff"])], ids=["a date beyond", "not UTF-8"]
)
def test_values_that_are_no_text_are_refused(tmp_path: Path, column: pa.Array):
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    with pytest.raises(
        UserError, match=r"a\.parquet: not a readable parquet file \(.*(too large|codec).*\); copy or write"
    ):
        read_text_table(tmp_path)


def test_only_the_header_tells_what_parts_the_columns(tmp_path: Path):
    path = tmp_path / "a.csv"
    for text, columns in (
        ("id,text\n1,a;b;c;d\n2,e;f;g;h\n", ["id", "text"]),
        ("\n\r\nid;text\n1;a\n", ["id", "text"]),
        ("\tid\ttext\n1\t2\ta\n", ["", "id", "text"]),
        ("\n \t\n\tid\ttext\n1\t2\ta\n", ["", "id", "text"]),
        ("Xid,XtextX\n1,a\n", ["Xid", "XtextX"]),
        ("id;text\r1;good, cheap, and fast\r", ["id", "text"]),
    ):
        path.write_text(text, newline="")
        assert read_text_table(path).columns == columns


def test_line_breaks_in_cells_stay_as_they_are(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b'id,text\r\n1,"two\r\nlines"\r\n')
    assert read_text_table(tmp_path).rows == [["1", "two\r\nlines"]]
    (tmp_path / "a.txt").write_bytes(b"id,text\r1,a\r2,b\r")
    assert read_text_table(tmp_path).rows == [["1", "a"], ["2", "b"]]


def test_a_cell_of_any_book_is_read_and_a_longer_one_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n1," + "x" * 200_000 + "\n")
    assert len(read_text_table(tmp_path).rows[0][1]) == 200_000
    (tmp_path / "a.csv").write_bytes(b"id,text\n1," + b"x" * (csv.field_size_limit() + 1) + b"\n")
    with pytest.raises(UserError, match=r"a\.csv: not readable as delimited text \(field larger than field limit"):
        read_text_table(tmp_path)


def test_threads_do_not_set_each_others_limit_of_a_cell(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n" + "1,x\n" * 20_000 + "2," + "x" * 200_000 + "\n")
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(read_text_table, [tmp_path] * 24))
    assert {len(table.rows) for table in tables} == {20_001}


def test_messages_name_eight_columns():
    assert name_some([*"abcdefgh"]) == "'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'"
    assert name_some([*"abcdefghi"]) == "'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' ..."


def test_rows_of_other_length_are_cut_or_filled_and_named(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2\n3,b,c\n")
    table = read_text_table(tmp_path)
    assert (table.rows, table.ragged) == ([["1", "a"], ["2", ""], ["3", "b"]], [2, 3])


def test_the_name_that_r_leaves_out_is_empty(tmp_path: Path):
    (tmp_path / "a.csv").write_text('"id","text"\n"1",10,"a"\n"2",11,"b"\n')
    assert read_text_table(tmp_path).columns == ["", "id", "text"]


def test_nothing_parts_the_rows_below_a_header_of_one_column(tmp_path: Path):
    (tmp_path / "a.txt").write_text('text\nWell, I do; mostly\nno\n"yes, but ""quietly"""\n')
    table = read_text_table(tmp_path)
    assert (table.columns, table.separator, table.ragged) == (["text"], "", [])
    assert table.rows == [["Well, I do; mostly"], ["no"], ['yes, but "quietly"']]
    (tmp_path / "a.txt").write_text('"text"\n"1","a, b"\n"2","c"\n')  # R's, with names of rows
    assert read_text_table(tmp_path).rows == [["1", "a, b"], ["2", "c"]]


def test_a_separator_at_the_end_of_rows_shifts_no_names(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n1,a,\n2,b,\n")
    table = read_text_table(tmp_path)
    assert (table.columns, table.rows, table.ragged) == (["id", "text", ""], [["1", "a", ""], ["2", "b", ""]], [])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "no table, but nothing"),
        ({"a.csv": b"id,text\n1,a\n", "b.csv": b"id,text\n1,a\n"}, r"holds 2 tables \(a.csv, b.csv\)"),
        ({"a.doc": b"id"}, "no table, but a.doc"),
        ({"a.csv": b""}, "empty"),
        ({"a.csv": b"\n\n"}, "no text"),
        ({"a.csv": b"id,text\n"}, r"no rows below the header \('id', 'text'\)"),
        ({"a.csv": b"x" * 1_000_000}, r"no rows below the header \('x{60}'\); export it again$"),  # a text on one line
        ({"a.csv": b"\x7fELF\0\0,\0\1"}, "not text"),
        ({"a.parquet": b"PAR1 and no more"}, "not a readable parquet file"),
        ({"a.zip": b"PK, and no more"}, "a.zip"),
        (
            {"a.zip": zip_of("b.zip", b"PK")},
            r"a\.zip: no table, but b\.zip; \.csv, \.tsv, .* and a \.zip of one are read",
        ),
        ({f"{i}.csv": b"id" for i in range(7)}, r"holds 7 tables \(0.csv, 1.csv, 2.csv, 3.csv, 4.csv\); name"),
        ({f"{i}.doc": b"id" for i in range(7)}, r"no table, but 0.doc, 1.doc, 2.doc, 3.doc, 4.doc; "),
        ({"a.csv": b'id,text\n1,a\n2,"open'}, r"a\.csv, line 3: a quote is opened and not closed"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, files: dict[str, bytes], told: str):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told) as error:
        read_text_table(tmp_path)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_file_given_by_its_name_is_told_as_a_folder_is(tmp_path: Path):
    damaged = zip_of("a.csv", b"id,text")
    (tmp_path / "a.doc").write_bytes(b"id")
    (tmp_path / "b.zip").write_bytes(damaged.replace(b"id,text", b"id,test"))
    (tmp_path / "c.xlsx").write_bytes(b"PK, and no more")
    for name, told in (("a.doc", "no table"), ("b.zip", "cannot be read .*checksum"), ("c.xlsx", "not a readable zip")):
        with pytest.raises(UserError, match=rf"{name}: {told}"):
            read_text_table(tmp_path / name)


def test_a_path_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none.csv: no such file"):
        read_text_table(tmp_path / "none.csv")


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")), min_size=2,
                         max_size=2), min_size=1, max_size=5))  # fmt: skip
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    path.write_text(as_csv(rows=rows), "utf-8", newline="")
    assert read_text_table(path).rows == rows


def test_columns_are_found_by_name_or_given(tmp_path: Path):
    (tmp_path / "a.csv").write_text("Film ID,Plot_Summary,extra\n1,a,b\n")
    table = read_text_table(tmp_path)
    names = {"movie_id": ("movieid", "filmid"), "synopsis": ("synopsis", "plotsummary"), "year": ("year",)}
    assert find_columns(table, names) == {"movie_id": 0, "synopsis": 1}
    assert find_columns(table, names, {"synopsis": "extra", "year": None}) == {"movie_id": 0, "synopsis": 2}
    with pytest.raises(UserError, match="no column 'plot'; it has 'Film ID', 'Plot_Summary', 'extra'"):
        find_columns(table, names, {"synopsis": "plot"})


def test_a_column_is_of_one_field(tmp_path: Path):
    (tmp_path / "a.csv").write_text("Category,category!,text,Text\n1,2,3,4\n")
    table = read_text_table(tmp_path)
    names = {"question": ("question",), "theme": ("theme", "category"), "response": ("text",)}
    assert find_columns(table, names) == {"theme": 0, "response": 2}
    assert find_columns(table, names, {"question": "Category"}) == {"question": 0, "theme": 1, "response": 2}
    assert find_columns(table, names, {"theme": "text"}) == {"theme": 2, "response": 3}
    told = r"a\.csv: 'text' is named as the column of both response and question; name another for one of them"
    with pytest.raises(UserError, match=told):
        find_columns(table, names, {"response": "text", "theme": None, "question": "text"})


@pytest.mark.parametrize(
    "rows",
    [
        '1,"never closed,x\n2,b,y\n3,c,z\n',  # to the end of the file
        '1,"never closed,x\n2,"b",y\n3,c,z\n',  # to the next cell that is quoted
    ],
)
def test_an_open_quote_swallows_no_rows(tmp_path: Path, rows: str):
    (tmp_path / "a.csv").write_text("id,title,text\n0,a,x\n" + rows)
    with pytest.raises(UserError, match=r"a\.csv, line 3: a quote is opened and not closed; close or remove it"):
        read_text_table(tmp_path)


def test_quotes_that_are_sloppy_within_a_line_are_taken_as_they_come(tmp_path: Path):
    text = 'id,title\n0,"So" he said\n1,a 5" nail\n2,"two\nlines"\n3,b\n'
    for separator in ",;":
        (tmp_path / "a.csv").write_text(text.replace(",", separator))
        rows = [["0", "So he said"], ["1", 'a 5" nail'], ["2", "two\nlines"], ["3", "b"]]
        assert read_text_table(tmp_path).rows == rows


@pytest.mark.parametrize(
    "header",
    ["What, if anything, do you like?;Age", '"What, if anything, do you like?";Age', "Age;Why, and since when"],
)
def test_commas_in_a_question_part_no_columns(tmp_path: Path, header: str):
    path = tmp_path / "survey.csv"
    path.write_text(f'{header}\nPay, mostly;31\nNothing;40\n"Pay; people, too";50\n')
    table = read_text_table(path)
    assert table.columns == header.replace('"', "").split(";")
    assert (table.rows[2], table.ragged, table.separator) == (["Pay; people, too", "50"], [], ";")


def test_a_question_alone_in_quotes_is_one_column(tmp_path: Path):
    path = tmp_path / "survey.csv"
    path.write_text('"What, if anything, do you like?"\nPay, mostly\nNothing\n')
    table = read_text_table(path)
    assert (table.columns, table.rows) == (["What, if anything, do you like?"], [["Pay, mostly"], ["Nothing"]])
