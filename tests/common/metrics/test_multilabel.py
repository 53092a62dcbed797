"""Multi-label metrics against scikit-learn and torchmetrics, and the undefined cases by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, precision_recall_fscore_support
from torch import from_numpy
from torchmetrics.functional.classification import multilabel_average_precision

from common.metrics.multilabel import (
    average_precision,
    best_f1_threshold,
    defined_mean,
    expected_f1_threshold,
    tag_scores,
)


@settings(deadline=None)  # the first example imports scikit-learn
@given(arrays(bool, st.tuples(st.just(2), st.integers(1, 20), st.integers(1, 4))))
def test_tag_scores_agree_with_scikit_learn_also_where_undefined(both: np.ndarray) -> None:
    labels, decisions = both
    n_tags = labels.shape[1]
    # One column each: scikit-learn takes a single column of a multi-label table for a binary problem.
    expected = [
        precision_recall_fscore_support(
            labels[:, tag], decisions[:, tag], pos_label=True, average="binary", zero_division=np.nan
        )[:3]
        for tag in range(n_tags)
    ]
    scores = tag_scores(labels, decisions)
    np.testing.assert_allclose(np.stack([scores.precision, scores.recall, scores.f1], axis=1), expected)
    np.testing.assert_array_equal(scores.support, labels.sum(axis=0))
    if n_tags > 1:
        macro = f1_score(labels, decisions, average="macro", zero_division=np.nan)
        np.testing.assert_allclose(scores.macro_f1, macro)


def test_a_tag_nobody_has_and_nobody_gets_is_left_out() -> None:
    scores = tag_scores(np.array([[1, 0], [0, 0]]), np.array([[1, 0], [0, 0]]))
    assert scores.f1.tolist()[0] == 1
    assert np.isnan([scores.precision[1], scores.recall[1], scores.f1[1]]).all()
    assert scores.macro_f1 == scores.macro_precision == scores.macro_recall == 1


def test_silence_about_a_tag_that_occurs_scores_zero() -> None:
    scores = tag_scores(np.array([[1], [0]]), np.array([[0], [0]]))
    assert math.isnan(scores.precision[0])
    assert scores.recall[0] == scores.f1[0] == scores.macro_f1 == 0


def test_tag_scores_without_rows_are_undefined() -> None:
    scores = tag_scores(np.zeros((0, 3)), np.zeros((0, 3)))
    assert scores.support.tolist() == [0, 0, 0]
    assert math.isnan(scores.macro_f1)


def test_tag_scores_refuse_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and decisions \(2, 2\)"):
        tag_scores(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"not both \(N, T\)"):
        tag_scores(np.zeros(3), np.zeros(3))
    for labels in (np.array([[1.0], [np.nan]]), np.array([[0.3], [0.0]])):  # a missing label, and a probability
        with pytest.raises(ValueError, match="true or false, 1 or 0"):
            tag_scores(labels, np.ones((2, 1), bool))
    assert tag_scores(np.array([[1.0], [0.0]]), np.array([[1], [0]])).macro_f1 == 1


def test_average_precision_agrees_with_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random((200, 3)) < [0.5, 0.1, 0.03], rng.random((200, 3)).round(2)
    expected = multilabel_average_precision(
        from_numpy(scores), from_numpy(labels.astype(int)), num_labels=3, average="none"
    )
    np.testing.assert_allclose(average_precision(labels, scores), expected.numpy(), rtol=1e-5)


def test_average_precision_of_a_tag_nobody_has_is_undefined() -> None:
    values = average_precision(np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.9], [0.1, 0.1]]))
    assert values[0] == 1
    assert math.isnan(values[1])
    assert defined_mean(values) == 1


@pytest.mark.parametrize("shape", [(2, 3), (2, 1), (1, 2), (2,)])
def test_average_precision_refuses_shapes_that_differ(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not both \(N, T\)"):
        average_precision(np.eye(2, dtype=bool), np.ones(shape))


def test_defined_mean_of_nothing_is_undefined() -> None:
    assert math.isnan(defined_mean(np.array([np.nan])))


@settings(deadline=None)  # the first example imports scikit-learn
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 0.9, 1])), min_size=1, max_size=30))
def test_no_threshold_beats_the_best_one(rows: list[tuple[bool, float]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    threshold = best_f1_threshold(labels, scores)
    if not labels.any():
        assert threshold == 0.5
        return
    reached = f1_score(labels, scores >= threshold)
    assert reached == pytest.approx(max(f1_score(labels, scores >= t) for t in np.unique(scores)))


def test_threshold_lies_half_way_between_accepted_and_rejected() -> None:
    assert best_f1_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.4)


def test_of_equal_thresholds_the_highest_is_taken() -> None:
    # accepting 1 row: P 1, R 1/2, F1 2/3; accepting all 4: P 1/2, R 1, F1 2/3
    assert best_f1_threshold(np.array([1, 0, 0, 1]), np.array([0.8, 0.6, 0.4, 0.2])) == pytest.approx(0.7)


def test_threshold_accepts_all_where_all_have_the_tag() -> None:
    scores = np.array([0.3, 0.6])
    assert (scores >= best_f1_threshold(np.array([1, 1]), scores)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_threshold_separates_neighbouring_floats(dtype: type[np.floating]) -> None:
    first = dtype(0.5)
    for _ in range(2):  # half-way to the next one is rounded down, then up
        scores = np.array([first, np.nextafter(first, dtype(1))])
        assert (scores >= best_f1_threshold(np.array([0, 1]), scores)).tolist() == [False, True]
        first = scores[1]


@given(arrays(float, st.integers(1, 30), elements=st.floats(0.01, 1)))
def test_no_threshold_has_a_better_expected_f1(probabilities: np.ndarray) -> None:
    def expected_f1(threshold: float) -> float:
        accepted = probabilities >= threshold
        return 2 * probabilities[accepted].sum() / (accepted.sum() + probabilities.sum())

    reached = expected_f1(expected_f1_threshold(probabilities))
    assert reached == pytest.approx(max(expected_f1(t) for t in probabilities))


def test_a_tag_that_no_row_can_have_is_given_to_none() -> None:
    assert expected_f1_threshold(np.zeros(3)) > 0
    for wrong in ([], [np.nan], [1.5], [[0.5]]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            expected_f1_threshold(np.array(wrong))


def test_where_few_have_the_tag_the_expected_f1_decides_better_than_the_best_of_these_few() -> None:
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities that are calibrated by construction, and labels; three in a hundred have the tag."""
        probabilities = rng.beta(0.06, 1.94, n)
        return probabilities, rng.random(n) < probabilities

    new, new_labels = draw(100_000)
    reached = []
    for _ in range(50):
        seen, seen_labels = draw(600)
        thresholds = best_f1_threshold(seen_labels, seen), expected_f1_threshold(seen)
        reached.append([f1_score(new_labels, new >= threshold) for threshold in thresholds])
    of_best, of_expected = np.mean(reached, axis=0)
    assert of_expected > of_best + 0.01
