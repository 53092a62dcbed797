"""Logistic regression against SciPy and scikit-learn; overflow, separable and single classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.logistic_regression import LogisticRegression, sigmoid


def problem(seed: int, n_features: int = 3, n_rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    y = (X @ rng.normal(size=n_features) + 0.5 + rng.logistic(size=n_rows) > 0).astype(int)
    y[:2] = 0, 1
    return X, y


def test_scikit_learn_accepts_it() -> None:
    check_estimator(LogisticRegression(), on_skip=None)


def test_sigmoid_neither_overflows_nor_loses_small_probabilities() -> None:
    z = np.array([-1e308, -1000.0, -40.0, -1.0, 0.0, 1.0, 40.0, 1000.0, 1e308])
    np.testing.assert_allclose(sigmoid(z), expit(z), rtol=1e-15)
    assert sigmoid(np.array([-40.0]))[0] > 0


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n_features=st.integers(1, 8), l2=st.sampled_from([1e-3, 0.1, 10.0]))
def test_agrees_with_scikit_learn(seed: int, n_features: int, l2: float) -> None:
    X, y = problem(seed, n_features)
    theirs = linear_model.LogisticRegression(C=1 / (l2 * len(X)), solver="newton-cholesky", tol=1e-10).fit(X, y)
    ours = LogisticRegression(l2).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], atol=1e-6)
    assert ours.intercept_ == pytest.approx(theirs.intercept_[0], abs=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-7)


def test_units_and_offsets_of_features_do_not_matter_without_penalty() -> None:
    X, y = problem(1)
    model, scaled = LogisticRegression(0.0).fit(X, y), LogisticRegression(0.0).fit(X * 1e-4 + 1e3, y)
    np.testing.assert_allclose(scaled.predict_proba(X * 1e-4 + 1e3), model.predict_proba(X), atol=1e-6)


def test_a_feature_in_tiny_units_is_as_if_it_were_not_there() -> None:
    X, y = problem(2)
    model, others = LogisticRegression().fit(X * [1, 1e-12, 1], y), LogisticRegression().fit(X[:, [0, 2]], y)
    np.testing.assert_allclose(model.predict_proba(X * [1, 1e-12, 1]), others.predict_proba(X[:, [0, 2]]), atol=1e-6)


def test_separable_classes_stay_finite() -> None:
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    y = np.array([0, 0, 1, 1])
    for l2 in (0.0, 1e-4):
        model = LogisticRegression(l2).fit(X, y)
        assert np.isfinite(model.coef_).all()
        assert model.predict(X).tolist() == y.tolist()
    with pytest.warns(ConvergenceWarning, match="separable"):
        LogisticRegression(0.0, max_iter=3).fit(X, y)


def test_overshooting_steps_are_halved() -> None:
    # One far row makes Newton's first step from the flat tail of the loss far too long.
    X = np.array([[0.0], [0.1], [-0.1], [0.2], [1000.0]])
    y = np.array([1, 0, 1, 0, 1])
    model = LogisticRegression(1e-6).fit(X, y)
    theirs = linear_model.LogisticRegression(C=1 / (1e-6 * 5), solver="newton-cholesky", tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_rare_probabilities_do_not_round_to_zero() -> None:
    model = LogisticRegression(0.01).fit(*problem(2, 1))
    far = np.array([[40.0 / model.coef_[0]]])
    assert 0 < model.predict_proba(far)[0, 0] < 1e-10


def test_labels_are_kept_and_constant_features_ignored() -> None:
    X, y = problem(3)
    names = np.array(["no", "yes"])[y]
    model = LogisticRegression().fit(np.column_stack([X, np.full(len(X), 0.1)]), names)
    assert set(model.predict(np.column_stack([X, np.full(len(X), 0.1)]))) == {"no", "yes"}
    assert model.coef_[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("labels", [np.zeros(4), np.arange(4)])
def test_one_class_and_three_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"class|binary"):
        LogisticRegression().fit(np.eye(4), labels)


@pytest.mark.parametrize("parameters", [{"l2": -0.1}, {"l2": np.nan}, {"max_iter": 0}])
def test_parameters_out_of_range_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))} "):
        LogisticRegression(**parameters).fit(*problem(5))
