"""Bootstrap intervals against scipy, theory, and what grouping must do."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from common.metrics.bootstrap import Interval, bootstrap_interval


def test_plain_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=200)
    ours = bootstrap_interval(lambda rows: values[rows].mean(), 200, n_resamples=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.estimate == values.mean()
    spread = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.05 * spread)


def test_groups_of_one_are_the_plain_bootstrap() -> None:
    values = np.random.default_rng(0).normal(size=50)
    plain = bootstrap_interval(lambda rows: values[rows].mean(), 50)
    assert bootstrap_interval(lambda rows: values[rows].mean(), 50, groups=np.arange(50)) == plain
    nobody = np.array([None] * 50, dtype=object)
    assert bootstrap_interval(lambda rows: values[rows].mean(), 50, groups=nobody) == plain


def test_groups_are_drawn_whole_and_in_number() -> None:
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    seen: list[np.ndarray] = []

    def statistic(rows: np.ndarray) -> float:
        seen.append(rows)
        return 0.0

    bootstrap_interval(statistic, 6, groups=groups, n_resamples=50)
    assert seen[0].tolist() == [0, 1, 2, 3, 4, 5]
    for rows in seen[1:]:
        times = np.bincount(rows, minlength=6)
        drawn = [set(times[groups == name]) for name in "abc"]
        assert all(len(counts) == 1 for counts in drawn)
        assert sum(counts.pop() for counts in drawn) == 3


def test_repeats_within_groups_widen_the_interval_as_theory_says() -> None:
    # 50 contributors with 20 equal photos each are 50 observations, not 1000: wider by sqrt(20)
    values = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    by_row = bootstrap_interval(lambda rows: values[rows].mean(), 1000)
    by_group = bootstrap_interval(lambda rows: values[rows].mean(), 1000, groups=np.arange(1000) // 20)
    widening = (by_group.high - by_group.low) / (by_row.high - by_row.low)
    assert widening == pytest.approx(math.sqrt(20), rel=0.1)


def test_same_seed_same_interval_and_wider_at_a_higher_level() -> None:
    values = np.random.default_rng(0).normal(size=100)
    first, again, wider, other = (
        bootstrap_interval(lambda rows: values[rows].mean(), 100, level=level, seed=seed)
        for level, seed in [(0.9, 0), (0.9, 0), (0.99, 0), (0.9, 1)]
    )
    assert first == again
    assert first != other
    assert wider.low < first.low < first.estimate < first.high < wider.high


def test_a_difference_is_paired() -> None:
    # b is a with noise a tenth as large: apart they overlap, paired the difference is clear
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    b = a + 0.1 + rng.normal(size=100) * 0.1
    difference = bootstrap_interval(lambda rows: b[rows].mean() - a[rows].mean(), 100)
    assert 0 < difference.low < 0.1 < difference.high < 0.2


def test_undefined_resamples_are_left_out() -> None:
    values = np.array([np.nan] * 3 + [1.0])

    def mean_of_defined(rows: np.ndarray) -> float:
        defined = values[rows][~np.isnan(values[rows])]
        return float(defined.mean()) if len(defined) else math.nan

    assert bootstrap_interval(mean_of_defined, 4) == Interval(1.0, 1.0, 1.0)
    never = bootstrap_interval(lambda _: math.nan, 4)
    assert np.isnan([never.estimate, never.low, never.high]).all()


def test_an_infinite_loss_makes_the_bound_infinite() -> None:
    losses = np.array([math.inf] + [1.0] * 9)  # drawn in about two of three resamples
    assert bootstrap_interval(lambda rows: losses[rows].mean(), 10) == Interval(math.inf, 1.0, math.inf)
    assert bootstrap_interval(lambda rows: -losses[rows].mean(), 10) == Interval(-math.inf, -math.inf, -1.0)


def test_a_single_group_has_no_interval() -> None:
    interval = bootstrap_interval(lambda rows: float(len(rows)), 3, groups=np.zeros(3))
    assert interval.estimate == 3
    assert np.isnan([interval.low, interval.high]).all()


def test_what_cannot_be_resampled_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot resample 0 rows"):
        bootstrap_interval(lambda _: 0.0, 0)
    with pytest.raises(ValueError, match="3 rows with 2 groups"):
        bootstrap_interval(lambda _: 0.0, 3, groups=np.zeros(2))


def test_interval_reads_well() -> None:
    assert str(Interval(0.9123, 0.89, 0.9311)) == "0.912 [0.890, 0.931]"


def test_a_thousand_resamples_of_700_rows_take_about_a_second() -> None:
    hits = np.random.default_rng(0).random(700) < 0.9
    started = time.process_time()
    bootstrap_interval(lambda rows: hits[rows].mean(), 700, groups=np.arange(700) // 2)
    assert time.process_time() - started < 2


def test_bounds_are_percentiles_of_the_resamples() -> None:
    numbers = np.random.default_rng(0).exponential(size=40)
    seen: list[float] = []

    def mean(rows: np.ndarray) -> float:
        seen.append(float(numbers[rows].mean()))
        return seen[-1]

    interval = bootstrap_interval(mean, len(numbers), n_resamples=300, level=0.8)
    assert seen[0] == interval.estimate == pytest.approx(numbers.mean())
    assert len(seen) == 301
    assert [interval.low, interval.high] == pytest.approx(np.quantile(seen[1:], [0.1, 0.9]))
