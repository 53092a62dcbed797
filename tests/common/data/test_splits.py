"""Splits: nothing that belongs together is separated."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import splits
from common.data.splits import grouped_folds, join_groups, near_duplicate_groups
from common.errors import UserError


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a[:, None] == a) == (b[:, None] == b)).all())


def union_by_hand(n_rows: int, related: list[tuple[int, int]]) -> np.ndarray:
    """The slow and obvious way: relabel until nothing changes."""
    groups = np.arange(n_rows)
    for _ in range(n_rows):
        for i, j in related:
            groups[[i, j]] = min(groups[i], groups[j])
    return groups


def test_folds_keep_groups_whole_and_strata_even() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(200, size=1000)
    strata = np.array(["shirt", "dress", "rare"])[rng.choice(3, size=1000, p=[0.5, 0.46, 0.04])]

    folds = grouped_folds(strata, groups, n_folds=5, seed=3)

    assert folds.dtype == np.int64
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    for stratum, share in (("shirt", 0.5), ("dress", 0.46), ("rare", 0.04)):
        shares = [np.mean(strata[folds == fold] == stratum) for fold in range(5)]
        assert np.allclose(shares, share, atol=0.05)


def test_folds_repeat_by_seed() -> None:
    strata, groups = np.arange(60) % 3, np.arange(60) // 2
    first = grouped_folds(strata, groups, seed=1)
    assert np.array_equal(first, grouped_folds(strata, groups, seed=1))
    assert not np.array_equal(first, grouped_folds(strata, groups, seed=2))


def test_rows_without_a_group_are_spread() -> None:
    folds = grouped_folds(np.zeros(50), np.array([None] * 50, dtype=object), n_folds=5)
    assert np.array_equal(np.bincount(folds), [10] * 5)


@pytest.mark.parametrize("n_rows", [0, 1, 3])
def test_too_few_groups_for_the_folds(n_rows: int) -> None:
    with pytest.raises(UserError, match=f"only {n_rows} independent groups, too few for 5 folds"):
        grouped_folds(np.zeros(n_rows * 10), np.repeat(np.arange(n_rows), 10), n_folds=5)


def test_too_few_rows_of_every_stratum_for_the_folds() -> None:
    with pytest.raises(UserError, match="no class of more than 2 rows, too few for 5 folds"):
        grouped_folds(np.arange(8) // 2, np.arange(8), n_folds=5)


def test_join_goes_through_any_chain_of_shared_values() -> None:
    contributor = np.array(["ann", "bob", "ann", "cleo", "dan"])
    photo = np.array([1, 2, 2, 3, 4])
    # bob shares photo 2 with ann, who has row 0 too
    assert join_groups(contributor, photo).tolist() == [0, 0, 0, 1, 2]


def test_missing_values_join_nothing() -> None:
    assert join_groups(np.array([None, "ann", None, "ann"], dtype=object)).tolist() == [0, 1, 2, 1]
    assert join_groups(np.array([np.nan, 1.0, np.nan])).tolist() == [0, 1, 2]
    assert join_groups(["ann", np.nan, np.nan, "ann"]).tolist() == [0, 1, 2, 0]  # a list makes no text of them
    assert join_groups([1, "1", None, None]).tolist() == [0, 1, 2, 3]


def test_join_refuses_nothing_and_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="at least one"):
        join_groups()
    with pytest.raises(ValueError, match="2 and 3 rows"):
        join_groups(np.zeros(2), np.zeros(3))


@settings(deadline=None)  # the first example imports SciPy
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_join_is_the_transitive_closure(rows: list[tuple[int, int, int]]) -> None:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    pairs = itertools.combinations(range(len(rows)), 2)
    by_hand = union_by_hand(len(rows), [(i, j) for i, j in pairs if (table[i] == table[j]).any()])
    assert same_partition(join_groups(*table.T), by_hand)


@settings(deadline=None)  # the first example imports SciPy
@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 31), max_size=12),
    st.integers(0, 10),
)
def test_near_duplicates_are_all_pairs_within_the_distance(hashes: list[int], max_distance: int) -> None:
    pairs = itertools.combinations(range(len(hashes)), 2)
    near = [(i, j) for i, j in pairs if (hashes[i] ^ hashes[j]).bit_count() <= max_distance]
    groups = near_duplicate_groups(np.array(hashes, dtype=np.uint64), max_distance)
    assert same_partition(groups, union_by_hand(len(hashes), near))


def test_distance_is_inclusive_and_counts_the_highest_bit() -> None:
    hashes = np.array([0, 1 << 63, (1 << 63) | 0b1], dtype=np.uint64)
    assert near_duplicate_groups(hashes[[0, 2]], 2).tolist() == [0, 0]
    assert near_duplicate_groups(hashes[[0, 2]], 1).tolist() == [0, 1]
    assert near_duplicate_groups(hashes, 1).tolist() == [0, 0, 0]


def test_near_duplicates_found_across_blocks() -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(2**64, size=4000, dtype=np.uint64)
    copies = originals[:500] ^ (np.uint64(1) << rng.integers(64, size=500, dtype=np.uint64))
    started = time.process_time()
    groups = near_duplicate_groups(np.concatenate([originals, copies]), max_distance=4)
    assert time.process_time() - started < 5
    assert np.array_equal(groups[4000:], groups[:500])
    assert len(set(groups)) == 4000


def test_pairs_of_many_alike_are_not_all_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(splits, "HASH_BLOCK", 1 << 14)
    tracemalloc.start()
    groups = near_duplicate_groups(np.arange(2000), max_distance=11)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(groups) == {0}
    assert peak < 20e6  # the two million pairs are 32 MB; importing SciPy takes some, too


def test_a_stratum_rarer_than_the_folds_is_no_trouble():
    strata = np.array(["rare"] + 20 * ["common"])
    folds = grouped_folds(strata, np.arange(21), 5)
    assert np.bincount(folds).min() >= 4
