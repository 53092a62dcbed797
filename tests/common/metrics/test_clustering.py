"""Agreement of clusterings: intervals, and Jaccard similarity against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from common.metrics.clustering import (
    adjusted_rand_index,
    adjusted_rand_interval,
    best_jaccard,
    mean_adjusted_rand_interval,
)

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40)


def test_interval_holds_the_index_and_shrinks_with_rows() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (100, 1600):
        labels = rng.integers(4, size=n)
        others = np.where(rng.random(n) < 0.2, rng.integers(4, size=n), labels)
        interval = adjusted_rand_interval(labels, others, n_resamples=200)
        assert interval.estimate == pytest.approx(adjusted_rand_score(labels, others))
        assert interval.low < interval.estimate < interval.high
        widths.append(interval.high - interval.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)  # the square root of 16


def test_interval_is_that_of_its_seed_and_its_resamples() -> None:
    rng = np.random.default_rng(0)
    labels, others = rng.integers(4, size=(2, 60))
    first, again, other = (adjusted_rand_interval(labels, others, 50, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    once = adjusted_rand_interval(labels, others, n_resamples=1)
    assert once.low == once.high


def test_interval_of_a_renamed_clustering_is_one() -> None:
    labels = np.random.default_rng(0).integers(3, size=300)
    same = adjusted_rand_interval(labels, np.array([7, -1, 5])[labels], n_resamples=50)
    assert (same.estimate, same.low, same.high) == (1, 1, 1)


def test_resampling_does_not_lift_chance_as_pairs_of_a_row_with_itself_would() -> None:
    rng = np.random.default_rng(0)
    labels, others = rng.integers(3, size=(2, 200))
    estimate = adjusted_rand_index(labels, others)
    draws = rng.integers(200, size=(500, 200))
    ours = [adjusted_rand_index(labels, others, np.bincount(rows, minlength=200)) for rows in draws]
    naive = [adjusted_rand_index(labels[rows], others[rows]) for rows in draws]
    assert np.mean(ours) == pytest.approx(estimate, abs=0.002)
    assert np.mean(naive) > estimate + 0.008
    interval = adjusted_rand_interval(labels, others)
    assert interval.low < 0 < interval.high


@given(LABELS)
def test_index_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, others = np.array(pairs).T
    assert adjusted_rand_index(labels, others) == pytest.approx(adjusted_rand_score(labels, others), abs=1e-9)


def test_numbers_of_clusters_may_be_any() -> None:
    labels, others = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 2, 2])
    names = np.array([10**12, 7, 3 * 10**18])  # such as account numbers
    index = adjusted_rand_score(labels, others)
    assert adjusted_rand_index(names[labels], names[others]) == pytest.approx(index)
    assert adjusted_rand_index(labels, names[others], np.ones(5, dtype=int)) == pytest.approx(index)
    assert best_jaccard(labels, names[others], 2).tolist() == best_jaccard(labels, others, 2).tolist()


def test_many_small_clusters_take_memory_by_rows_not_by_pairs_of_clusters() -> None:
    pairs = np.arange(1_000_000) // 2
    assert adjusted_rand_index(pairs, pairs) == 1


@given(LABELS, st.randoms())
def test_rows_drawn_never_or_twice_count_by_pairs_of_distinct_rows(pairs: list[tuple[int, int]], random) -> None:
    labels, others = np.array(pairs).T
    counts = np.array([random.choice([0, 1, 2]) for _ in pairs])
    drawn = np.repeat(np.arange(len(pairs)), counts)
    first, second = np.triu_indices(len(drawn), 1)
    distinct = drawn[first] != drawn[second]
    first, second = drawn[first][distinct], drawn[second][distinct]
    a, b = labels[first] == labels[second], others[first] == others[second]
    expected = a.mean() * b.mean() if len(a) else 0
    highest = (a.mean() + b.mean()) / 2 if len(a) else 0
    brute = ((a & b).mean() - expected) / (highest - expected) if abs(highest - expected) > 1e-12 else 1.0
    assert adjusted_rand_index(labels, others, counts) == pytest.approx(brute, abs=1e-9)


def test_mean_over_samples_has_a_narrower_interval_than_each() -> None:
    rng = np.random.default_rng(0)
    samples = []
    for n in (200, 150, 250, 200):
        labels = rng.integers(4, size=n)
        samples.append((labels, np.where(rng.random(n) < 0.2, rng.integers(4, size=n), labels)))
    single = [adjusted_rand_interval(*pair, n_resamples=200) for pair in samples]
    mean = mean_adjusted_rand_interval(samples, n_resamples=200)
    assert mean.estimate == pytest.approx(np.mean([interval.estimate for interval in single]))
    widths = [interval.high - interval.low for interval in single]
    assert (mean.high - mean.low) / np.mean(widths) == pytest.approx(0.5, rel=0.25)


@given(LABELS)
def test_best_jaccard_is_what_the_definition_says(pairs: list[tuple[int, int]]) -> None:
    labels, others = np.array(pairs).T
    found = best_jaccard(labels, others, 5)
    for cluster in range(5):
        if rows := {row for row, (label, _) in enumerate(pairs) if label == cluster}:
            candidates = [{row for row, (_, other) in enumerate(pairs) if other == number} for number in range(4)]
            assert found[cluster] == max(len(rows & other) / len(rows | other) for other in candidates)
        else:
            assert np.isnan(found[cluster])


@given(LABELS, st.permutations(range(4)))
def test_best_jaccard_does_not_depend_on_numbering(pairs: list[tuple[int, int]], numbering: list[int]) -> None:
    labels, others = np.array(pairs).T
    np.testing.assert_array_equal(best_jaccard(labels, others, 5), best_jaccard(labels, np.array(numbering)[others], 5))
    np.testing.assert_array_equal(best_jaccard(labels, labels, 5)[np.unique(labels)], 1)


def test_a_cluster_that_falls_in_halves_scores_a_half() -> None:
    assert best_jaccard(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2, 2]), 3)[:2].tolist() == [0.5, 1.0]


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        adjusted_rand_interval(np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match="same rows"):
        best_jaccard(np.zeros(3, int), np.zeros(2, int), 1)
    with pytest.raises(ValueError, match="label 2, with 2 clusters"):
        best_jaccard(np.array([0, 2]), np.array([0, 0]), 2)
    with pytest.raises(ValueError, match="integers, not float64 and int64"):
        adjusted_rand_index(np.array([0.5, 0.7, np.nan]), np.zeros(3, int))
    with pytest.raises(ValueError, match="negative"):
        best_jaccard(np.array([0, 1]), np.array([0, -1]), 2)
    assert np.isnan(best_jaccard(np.zeros(0, int), np.zeros(0, int), 2)).all()


def test_small_integer_types_do_not_wrap() -> None:
    labels = np.repeat(np.arange(20), 5)
    others = np.random.default_rng(0).permutation(labels)
    for small in (np.int8, np.uint8):
        assert adjusted_rand_index(labels.astype(small), others.astype(small)) == adjusted_rand_index(labels, others)
        jaccard = best_jaccard(labels.astype(small), others.astype(small), 20)
        np.testing.assert_array_equal(jaccard, best_jaccard(labels, others, 20))
