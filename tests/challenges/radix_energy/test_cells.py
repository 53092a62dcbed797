"""Cells read as ids, times, hours and numbers."""

from datetime import date

import numpy as np
import pyarrow as pa

from challenges.radix_energy.cells import add_hours, read_hour_names, read_ids, read_numbers, read_seconds
from challenges.radix_energy.repair import NO_TIME, Repairs


def test_ids_come_in_the_order_they_appear():
    column = pa.chunked_array(
        [
            pa.DictionaryArray.from_arrays(pa.array([2, None, 1], pa.int8()), ["a", " ", "c"]),
            pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), ["a", "d"]),
        ]
    )
    ids, codes = read_ids(column)
    assert ids.tolist() == ["c", "d", "a"]
    assert codes.tolist() == [0, -1, -1, 1, 2]
    assert codes.dtype == np.int32
    ids, codes = read_ids(pa.chunked_array([[12.0, None, 7.0], [12.0]]))
    assert (ids.tolist(), codes.tolist()) == (["12", "7"], [0, -1, 1, 0])
    assert read_ids(pa.chunked_array([["007", "7"]]))[0].tolist() == ["007", "7"]
    ids, codes = read_ids(pa.chunked_array([["A1", "A1  ", " B2"]]))  # padded to one width
    assert (ids.tolist(), codes.tolist()) == (["A1", "B2"], [0, 0, 1])


def seconds_of(values: object, kind: pa.DataType | None = None) -> list[str]:
    seconds, _ = read_seconds(pa.chunked_array([pa.array(values, kind)]), None)
    return [str(s) for s in seconds.astype("datetime64[s]")]


def test_times_of_any_kind():
    noon = "2024-07-01T12:00:00"
    epoch = int(np.datetime64(noon, "s").astype(np.int64))
    assert seconds_of([noon, None, "x"]) == [noon, "NaT", "NaT"]
    for scale in (1, 10**3, 10**6, 10**9):
        assert seconds_of([epoch * scale]) == [noon]
    assert seconds_of([epoch * 1000, None], pa.timestamp("ms")) == [noon, "NaT"]
    assert seconds_of([epoch], pa.timestamp("s", tz="Europe/Brussels")) == ["2024-07-01T14:00:00"]
    assert seconds_of([date(2024, 7, 1)]) == ["2024-07-01T00:00:00"]


def test_numbered_hours_count_from_the_start():
    for names in ([f"hour_{i}" for i in (1, 2, 25)], ["h0", "h1", "h24"], ["0", "1", "24"]):
        seconds, notes = read_hour_names(pa.chunked_array([names]), 3, date(2023, 5, 6))
        assert (seconds - seconds[0]).tolist() == [0, 3600, 24 * 3600]
        assert str(seconds.astype("datetime64[s]")[0]) == "2023-05-06T00:00:00"
        assert "2023-05-06" in notes[0]
    seconds, notes = read_hour_names(None, 3, None)
    assert len(seconds) == 3
    assert "weekdays are not known" in notes[0]


def test_hours_of_the_day_beside_dates():
    day = np.zeros(3, np.int64)
    assert add_hours(day, pa.chunked_array([[0, 5, 23]])).tolist() == [0, 5 * 3600, 23 * 3600]
    assert add_hours(day, pa.chunked_array([[1, 5, 24]])).tolist() == [0, 4 * 3600, 23 * 3600]
    assert add_hours(day, pa.chunked_array([["00:30", "5:00", "x"]])).tolist() == [1800, 5 * 3600, NO_TIME]
    # Named by their ends, and on the day when clocks go back there is a 25th.
    assert add_hours(day, pa.chunked_array([["01:00", "5:00", "24:00"]])).tolist() == [0, 4 * 3600, 23 * 3600]
    assert add_hours(day, pa.chunked_array([["0:30", "5:00", "24:00"]])).tolist() == [0, 4.5 * 3600, 23.5 * 3600]
    assert add_hours(day, pa.chunked_array([[1, 5, 25]])).tolist() == [0, 4 * 3600, 24 * 3600]


def test_numbers_say_what_was_no_number():
    repairs = Repairs(np.array(["a"], dtype=object))

    def at(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(cells), np.int32), cells * 3600

    columns = [pa.chunked_array([["1.5", "x", ""]]), pa.chunked_array([["1,5", "nan", None]])]
    np.testing.assert_array_equal(
        read_numbers(columns, at, repairs), np.float32([1.5, np.nan, np.nan, 1.5, np.nan, np.nan])
    )
    assert repairs.found["text"]["readings"] == 1
    assert repairs.found["text"]["examples"][0]["timestamp"] == "1970-01-01T01:00:00"
    assert repairs.found["disguised"]["examples"][0]["value"] == "1,5"
    clean = read_numbers([pa.chunked_array([pa.array([1, None, 3])])], at, repairs)
    assert clean.dtype == np.float32
    assert clean.flags.writeable
