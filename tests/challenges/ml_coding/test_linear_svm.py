"""The linear SVM against liblinear's optimum; order of rows, single classes and scales."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.linear_svm import LinearSVM


def problem(seed: int, n_features: int = 4, n_rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    y = X @ rng.normal(size=n_features) + rng.normal(size=n_rows) > 0
    y[:2] = False, True
    return X, y.astype(int)


def objective(X: np.ndarray, y: np.ndarray, coef: np.ndarray, intercept: float, l2: float) -> float:
    hinge = np.maximum(0, 1 - (2 * y - 1) * (X @ coef + intercept)).mean()
    return float(hinge + l2 / 2 * (coef @ coef + intercept**2))


def test_scikit_learn_accepts_it() -> None:
    check_estimator(LinearSVM(), on_skip=None)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), n_features=st.integers(1, 6), l2=st.sampled_from([0.03, 0.1, 1.0]))
def test_reaches_liblinears_objective(seed: int, n_features: int, l2: float) -> None:
    X, y = problem(seed, n_features)
    theirs = LinearSVC(C=1 / (l2 * len(X)), loss="hinge", tol=1e-6, max_iter=200_000, random_state=0).fit(X, y)
    best = objective(X, y, theirs.coef_[0], theirs.intercept_[0], l2)
    ours = LinearSVM(l2, max_iter=1000).fit(X, y)
    assert objective(X, y, ours.coef_, ours.intercept_, l2) <= 1.02 * best + 1e-3


def test_rows_sorted_by_class_teach_as_much() -> None:
    X, y = problem(1)
    order = np.argsort(y)
    shuffled, in_order = LinearSVM(0.01).fit(X, y), LinearSVM(0.01).fit(X[order], y[order])
    assert in_order.score(X, y) == pytest.approx(shuffled.score(X, y), abs=0.03)


def test_a_wide_gap_is_halved_by_the_plane() -> None:
    X = np.array([[-3.0, 0.0], [-1.0, 1.0], [1.0, -1.0], [5.0, 2.0]])
    model = LinearSVM(0.01, max_iter=30_000, batch_size=4).fit(X, ["left", "left", "right", "right"])
    assert model.predict(X).tolist() == ["left", "left", "right", "right"]
    margins = model.decision_function(X[1:3])  # the support vectors lie on the margins
    np.testing.assert_allclose(margins, [-1, 1], atol=0.1)


def test_same_seed_same_plane() -> None:
    X, y = problem(2)
    assert (LinearSVM().fit(X, y).coef_ == LinearSVM().fit(X, y).coef_).all()
    assert (LinearSVM().fit(X, y).coef_ != LinearSVM(random_state=1).fit(X, y).coef_).any()


def test_one_class_and_no_penalty_are_refused() -> None:
    X, y = problem(3)
    with pytest.raises(ValueError, match="one class"):
        LinearSVM().fit(X, np.ones(len(X)))
    for l2 in (0, np.nan):
        with pytest.raises(ValueError, match="l2 must be above 0"):
            LinearSVM(l2=l2).fit(X, y)


@pytest.mark.parametrize("parameters", [{"max_iter": 0}, {"batch_size": 0}, {"batch_size": -1}])
def test_without_a_step_nothing_is_learned_and_so_it_is_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))} "):
        LinearSVM(**parameters).fit(*problem(4))
