"""Ranking metrics against scikit-learn, torchmetrics and their definitions, written out place by place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, dcg_score, ndcg_score
from torch import from_numpy
from torchmetrics.functional import retrieval

from common.metrics.ranking import (
    average_precision_at_k,
    dcg_at_k,
    in_rank_order,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)

SEEDS = st.integers(0, 2**32)
OF_FOUND_OR_NOT = (precision_at_k, recall_at_k, average_precision_at_k, reciprocal_rank)
OF_THE_FIRST_K = (*OF_FOUND_OR_NOT, dcg_at_k, ndcg_at_k)


def ranked_problem(seed: int, n_grades: int = 2, length: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Relevance with at least one relevant item a query, and scores without ties.

    None is 0: torchmetrics takes that for not found.
    """
    rng = np.random.default_rng(seed)
    relevance = rng.integers(n_grades, size=(6, length))
    relevance[:, rng.integers(length)] = n_grades - 1
    return relevance, rng.permuted(np.tile(np.arange(1, length + 1) / length, (6, 1)), axis=1)


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, k=st.integers(1, 15))
def test_agrees_with_torchmetrics(seed: int, k: int) -> None:
    relevance, scores = ranked_problem(seed)
    ranked = in_rank_order(relevance, scores)
    for ours, theirs in (
        (precision_at_k(ranked, k), retrieval.retrieval_precision),
        (recall_at_k(ranked, k), retrieval.retrieval_recall),
        (reciprocal_rank(ranked, k), retrieval.retrieval_reciprocal_rank),
    ):
        expected = [
            theirs(from_numpy(s), from_numpy(r), top_k=k).item() for r, s in zip(relevance, scores, strict=True)
        ]
        np.testing.assert_allclose(ours, expected, atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, k=st.one_of(st.none(), st.integers(1, 15)))
def test_dcg_and_average_precision_agree_with_scikit_learn(seed: int, k: int | None) -> None:
    grades, scores = ranked_problem(seed, n_grades=4)
    ranked = in_rank_order(grades, scores)
    for row in range(len(grades)):
        one = grades[row : row + 1], scores[row : row + 1]
        assert dcg_at_k(ranked, k)[row] == pytest.approx(dcg_score(*one, k=k))
        assert ndcg_at_k(ranked, k)[row] == pytest.approx(ndcg_score(*one, k=k))
        assert dcg_at_k(ranked, k, "exponential")[row] == pytest.approx(dcg_score(2.0 ** one[0] - 1, one[1], k=k))
        assert ndcg_at_k(ranked, k, "exponential")[row] == pytest.approx(ndcg_score(2.0 ** one[0] - 1, one[1], k=k))
        found = average_precision_at_k(ranked > 1)[row]
        assert found == pytest.approx(average_precision_score(grades[row] > 1, scores[row]))


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=12), st.integers(1, 14), st.integers(0, 5))
def test_average_precision_at_k_is_its_definition(hits: list[bool], k: int, n_missed: int) -> None:
    total, found = sum(hits) + n_missed, 0.0
    for place in range(1, min(k, len(hits)) + 1):
        if hits[place - 1]:
            found += sum(hits[:place]) / place
    ours = average_precision_at_k(np.array([hits]).reshape(1, -1), k, [total])[0]
    if total == 0:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(found / min(k, total))
        assert 0 <= ours <= 1 + 1e-12


def test_values_by_hand() -> None:
    ranked = [[1, 0, 1, 0], [0, 0, 0, 1]]
    assert precision_at_k(ranked, 3).tolist() == pytest.approx([2 / 3, 0])
    assert recall_at_k(ranked, 3, [4, 1]).tolist() == [0.5, 0]
    assert reciprocal_rank(ranked).tolist() == [1, 0.25]
    assert mean_reciprocal_rank(ranked) == 0.625
    assert average_precision_at_k(ranked).tolist() == pytest.approx([(1 + 2 / 3) / 2, 0.25])
    assert mean_average_precision(ranked, n_relevant=[4, 1]) == pytest.approx(((1 + 2 / 3) / 4 + 0.25) / 2)
    assert dcg_at_k([[3, 0, 2]]).tolist() == pytest.approx([3 + 2 / 2])  # log2(1 + 1) and log2(3 + 1)
    assert dcg_at_k([[3, 0, 2]], gain="exponential").tolist() == pytest.approx([7 + 3 / 2])
    assert ndcg_at_k([[3, 0, 2]]).tolist() == pytest.approx([4 / (3 + 2 / math.log2(3))])


def test_places_past_the_end_of_a_list_are_misses() -> None:
    assert precision_at_k([[1, 1]], 4).tolist() == [0.5]
    assert recall_at_k([[1, 1]], 4).tolist() == [1]


def test_queries_with_nothing_relevant_are_undefined_and_left_out_of_means() -> None:
    ranked = [[0, 0], [0, 1]]
    assert np.isnan(recall_at_k(ranked, 1)).tolist() == [True, False]
    assert np.isnan(ndcg_at_k(ranked)).tolist() == [True, False]
    assert np.isnan(average_precision_at_k(ranked)).tolist() == [True, False]
    assert mean_average_precision(ranked) == 0.5
    assert mean_reciprocal_rank(ranked) == 0.25  # nothing was found, whatever there was
    assert math.isnan(mean_average_precision([[0, 0]]))
    assert math.isnan(mean_reciprocal_rank(np.zeros((0, 3))))
    assert reciprocal_rank(np.zeros((2, 0))).tolist() == [0, 0]


def test_what_only_looks_at_the_list_is_zero_where_nothing_is_relevant() -> None:
    for metric in (precision_at_k, reciprocal_rank, dcg_at_k):
        assert metric([[0, 0], [1, 0]], 1).tolist() == [0, 1]


def test_equal_scores_keep_the_order_of_the_columns() -> None:
    assert in_rank_order([[0, 1, 2]], [[0.5, 0.5, 0.9]]).tolist() == [[2, 0, 1]]
    many = np.arange(200)[None]  # a sort that is not stable shows only in long lists
    assert in_rank_order(many, many % 2).tolist() == [[*range(1, 200, 2), *range(0, 200, 2)]]


def test_means_look_at_the_first_k() -> None:
    ranked = [[0, 1], [1, 0]]
    assert mean_average_precision(ranked, 1) == 0.5
    assert mean_reciprocal_rank(ranked, 1) == 0.5
    assert mean_reciprocal_rank(ranked) == 0.75


def test_the_ideal_knows_what_the_list_missed() -> None:
    assert ndcg_at_k([[1, 0]], 2).tolist() == [1]
    expected = 1 / (3 + 3 / math.log2(3))
    assert ndcg_at_k([[1, 0]], 2, all_grades=[[1, 3, 3]]).tolist() == pytest.approx([expected])
    for one_more in ([[3, 0]], [[1.01, 0]]):
        with pytest.raises(ValueError, match=r"^all_grades lack"):
            ndcg_at_k(one_more, all_grades=[[1, 0]])


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_a_perfect_order_scores_one_and_a_swap_towards_it_never_lowers(seed: int) -> None:
    ranked, _ = ranked_problem(seed, n_grades=4)
    perfect = -np.sort(-ranked, axis=1)
    np.testing.assert_allclose(ndcg_at_k(perfect, 5), 1)
    better = ranked.copy()
    better[:, [2, 3]] = -np.sort(-ranked[:, [2, 3]], axis=1)
    assert (ndcg_at_k(better) >= ndcg_at_k(ranked) - 1e-12).all()
    assert (average_precision_at_k(better > 1) >= average_precision_at_k(ranked > 1) - 1e-12).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_at_k([1, 0], 1), r"not \(Q, L\)"),
        *((lambda f=f: f([[1, 0]], 0), "at least 1") for f in OF_THE_FIRST_K),
        *((lambda f=f: f([[2, 0]], 1), "^relevance must be 0 or 1") for f in OF_FOUND_OR_NOT),
        (lambda: dcg_at_k([[-1, 0]]), "not negative"),
        (lambda: dcg_at_k([[np.nan, 0]]), "finite"),
        (lambda: recall_at_k([[1, 1]], 1, [1]), "no smaller"),
        (lambda: recall_at_k([[1, 1]], 1, [3, 3]), "a number a query"),
        (lambda: in_rank_order([[1, 0]], [[1.0]]), "differ"),
        (lambda: in_rank_order([[1, 0]], [[1.0, np.nan]]), "^scores must not be NaN"),
        *(
            (lambda f=f: f([[1, 0]], gain="lin"), r"^gain = 'lin' is none of 'linear', 'exponential'$")
            for f in (dcg_at_k, ndcg_at_k)
        ),
        (lambda: ndcg_at_k([[1, 0]], all_grades=[[1], [1]]), "queries"),
    ],
)
def test_what_has_no_meaning_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
