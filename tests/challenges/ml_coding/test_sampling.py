"""Sampling: exact where it can be enumerated, chi-squared tests at fixed seeds where it cannot."""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from challenges.ml_coding.sampling import (
    random_integer,
    reservoir_l,
    reservoir_r,
    sample_stratified,
    sample_uniform,
    sample_weighted,
    sample_weighted_without_repeats,
)

N_TRIALS = 6_000


def p_value(drawn: Iterable[Hashable], shares: dict[Hashable, float]) -> float:
    """Of a chi-squared test that what was drawn has these shares."""
    counts = Counter(drawn)
    assert set(counts) <= set(shares)
    expected = np.array(list(shares.values())) * counts.total()
    return float(chisquare([counts[key] for key in shares], expected).pvalue)


def uniform(keys: Iterable[Hashable]) -> dict[Hashable, float]:
    keys = list(keys)
    return {key: 1 / len(keys) for key in keys}


def test_every_ordered_choice_is_equally_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = [tuple(sample_uniform(5, 3, rng).tolist()) for _ in range(N_TRIALS)]
    assert p_value(drawn, uniform(itertools.permutations(range(5), 3))) > 0.001


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**32), st.data())
def test_uniform_samples_have_no_repeats(n_rows: int, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, n_rows))
    sample = sample_uniform(n_rows, size, np.random.default_rng(seed))
    assert len(set(sample.tolist())) == len(sample) == size
    assert set(sample.tolist()) <= set(range(n_rows))


def test_a_few_of_very_many_rows_take_no_memory() -> None:
    assert len(set(sample_uniform(10**15, 1000, np.random.default_rng(0)).tolist())) == 1000


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.integers(0, 2**32), st.data())
def test_strata_get_their_share_to_within_a_row(strata: list[str], seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(strata)))
    sample = sample_stratified(strata, size, np.random.default_rng(seed)).tolist()
    assert len(set(sample)) == len(sample) == size
    assert sample == sorted(sample)
    got, there = Counter(strata[row] for row in sample), Counter(strata)
    for stratum, count in there.items():
        assert abs(got[stratum] - size * count / len(strata)) < 1


def test_rows_of_a_stratum_are_equally_likely() -> None:
    rng = np.random.default_rng(1)
    strata = ["x", "y", "x", "y", "x", "x"]
    drawn = [tuple(sample_stratified(strata, 3, rng).tolist()) for _ in range(N_TRIALS)]
    expected = uniform(tuple(sorted((*xs, y))) for xs in itertools.combinations((0, 2, 4, 5), 2) for y in (1, 3))
    assert p_value(drawn, expected) > 0.001


RESERVOIRS = pytest.mark.parametrize("reservoir", [reservoir_r, reservoir_l])
Reservoir = Callable[[Iterable[int], int, np.random.Generator], list[int]]


@RESERVOIRS
@pytest.mark.parametrize(("n_items", "size"), [(6, 2), (5, 4), (6, 1)])
def test_every_set_of_a_stream_is_equally_likely(reservoir: Reservoir, n_items: int, size: int) -> None:
    rng = np.random.default_rng(n_items)
    drawn = [frozenset(reservoir(iter(range(n_items)), size, rng)) for _ in range(N_TRIALS)]
    assert p_value(drawn, uniform(map(frozenset, itertools.combinations(range(n_items), size)))) > 0.001


@RESERVOIRS
def test_late_items_of_a_long_stream_are_as_likely(reservoir: Reservoir) -> None:
    rng = np.random.default_rng(7)
    drawn = [item * 10 // 2000 for _ in range(60) for item in reservoir(range(2000), 20, rng)]
    assert p_value(drawn, uniform(range(10))) > 0.001


@RESERVOIRS
def test_short_streams_are_kept_whole(reservoir: Reservoir) -> None:
    rng = np.random.default_rng(2)
    assert reservoir(iter([3, 1, 2]), 5, rng) == [3, 1, 2]
    assert reservoir(iter([3, 1, 2]), 3, rng) == [3, 1, 2]
    assert reservoir(iter([]), 4, rng) == []
    assert reservoir(iter([1, 2]), 0, rng) == []


class CountingGenerator:
    """A generator that counts how often it is asked."""

    def __init__(self, seed: int) -> None:
        self.rng, self.asked = np.random.default_rng(seed), 0

    def random(self) -> float:
        self.asked += 1
        return float(self.rng.random())

    def integers(self, high: int) -> int:
        self.asked += 1
        return int(self.rng.integers(high))


def test_algorithm_l_asks_for_few_random_numbers() -> None:
    counting = CountingGenerator(3)
    assert len(set(reservoir_l(range(50_000), 10, counting))) == 10
    assert counting.asked < 1000  # about 3 n (1 + log(N / n)); algorithm R asks 49,990 times


def test_weighted_draws_follow_the_weights() -> None:
    weights = [0.0, 3.0, 0.0, 1.0, 6.0, 0.0]
    drawn = sample_weighted(weights, N_TRIALS, np.random.default_rng(4)).tolist()
    assert p_value(drawn, {1: 0.3, 3: 0.1, 4: 0.6}) > 0.001


class Constant:
    """A generator whose uniform numbers are all one."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, size: int) -> np.ndarray:
        return np.full(size, self.value)


@pytest.mark.parametrize(("value", "row"), [(0.0, 1), (0.5, 3), (np.nextafter(1.0, 0.0), 3)])
def test_rows_without_weight_are_not_drawn_at_the_edges(value: float, row: int) -> None:
    assert sample_weighted([0.0, 1.0, 0.0, 1.0, 0.0], 1, Constant(value)).tolist() == [row]
    assert sample_weighted([0.0, 5e-324, 0.0, 5e-324, 0.0], 1, Constant(value))[0] in (1, 3)


def test_without_repeats_the_weight_left_decides() -> None:
    rng, weights = np.random.default_rng(5), [0.0, 1.0, 2.0, 5.0]
    drawn = [tuple(sample_weighted_without_repeats(weights, 2, rng).tolist()) for _ in range(N_TRIALS)]
    total = sum(weights)
    shares = {
        (i, j): weights[i] / total * weights[j] / (total - weights[i]) for i, j in itertools.permutations((1, 2, 3), 2)
    }
    assert p_value(drawn, shares) > 0.001
    assert sorted(sample_weighted_without_repeats(weights, 3, rng)) == [1, 2, 3]
    assert sample_weighted_without_repeats(weights, 0, rng).tolist() == []


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [np.nan, 1.0], [np.inf, 1.0], [1e308, 1e308], []])
def test_weights_that_mean_nothing_are_refused(weights: list[float]) -> None:
    for sample in (sample_weighted, sample_weighted_without_repeats):
        with pytest.raises(ValueError, match="weights"):
            sample(weights, 1, np.random.default_rng(0))


@pytest.mark.parametrize("strata", [[["a"], ["b"], ["c"]], [["a", "b"], ["a", "b"]], "a"])
def test_strata_that_are_not_one_a_row_are_refused(strata: object) -> None:
    with pytest.raises(
        ValueError, match=r"^strata .* are not \(N,\)"
    ):  # of a column one row would be drawn again and again
        sample_stratified(strata, 1, np.random.default_rng(0))


def test_more_rows_than_there_are_is_refused() -> None:
    rng = np.random.default_rng(0)
    for draw in (
        lambda: sample_uniform(3, 4, rng),
        lambda: sample_stratified(["a"] * 3, 4, rng),
        lambda: sample_weighted_without_repeats([1.0, 1.0, 1.0, 0.0], 4, rng),
        lambda: sample_uniform(3, -1, rng),
    ):
        with pytest.raises(ValueError, match="cannot draw"):
            draw()


@pytest.mark.parametrize("span", range(1, 18))
def test_every_number_comes_of_as_many_tosses(span: int) -> None:
    n_tosses = span.bit_length()
    found: Counter[int] = Counter()
    for tosses in itertools.product((0, 1), repeat=n_tosses):
        coin = iter([*tosses, *[0] * n_tosses])  # where these are rejected, the next round says 0
        number = random_integer(100, 100 + span, lambda coin=coin: next(coin))
        rejected = len(list(coin)) == 0
        found[number if not rejected else -1] += 1
    accepted = {number: count for number, count in found.items() if number != -1}
    assert accepted == dict.fromkeys(range(100, 101 + span), 1)
    assert found[-1] == 2**n_tosses - span - 1 < 2**n_tosses / 2


def test_a_single_number_needs_no_toss_and_large_ones_lose_none() -> None:
    assert random_integer(7, 7, lambda: pytest.fail("tossed")) == 7
    assert random_integer(-(2**100), 2**100, iter([1] + [0] * 101).__next__) == 2**100
    with pytest.raises(ValueError, match="above"):
        random_integer(2, 1, lambda: 0)


def test_same_seed_same_sample() -> None:
    for sample in (
        lambda rng: sample_uniform(100, 10, rng).tolist(),
        lambda rng: sample_stratified([0, 1] * 50, 10, rng).tolist(),
        lambda rng: reservoir_l(range(1000), 5, rng),
        lambda rng: sample_weighted_without_repeats(np.arange(50), 10, rng).tolist(),
    ):
        assert sample(np.random.default_rng(8)) == sample(np.random.default_rng(8))
