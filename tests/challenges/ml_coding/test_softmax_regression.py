"""Softmax regression against SciPy and scikit-learn; overflow and the two-class case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special
from sklearn import linear_model
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.logistic_regression import LogisticRegression
from challenges.ml_coding.softmax_regression import SoftmaxRegression, softmax


def problem(seed: int, n_classes: int, n_features: int = 4, n_rows: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    logits = X @ rng.normal(size=(n_features, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
    y = logits.argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def test_scikit_learn_accepts_it() -> None:
    check_estimator(SoftmaxRegression(), on_skip=None)


@settings(deadline=None)
@given(arrays(np.float64, (3, 4), elements=st.floats(-1e300, 1e300)))
def test_softmax_agrees_with_scipy_at_any_size(z: np.ndarray) -> None:
    np.testing.assert_allclose(softmax(z), special.softmax(z, axis=1), rtol=1e-12)
    np.testing.assert_allclose(softmax(z).sum(axis=1), 1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), n_classes=st.integers(3, 5), l2=st.sampled_from([1e-2, 0.1, 1.0]))
def test_agrees_with_scikit_learn(seed: int, n_classes: int, l2: float) -> None:
    X, y = problem(seed, n_classes)
    theirs = linear_model.LogisticRegression(C=1 / (l2 * len(X)), solver="newton-cholesky", tol=1e-10).fit(X, y)
    ours = SoftmaxRegression(l2).fit(X, y)
    np.testing.assert_allclose(ours.coef_.T, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_two_classes_are_logistic_regression_with_half_the_penalty() -> None:
    X, y = problem(1, 2)
    ours = SoftmaxRegression(0.02).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(ours, LogisticRegression(0.01).fit(X, y).predict_proba(X), atol=1e-4)


def test_features_of_very_different_units_converge() -> None:
    X, y = problem(2, 3)
    units = np.array([1e-6, 1.0, 1e3, 1e6])
    plain, scaled = SoftmaxRegression(0.0).fit(X, y), SoftmaxRegression(0.0).fit(X * units + 5 * units, y)
    np.testing.assert_allclose(scaled.predict_proba(X * units + 5 * units), plain.predict_proba(X), atol=1e-6)
    assert scaled.n_iter_ < 2000


def test_a_single_class_is_certain_and_constant_features_say_nothing() -> None:
    X, y = problem(3, 3)
    assert SoftmaxRegression().fit(X, np.full(len(X), 7)).predict_proba(X).tolist() == [[1.0]] * len(X)
    shares = SoftmaxRegression().fit(np.full_like(X, 0.3), y).predict_proba(np.full((1, 4), 0.3))[0]
    np.testing.assert_allclose(shares, np.bincount(y) / len(y), atol=1e-5)


def test_far_queries_do_not_overflow() -> None:
    model = SoftmaxRegression().fit(*problem(4, 3))
    probabilities = model.predict_proba(np.full((1, 4), 1e6))
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("parameters", [{"l2": -0.1}, {"l2": np.nan}, {"max_iter": 0}])
def test_parameters_out_of_range_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))} "):
        SoftmaxRegression(**parameters).fit(*problem(5, 3))
