"""The rules as functions of arrays, against plain reckoning."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenges.radix_energy.repair import (
    DAY_S,
    HOUR_S,
    NO_TIME,
    RULES,
    Grid,
    Long,
    Repairs,
    as_grid,
    as_long,
    common_days,
    is_in_watts,
    merge_rows,
    to_hours,
)
from common.errors import UserError


def nobody(n: int = 2) -> Repairs:
    return Repairs(np.array([f"h{i}" for i in range(n)], dtype=object))


def table(codes: list[int], seconds: list[int], values: list[float]) -> Long:
    return Long(np.array(codes, np.int32), np.array(seconds, np.int64), np.array(values, np.float32))


def test_repairs_are_counted_with_examples():
    repairs = nobody()
    repairs.add("text", np.zeros(0, np.int32))
    assert repairs.found == {}
    repairs.add("text", np.array([0, 0, -1]), np.array([0, NO_TIME, 3600]), ["x", "y", "z"])
    repairs.add("text", np.array([1] * 9), np.arange(9), np.arange(9.0))
    entry = repairs.found["text"]
    assert (entry["readings"], entry["households"], entry["rule"]) == (12, 2, RULES["text"])
    assert entry["examples"][:3] == [
        {"household_id": "h0", "timestamp": "1970-01-01T00:00:00", "value": "x"},
        {"household_id": "h0", "value": "y"},
        {"household_id": "", "timestamp": "1970-01-01T01:00:00", "value": "z"},
    ]
    assert len(entry["examples"]) == 5
    repairs.add("text", np.array([1]))
    assert repairs.found["text"]["households"] == 2  # each is counted once
    assert (repairs.losses(1), nobody().losses(1)) == (["text"], [])


def test_a_complete_sorted_table_is_a_grid_and_back():
    grid = Grid(np.arange(3) * HOUR_S, np.arange(6, dtype=np.float32).reshape(2, 3))
    back = as_grid(as_long(grid), 2)
    assert isinstance(back, Grid)
    np.testing.assert_array_equal(back.values, grid.values)
    assert np.shares_memory(as_long(grid).values, grid.values)
    long = as_long(grid)
    for change in (
        long.take(np.array([0, 1, 2, 3, 5, 4])),
        long.take(np.arange(5)),
        long.take(np.array([3, 4, 5, 0, 1, 2])),
        Long(long.codes, long.seconds + np.array([0, 0, 0, 0, 0, HOUR_S]), long.values),
    ):
        assert isinstance(as_grid(change, 2), Long)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 71), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=200
    )
)
def test_hours_are_the_means_of_distinct_values(rows: list[tuple[int, int, float]]):
    frame = pd.DataFrame(rows, columns=["code", "hour", "value"])
    grid = to_hours(
        table(frame["code"].tolist(), (frame["hour"] * HOUR_S).tolist(), frame["value"].tolist()),
        is_power=False,
        repairs=nobody(3),
    )
    first, hours = int(grid.seconds[0]) // DAY_S, grid.values
    expected = frame.drop_duplicates().groupby(["code", "hour"])["value"].mean()
    days = expected.index.get_level_values("hour") // 24
    assert first == days.min()
    assert hours.shape == (3, (days.max() - first + 1) * 24)
    codes, columns = np.nonzero(np.isfinite(hours))
    assert list(zip(codes, columns + first * 24, strict=True)) == list(expected.index)
    np.testing.assert_allclose(hours[codes, columns], expected.to_numpy(), rtol=1e-6)


@pytest.mark.parametrize("per_hour", [1, 2, 3, 4, 6, 12, 60])
def test_the_cadence_is_the_most_frequent_step(per_hour: int):
    rng = np.random.default_rng(0)
    kept = np.sort(rng.choice(24 * per_hour, 20 * per_hour, replace=False))
    seconds = kept * (HOUR_S // per_hour)
    readings = table([0] * len(kept), seconds.tolist(), [1.0] * len(kept))
    hours = to_hours(readings, is_power=False, repairs=nobody(1)).values
    assert set(hours[np.isfinite(hours)]) == {float(per_hour)}


def test_a_grid_and_the_same_table_in_disorder_agree():
    rng = np.random.default_rng(0)
    values = rng.random((4, 100)).astype(np.float32)
    values[rng.random((4, 100)) < 0.2] = np.nan
    grid = Grid(np.arange(100) * HOUR_S + 5 * DAY_S, values)
    long = as_long(grid)
    hours = to_hours(grid, is_power=False, repairs=nobody(4))
    shuffled = to_hours(long.take(rng.permutation(400)), is_power=False, repairs=nobody(4))
    assert hours.seconds.tolist() == shuffled.seconds.tolist() == (5 * DAY_S + np.arange(120) * HOUR_S).tolist()
    np.testing.assert_array_equal(hours.values, shuffled.values)


def test_nothing_readable_gives_no_days():
    for empty in (
        table([], [], []),
        table([0, -1], [NO_TIME, 0], [1, 1]),
        Grid(np.zeros(0, np.int64), np.zeros((2, 0), np.float32)),
    ):
        assert to_hours(empty, is_power=False, repairs=nobody()).values.shape == (2, 0)


def test_common_days_leave_strays_out():
    usual = np.repeat(np.arange(100, 130), 100)
    assert common_days(np.append(usual, [0, 99, 131]), 100) == (100, 129)
    assert common_days(np.append(usual, [99] * 5), 100) == (99, 129)
    assert common_days(np.array([-700_000, 10, 11, 12]), 1) == (10, 12)  # one household: every day is 100 %
    assert common_days(np.arange(50), 50) == (0, 49)


def test_a_table_too_wide_for_memory_is_refused():
    with pytest.raises(UserError, match="2 households over 3 days are too many"):
        to_hours(table([0, 1], [0, 2 * DAY_S], [1, 1]), is_power=False, repairs=nobody(), max_cells=100)


def test_rows_of_one_household_are_merged_or_differ():
    values = np.array([[1, np.nan], [2, 2], [1, np.nan], [2, 3], [9, 9]], np.float32)
    repairs = nobody()
    merged, differing = merge_rows(np.array([0, 1, 0, 1, -1], np.int32), values, 2, repairs)
    np.testing.assert_array_equal(merged, values[:2])
    assert differing.tolist() == [1]
    assert repairs.found["merged"]["readings"] == repairs.found["no_household"]["readings"] == 1


def test_watts_are_told_by_most_readings_not_by_the_mean():
    hours = np.full((3, 100), 0.3, np.float32)
    hours[1] = 300
    hours[2, :40] = 90_000
    assert is_in_watts(hours, 20).tolist() == [False, True, False]
