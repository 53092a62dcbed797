"""Grouped, stratified splits: rows that belong together never lie on both sides of a split."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import UserError

HASH_BLOCK = 1 << 22
"""Pairs of hashes compared at once: 32 MiB of differences, whatever the number of rows."""


def grouped_folds(strata: NDArray[Any], groups: NDArray[Any], n_folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Give every row a fold, no group in two folds, every stratum spread as evenly as the groups allow.

    Args:
        strata: (N,) class of each row, e.g. its category.
        groups: (N,) group of each row, e.g. from `join_groups`.
        n_folds: number of folds, at least 2.
        seed: shuffles the groups; same seed and data, same folds.

    Returns:
        (N,) fold of each row, 0 to n_folds - 1; every fold has rows.

    Raises:
        UserError: fewer groups, or fewer rows of every stratum, than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    codes = pd.factorize(strata, use_na_sentinel=False)[0]
    group_codes = join_groups(groups)
    n_groups, largest = len(np.unique(group_codes)), np.bincount(codes).max(initial=0)
    if n_groups < n_folds or largest < n_folds:
        has = f"only {n_groups} independent groups" if n_groups < n_folds else f"no class of more than {largest} rows"
        raise UserError(f"the data has {has}, too few for {n_folds} folds: give more data, or ask for fewer folds")
    folds = np.full(len(codes), -1, dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A stratum rarer than the folds cannot be in each of them; it is spread as far as it goes.
        warnings.filterwarnings("ignore", "The least populated class in y", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(codes, codes, group_codes)):
            folds[held_out] = fold
    return folds


def join_groups(*groupings: NDArray[Any] | Sequence[Any]) -> NDArray[np.int64]:
    """Merge groupings: rows that share a value in any of them, directly or through others, get one group.

    Args:
        groupings: one or more (N,) arrays or lists of hashable values. A missing value (None, NaN) joins nothing.

    Returns:
        (N,) group of each row, numbered from 0 in the order of first appearance.
    """
    if not groupings:
        raise ValueError("join_groups needs at least one grouping")
    n_rows = len(groupings[0])
    rows: list[NDArray[np.int64]] = []
    nodes: list[NDArray[np.int64]] = []
    n_nodes = n_rows  # the graph's nodes: the rows, then every value of every grouping
    for grouping in groupings:
        if len(grouping) != n_rows:
            raise ValueError(f"groupings of {n_rows} and {len(grouping)} rows cannot be joined")
        codes, values = pd.factorize(pd.Series(grouping))  # as an array, a list of texts and NaN would hold 'nan'
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        nodes.append(codes[known] + n_nodes)
        n_nodes += len(values)
    return _components(np.concatenate(rows), np.concatenate(nodes), n_nodes)[:n_rows]


def near_duplicate_groups(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Group rows whose perceptual hashes differ in few bits.

    Nearness is passed on: if a is near b and b is near c, all three are one group, so that no near pair is
    ever split. Distances are Hamming distances between all pairs of different hashes.

    Args:
        hashes: (N,) 64-bit hashes.
        max_distance: largest number of differing bits that still counts as the same photo.

    Returns:
        (N,) group of each row, numbered from 0 in the order of first appearance.
    """
    distinct, inverse = np.unique(np.asarray(hashes, dtype=np.uint64), return_inverse=True)
    n_distinct = len(distinct)
    groups = np.arange(n_distinct)
    start = 0
    while start < n_distinct:
        stop = min(n_distinct, start + max(1, HASH_BLOCK // (n_distinct - start)))
        # (stop - start, n_distinct - start): each pair once, but for the small square on the diagonal
        distance = np.bitwise_count(distinct[start:stop, None] ^ distinct[None, start:])
        left, right = np.nonzero(distance <= max_distance)
        # Joined at once: of many alike photos all pairs would take gigabytes.
        groups = _components(groups[start + left], groups[start + right], n_distinct)[groups]
        start = stop
    return _number_by_appearance(groups[inverse])


def _components(left: NDArray[np.int64], right: NDArray[np.int64], n_nodes: int) -> NDArray[np.int64]:
    """Connected components of the graph with edges left[i] - right[i], numbered by first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(n_nodes, n_nodes))
    return _number_by_appearance(connected_components(edges, directed=False)[1])


def _number_by_appearance(groups: NDArray[Any]) -> NDArray[np.int64]:
    return pd.factorize(groups)[0].astype(np.int64)
