"""MAP@5 against an implementation of its own, word by word as the assignment links it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.metrics import average_precisions, calibration_error, score


def apk(actual: list[int], predicted: list[int], k: int) -> float:
    """Precision at each new hit, summed, over min(number of true genres, k)."""
    score, hits = 0.0, 0
    for place, genre in enumerate(predicted[:k]):
        if genre in actual and genre not in predicted[:place]:
            hits += 1
            score += hits / (place + 1)
    return score / min(len(actual), k)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_average_precision_is_that_of_the_assignment(seed: int, most: int):
    rng = np.random.default_rng(seed)
    labels = np.zeros((6, 18), bool)
    for row in labels:
        row[rng.permutation(18)[: rng.integers(1, most + 1)]] = True
    scores = rng.random((6, 18)).round(1)  # with ties
    order = np.argsort(-scores, axis=1, kind="stable").tolist()
    expected = [apk(np.flatnonzero(row).tolist(), ranked, 5) for row, ranked in zip(labels, order, strict=True)]
    assert average_precisions(labels, scores).tolist() == pytest.approx(expected)


def test_known_values():
    labels = np.array([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], bool)
    scores = np.array([[0.9, 0.1, 0.8, 0, 0, 0], [1, 2, 3, 0, 0, 0], [1, 2, 3, 4, 5, 6]])
    assert average_precisions(labels, scores).tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 3, 0])


def test_calibration_error_is_0_for_true_chances_and_large_for_false_ones():
    rng = np.random.default_rng(0)
    chances = rng.random((4000, 3))
    labels = rng.random((4000, 3)) < chances
    assert calibration_error(labels, chances) < 0.02
    assert calibration_error(~labels, chances) > 0.3


def test_a_perfect_answer_scores_one_everywhere_and_a_constant_one_does_not():
    rng = np.random.default_rng(1)
    labels = np.zeros((300, len(GENRES)), bool)
    labels[np.arange(300), np.arange(300) % len(GENRES)] = True
    labels[np.arange(300), rng.integers(len(GENRES), size=300)] = True
    perfect = score(labels, labels * 0.98 + 0.01, np.arange(300))
    assert perfect["map_at_5"]["estimate"] == perfect["macro_average_precision"] == perfect["macro_roc_auc"] == 1
    assert perfect["macro_f1"] == 1
    assert score(labels, np.full(labels.shape, 0.1), np.arange(300))["macro_roc_auc"] == 0.5
