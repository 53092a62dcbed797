"""The perceptron against scikit-learn's, mistake by mistake, and Novikoff's bound on them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import linear_model
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.perceptron import Perceptron


def overlapping_classes(seed: int, n_rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % 2
    return rng.normal(size=(n_rows, 3)) + 1.5 * (y[:, None] - 0.5), y


def test_scikit_learn_accepts_it() -> None:
    check_estimator(Perceptron(), on_skip=None)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), epochs=st.integers(1, 6))
def test_agrees_with_scikit_learn_mistake_by_mistake(seed: int, epochs: int) -> None:
    X, y = overlapping_classes(seed)
    theirs = linear_model.Perceptron(shuffle=False, tol=None, max_iter=epochs).fit(X, y)
    ours = Perceptron(epochs, shuffle=False).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], atol=1e-9)
    assert abs(ours.intercept_ - theirs.intercept_[0]) < 1e-9


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_separable_classes_cost_no_more_mistakes_than_novikoff_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=4)  # three features and the intercept
    plane /= np.linalg.norm(plane)
    X = rng.normal(size=(200, 3))
    distances = np.column_stack([X, np.ones(200)]) @ plane
    X, distances = X[np.abs(distances) > 0.2], distances[np.abs(distances) > 0.2]
    y = distances > 0
    if y.all() or not y.any():
        return
    model = Perceptron(max_iter=10_000).fit(X, y)
    radius = np.sqrt((X**2).sum(axis=1) + 1).max()
    assert model.n_mistakes_ <= (radius / np.abs(distances).min()) ** 2
    assert model.score(X, y) == 1
    assert model.n_iter_ < 10_000


def test_rows_sorted_by_class_teach_badly_unless_shuffled() -> None:
    for seed in range(5):
        X, y = overlapping_classes(seed, 2000)
        order = np.argsort(y, kind="stable")
        in_order = Perceptron(1, shuffle=False).fit(X[order], y[order])
        shuffled = Perceptron(1).fit(X[order], y[order])
        assert in_order.score(X, y) < shuffled.score(X, y) - 0.1


def test_what_no_plane_separates_ends_at_the_limit() -> None:
    X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
    model = Perceptron(max_iter=30).fit(X, y)
    assert model.n_iter_ == 30
    assert model.n_mistakes_ >= 30


def test_it_leaves_the_zero_weights_of_its_start() -> None:
    model = Perceptron().fit([[0.0], [1.0]], [0, 1])
    assert model.n_mistakes_ > 0
    assert model.predict([[0.0], [1.0]]).tolist() == [0, 1]


def test_without_an_epoch_nothing_is_learned_and_so_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^max_iter == 0"):
        Perceptron(max_iter=0).fit([[0.0], [1.0]], [0, 1])
