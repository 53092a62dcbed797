"""Delimited text in any dialect."""

import csv
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.delimited import DelimitedText, open_delimited, parse_numbers, parse_times, read_delimited
from common.errors import UserError

CELLS = st.text(st.characters(codec="cp1252", exclude_categories=["C"]), max_size=6).filter(lambda c: '"' not in c)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS.filter(str.strip), min_size=3, max_size=3), min_size=3, max_size=6),
    separator=st.sampled_from("\t;|,"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_delimited_text_reads_back(rows: list[list[str]], separator: str, encoding: str) -> None:
    rows = [[cell.translate(dict.fromkeys(map(ord, "\t;|,"), "x")) for cell in row] for row in rows]
    data = "".join(separator.join(row) + "\n" for row in rows).encode(encoding)
    text = open_delimited(pyarrow.py_buffer(data), "a.csv")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if encoding == "cp1252" and not data.isascii():
            return  # also valid as UTF-8
    assert text.separator == separator
    assert text.head == rows
    columns, ragged = read_delimited(text, [2, 0], [], header=True)
    assert [column.to_pylist() for column in columns] == [[row[2] for row in rows[1:]], [row[0] for row in rows[1:]]]
    assert ragged == []


def test_rows_of_another_width_are_cut_or_filled_up() -> None:
    for separator in ",;":
        text = opened("a,b,c\n1,2,3\n4,5\n6,7,8,9\n1,,2\n".replace(",", separator).encode())
        (a, b, c), ragged = read_delimited(text, [0, 1, 2], [1], header=True)
        assert a.to_pylist() == ["1", "1", "4", "6"]
        assert b.to_pylist() == ["2", "", "5", "7"]
        assert c.to_pylist() == ["3", "2", "", "8"]
        assert ragged == [f"4{separator}5", separator.join("6789")]


def test_a_header_of_another_width_is_no_row() -> None:
    text = opened(b"a,b\n1,x,y,4\n2,z,w,4\n9,9,9,9,9\n")
    (first,), ragged = read_delimited(text, [0], [], header=True)
    assert (text.width, first.to_pylist(), ragged) == (4, ["1", "2", "9"], ["9,9,9,9,9"])


@pytest.mark.parametrize("blank", ["\n", "\r\n\r\n", "\ufeff\ufeff\n", " \t\r\n \n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_blank_lines_above_the_header_are_no_rows(blank: str, encoding: str) -> None:
    text = opened(f"{blank}\ta\tb\n\n1\t2\t3\n".encode(encoding))
    assert text.head == [["", "a", "b"], ["1", "2", "3"]]
    columns, ragged = read_delimited(text, [0, 1], [0, 1], header=True)
    assert [column.to_pylist() for column in columns] == [[1], [2]]
    assert ragged == []


def test_the_name_that_r_leaves_out_is_empty() -> None:
    text = opened(b"a,b\n1,x,y\n")
    assert (text.head, text.width) == ([["", "a", "b"], ["1", "x", "y"]], 3)
    assert opened(b"a,b,c\n1,x\n").head[0] == ["a", "b", "c"]


def test_a_separator_at_the_end_of_rows_shifts_no_names() -> None:
    text = opened(b"a;b\n1;2;\n3;4;\n")
    assert (text.head, text.width) == ([["a", "b", ""], ["1", "2", ""], ["3", "4", ""]], 3)
    columns, ragged = read_delimited(text, [0, 1], [0, 1], header=True)
    assert ([column.to_pylist() for column in columns], ragged) == ([[1, 3], [2, 4]], [])


def test_the_head_has_no_more_rows_and_cells_than_asked_for_but_twenty_rows() -> None:
    data = pyarrow.py_buffer(b"a,b\n" * 100)
    assert len(open_delimited(data, "a.csv").head) == 100
    assert len(open_delimited(data, "a.csv", max_rows=40).head) == 40
    assert len(open_delimited(data, "a.csv", max_cells=60).head) == 30
    assert len(open_delimited(data, "a.csv", max_rows=1).head) == 20


def test_line_ends_in_cells_and_bytes_of_no_encoding() -> None:
    assert opened(b'a,b\r\n"x\r\ny",2\r\n').head == [["a", "b"], ["x\r\ny", "2"]]
    assert opened(b"a,b\n\x81,caf\xe9\n").head[1] == ["\ufffd", "café"]
    assert opened(b"a,b\n1,caf\xe9").head[1] == ["1", "café"]  # in UTF-8 the last byte would begin a letter


def test_rows_longer_than_a_block_of_pyarrow() -> None:
    row = ",".join(["x" * 60] * 20_000)
    (first,), ragged = read_delimited(opened(f"{row}\n{row}\n{row}\n".encode()), [0], [], header=True)
    assert (len(first), ragged) == (2, [])


def test_a_ragged_row_may_end_in_a_lone_carriage_return() -> None:
    with pytest.raises(UserError, match=r"a line break within 'y,1,2,"):
        read_delimited(opened(b'a,b,c\nh,1,x\ny,1,2,"o\rp"\nh,1,x\n'), [0, 1], [1], header=True)


def test_letters_are_no_separators() -> None:
    text = opened(b"aX,bX\n1X,2X\n")
    assert (text.separator, text.head[1]) == (",", ["1X", "2X"])


@pytest.fixture
def several_threads() -> Iterator[None]:
    usual = pyarrow.cpu_count()
    pyarrow.set_cpu_count(4)
    yield
    pyarrow.set_cpu_count(usual)


def test_rows_of_another_width_keep_their_order(several_threads: None) -> None:
    odd = [f"{i},odd" for i in range(0, 400_000, 7_000)]
    rows = [f"{i},{i},{'x' * 30}" if i % 7_000 else odd[i // 7_000] for i in range(400_000)]
    text = opened("\n".join(["a,b,c", *rows, ""]).encode())  # several blocks
    columns, ragged = read_delimited(text, [0, 1], [0], header=True)
    assert ragged == odd
    assert columns[0].to_pylist()[-len(odd) :] == [row.partition(",")[0] for row in odd]


def test_rows_of_another_width_swallow_no_other() -> None:
    rows = [f"h{i},{i},x" for i in range(9)]
    open_twice = "\n".join(["a,b,c", *rows, 'y,1,2,"open', *rows, 'z,3,4,5",', *rows, ""])
    with pytest.raises(UserError, match=r"a\.csv: a line break within 'y,1,2,.*close or remove its quote"):
        read_delimited(opened(open_twice.encode()), [0, 1], [1], header=True)


def test_a_long_cell_in_a_row_of_another_width_is_cut_off_and_a_longer_one_refused(short_cells: None) -> None:
    rows = b"a,b\n" + b"1,2\n" * 1500
    (first,), ragged = read_delimited(opened(rows + b"3,4," + b"x" * 900 + b"\n"), [0], [], header=True)
    assert (first.to_pylist()[-1], len(ragged)) == ("3", 1)
    with pytest.raises(UserError, match=r"a\.csv, '3,4,xxx.*field larger than field limit.*remove that row"):
        read_delimited(opened(rows + b"3,4," + b"x" * 1001 + b"\n"), [0], [], header=True)


@pytest.fixture
def short_cells() -> Iterator[None]:
    usual = csv.field_size_limit(1000)
    yield
    csv.field_size_limit(usual)


def test_numbers_are_numbers_only_where_every_cell_is() -> None:
    text = open_delimited(pyarrow.py_buffer(b"a;b;c\n1,5;2;\n3;x;4\n"), "a.csv")
    columns, _ = read_delimited(text, [0, 2], [0, 2], header=True, decimal_point=",")
    assert [column.to_pylist() for column in columns] == [[1.5, 3.0], [None, 4.0]]
    columns, _ = read_delimited(text, [1, 2], [1, 2], header=True, decimal_point=",")
    assert [column.to_pylist() for column in columns] == [["2", "x"], ["", "4"]]
    columns, _ = read_delimited(opened(b"a,b\n1,2\nNA,3\n"), [0], [0], header=True)
    assert columns[0].to_pylist() == ["1", "NA"]


def test_numbers_as_people_write_them() -> None:
    cells = ["1.5", "1,234.5", "1.234,5", "0,35", "1'000", "1 000,5", "1,234,567", "1.234.567", "-,5", "1e3", "inf"]
    numbers = [1.5, 1234.5, 1234.5, 0.35, 1000, 1000.5, 1234567, 1234567, -0.5, 1000, np.inf]
    cells += ["12,34,567.8", "1'234'567.80", "1,5e3", "5,", "0001,5"]
    numbers += [1234567.8, 1234567.8, 1500, 5, 1.5]
    cells += ["1\u202f234,5", "1\u2019234.5", "1\u00a0234,5"]  # as French and Swiss programs part thousands
    numbers += [1234.5] * 3
    np.testing.assert_array_equal(parse_numbers(pd.Series(cells, dtype=object)), numbers)
    assert parse_numbers(pd.Series(["2", "1,5"], dtype=object)).tolist() == [2, 1.5]
    assert np.isnan(parse_numbers(pd.Series(["n/a", "", None, "-", "1.5 kWh", "2024-01-01"], dtype=object))).all()


@pytest.mark.parametrize("dtype", ["string", "str", "category", object])
def test_numbers_are_read_from_texts_of_every_type(dtype: str | type) -> None:
    for cells, numbers in ((["1,5", "x", None], [1.5, np.nan, np.nan]), (["987", "1,234", None], [987, 1234, np.nan])):
        np.testing.assert_array_equal(parse_numbers(pd.Series(cells, dtype=dtype)), numbers)


def test_what_marks_part_in_another_way_than_thousands_is_no_number() -> None:
    cells = ["1.2.3", "1,2,3", "10.12.2024", "192.168.1.1", "1 2", "06 12 34 56 78", "1,5.2", "1.234.56", "1,234.5,6"]
    assert np.isnan(parse_numbers(pd.Series(cells, dtype=object))).all()


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["987", "1,234", " -12,345 ", "7", "n/a"], [987, 1234, -12345, 7, np.nan]),
        (["987", "1.234", "1.234.567"], [987, 1234, 1234567]),
        (["0,350", "1,234", "987"], [0.35, 1.234, 987]),  # no number begins with a group of 0
        (["0", "7,412", "3,200"], [0, 7.412, 3.2]),  # a charger's kWh: nothing says that thousands are meant
        (["1,234", "987", "1234"], [1.234, 987, 1234]),
        (["1.234", "987", "0.5"], [1.234, 987, 0.5]),
    ],
)
def test_thousands_are_parted_where_the_whole_column_says_so(cells: list[str], numbers: list[float]) -> None:
    np.testing.assert_array_equal(parse_numbers(pd.Series(cells, dtype=object)), numbers)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-31T13:05:09.1234567+02:00", "2024-1-3"], ["2024-01-31T13:05:09", "2024-01-03T00:00:00"]),
        (["31/01/2024 13:05", "01/02/2024 24:00"], ["2024-01-31T13:05:00", "2024-02-02T00:00:00"]),
        (["01/31/24 1:05 PM", "02/01/24 12:00 am"], ["2024-01-31T13:05:00", "2024-02-01T00:00:00"]),
        (["31.12.2024", "30.02.2024"], ["2024-12-31T00:00:00", "NaT"]),
        (["202401311305", "20240131"], ["2024-01-31T13:05:00", "2024-01-31T00:00:00"]),
        (
            ["2024-01-31 25:00", "2024-01-31 10:60", "2024-01-31 10:00:61", "2024-01-31 24:30", "0.35", "", "noon"],
            ["NaT"] * 7,
        ),
        (["2024-00-10", "2024-13-10", "0000-01-01", "2024-01-00", "2024-01-32"], ["NaT"] * 5),
        (["0001-01-01", "2016-12-31 23:59:60"], ["0001-01-01T00:00:00", "2017-01-01T00:00:00"]),
        (["12/13/2024"], ["2024-12-13T00:00:00"]),  # 13 is no month
        (["31/12/99", "1/1/69", "1/1/68"], ["1999-12-31T00:00:00", "1969-01-01T00:00:00", "2068-01-01T00:00:00"]),
        (["20240131", "", "", None, None], ["2024-01-31T00:00:00"] + ["NaT"] * 4),
        (["2024-01-31", None, None], ["2024-01-31T00:00:00", "NaT", "NaT"]),
        (["2024-01-31", "2024-02-01", "20240203"], ["2024-01-31T00:00:00", "2024-02-01T00:00:00", "NaT"]),
    ],
)
def test_times_as_people_write_them(texts: list[str | None], expected: list[str]) -> None:
    assert [str(t) for t in parse_times(pd.Series(texts, dtype=object))[0]] == expected


def test_times_say_what_was_assumed() -> None:
    assert parse_times(pd.Series(["2024-01-31 13:00"]))[1] == []
    assert parse_times(pd.Series(["20240131"]))[1] == []
    zones = ["Z", " UTC", " GMT", "+00", "+0000", "+00:00"]
    for some in (zones, *([zone] for zone in zones)):
        texts = [f"2024-01-31T13:00{zone}" for zone in some]
        assert parse_times(pd.Series(texts))[1] == ["times are in UTC and are kept so"]
    assert "offsets" in parse_times(pd.Series(["2024-01-31T13:00Z", "2024-01-31T13:00+01:00"]))[1][0]
    times, notes = parse_times(pd.Series(["02/03/2024 13:00"]))
    assert str(times[0]) == "2024-03-02T13:00:00"
    assert notes == ["no day or month exceeds 12: dates are read as day/month/year"]
    assert "some month/day/year" in parse_times(pd.Series(["31/01/2024", "30/01/2024", "01/31/2024"]))[1][0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2199, 1, 1)), min_size=1, max_size=40))
def test_any_time_reads_back(times: list[datetime]) -> None:
    whole = [time.replace(microsecond=0) for time in times]
    read, _ = parse_times(pd.Series([time.isoformat() for time in whole]))
    np.testing.assert_array_equal(read, np.array(whole, "datetime64[s]"))


def opened(data: bytes) -> DelimitedText:
    return open_delimited(pyarrow.py_buffer(data), "a.csv")


def test_a_row_longer_than_a_cell_may_be() -> None:
    names = [f"{i:09}" for i in range(20_000)]
    text = opened((",".join(names) + "\n" + "1," * 19_999 + "1\n").encode())
    assert (text.separator, text.width, text.head[0]) == (",", 20_000, names)


def test_a_quote_that_is_not_closed_is_refused() -> None:
    rows = [f"h{i},{i},x" for i in range(9)]
    open_in_first = "\n".join(["a,b,c", *rows[:3], '"' + rows[3], *rows[4:6], '"' + rows[6], *rows[7:], ""])
    with pytest.raises(UserError, match=r"a\.csv, column 1: a line break within 'h3,3,x.*close or remove its quote"):
        read_delimited(opened(open_in_first.encode()), [0, 1], [1], header=True)
    open_in_unread = "\n".join(["a,b,c", *rows[:3], 'h3,3,"x', *rows[4:], ""])
    with pytest.raises(UserError, match=r"a\.csv: a quote is opened and not closed"):
        read_delimited(opened(open_in_unread.encode()), [0, 1], [1], header=True)
    three = "\n".join(["a,b,c", 'h,1,"y"', *rows[:3], 'h3,3,"x', *rows[4:], ""])
    with pytest.raises(UserError, match=r"a\.csv: a quote is opened and not closed"):
        read_delimited(opened(three.encode()), [0, 1], [1], header=True)
    inch = opened(b'a,b\n5" pipe,2\n"x, y",3\n')
    assert read_delimited(inch, [0], [], header=True)[0][0].to_pylist() == ['5" pipe', "x, y"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b" \n\n", "no text in it; export"),
        (b"a,b\n1,\x01\n", "not text in UTF-8, UTF-16 or Windows-1252; save it"),
        (b"a\n1\n", r"one column only \('a'\)"),
        (b"a", r"one column only \('a'\)"),
        (b"a,b\n1," + b"x" * (csv.field_size_limit() + 1) + b"\n", "not readable as delimited text .*; save it"),
    ],
)
def test_what_is_no_delimited_text_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=rf"a\.csv: {words}"):
        opened(data)
