"""Classification metrics against scikit-learn and torchmetrics."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_confusion_matrix

from common.metrics.classification import confusion_matrix, top_k_accuracy


def random_problem(n_rows: int = 300, n_classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_rows)
    return rng.integers(n_classes, size=n_rows), rng.dirichlet(np.ones(n_classes), size=n_rows)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    labels, probabilities = random_problem()
    expected = top_k_accuracy_score(labels, probabilities, k=k, labels=range(5))
    assert top_k_accuracy(labels, probabilities, k) == pytest.approx(expected, abs=1e-12)


def test_top_1_is_the_accuracy_of_argmax_where_scores_tie() -> None:
    probabilities = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [1 / 3, 1 / 3, 1 / 3]], dtype=np.float32)
    labels = probabilities.argmax(axis=1)
    assert top_k_accuracy(labels, probabilities, 1) == 1
    assert top_k_accuracy(np.array([2, 0, 2]), probabilities, 2) == 0
    many = np.tile([0.0, 1.0], 100)[None]  # a sort that is not stable shows only among many classes
    assert [top_k_accuracy(np.array([label]), many, 50) for label in (99, 101)] == [1, 0]


@pytest.mark.parametrize(
    "scores",
    [
        np.array([[0, 255], [9, 8]], dtype=np.uint8),
        np.array([[-128, 127], [9, 8]], dtype=np.int8),
        np.array([[False, True], [True, False]]),
    ],
)
def test_scores_of_any_type_are_ordered_as_numbers(scores: np.ndarray) -> None:
    assert top_k_accuracy(np.array([1, 0]), scores, 1) == 1


def test_top_c_is_always_right() -> None:
    assert top_k_accuracy(*random_problem(20, 2), k=2) == 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "k"),
    [
        (np.zeros(0, dtype=int), np.zeros((0, 5)), 1),
        (np.zeros(3, dtype=int), np.zeros((2, 5)), 1),
        (np.zeros(3, dtype=int), np.zeros(3), 1),
        (np.zeros(3, dtype=int), np.zeros((3, 5)), 0),
        (np.zeros(3, dtype=int), np.zeros((3, 5)), 6),
        (np.zeros(3, dtype=int), np.full((3, 5), np.nan), 1),
        (np.array([1, 5, 2]), np.zeros((3, 5)), 1),
        (np.array(["a", "b", "c"]), np.zeros((3, 5)), 1),
    ],
)
def test_top_k_refuses_what_has_no_answer(labels: np.ndarray, probabilities: np.ndarray, k: int) -> None:
    with pytest.raises(ValueError, match=r"labels|classes"):
        top_k_accuracy(labels, probabilities, k)


def test_confusion_matrix_agrees_with_torchmetrics() -> None:
    labels, probabilities = random_problem()
    predictions = probabilities.argmax(axis=1)
    expected = multiclass_confusion_matrix(from_numpy(predictions), from_numpy(labels), num_classes=5)
    assert np.array_equal(confusion_matrix(labels, predictions, 5), expected.numpy())


def test_confusion_matrix_has_true_classes_as_rows_and_keeps_empty_ones() -> None:
    matrix = confusion_matrix(np.array([0, 0, 2]), np.array([0, 2, 2]), 4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    empty = confusion_matrix(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 3)
    assert empty.tolist() == [[0] * 3] * 3
    assert matrix.dtype == empty.dtype == np.int64


@pytest.mark.parametrize(("labels", "predictions"), [([0, 2], [0, 1]), ([0, 1], [0, -1]), ([0, 1], [0]), ([], [0])])
def test_confusion_matrix_leaves_no_row_out(labels: list[int], predictions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"classes 0 to 1|not both"):
        confusion_matrix(np.array(labels), np.array(predictions), 2)
