"""Linear regression against scikit-learn, and where the normal equations and the descent go wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.linear_regression import LinearRegression


def problem(seed: int, n_features: int, rows_a_feature: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows_a_feature * n_features + 10, n_features))
    return X, X @ rng.normal(size=n_features) + 3 + rng.normal(size=len(X))


@pytest.mark.parametrize("solver", ["normal", "gradient"])
def test_scikit_learn_accepts_it(solver: str) -> None:
    check_estimator(LinearRegression(solver=solver), on_skip=None)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n_features=st.integers(1, 10), alpha=st.sampled_from([0.0, 0.1, 10.0]))
def test_both_solvers_agree_with_scikit_learn(seed: int, n_features: int, alpha: float) -> None:
    X, y = problem(seed, n_features)
    theirs = linear_model.Ridge(alpha).fit(X, y) if alpha else linear_model.LinearRegression().fit(X, y)
    for solver, tolerance in (("normal", 1e-9), ("gradient", 1e-6)):
        ours = LinearRegression(alpha, solver=solver).fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=tolerance)
        assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=tolerance)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=10 * tolerance)


def test_the_intercept_is_not_penalised() -> None:
    X, y = problem(0, 3)
    model, moved = LinearRegression(5.0).fit(X, y), LinearRegression(5.0).fit(X + 1000, y + 1e6)
    np.testing.assert_allclose(moved.coef_, model.coef_, atol=1e-6)
    np.testing.assert_allclose(moved.predict(X + 1000), model.predict(X) + 1e6, atol=1e-6)
    drowned = LinearRegression(1e12).fit(X, y)
    np.testing.assert_allclose(drowned.predict(X), y.mean(), atol=1e-6)


@pytest.mark.parametrize("solver", ["normal", "gradient"])
def test_repeated_and_constant_features_share_and_get_nothing(solver: str) -> None:
    X, y = problem(1, 1)
    model = LinearRegression(solver=solver).fit(np.column_stack([X, X, np.full(len(X), 7.0)]), y)
    once = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, [once.coef_[0] / 2, once.coef_[0] / 2, 0], atol=1e-6)


def test_more_features_than_rows_gives_the_smallest_solution() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(5, 20)), rng.normal(size=5)
    model = LinearRegression().fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-9)
    smallest = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(model.coef_, smallest, atol=1e-9)


def test_small_integers_do_not_overflow() -> None:
    X = np.arange(100, dtype=np.int8)[:, None]
    model = LinearRegression().fit(X, np.arange(100, dtype=np.int8))
    assert model.coef_[0] == pytest.approx(1)
    assert LinearRegression(solver="gradient").fit(X, X[:, 0]).loss_curve_[0] == pytest.approx(83325)


def test_the_loss_falls_at_every_step_up_to_the_critical_rate() -> None:
    X, y = problem(3, 5)
    for rate in (0.1, 1.0, 1.9):
        model = LinearRegression(solver="gradient", learning_rate=rate, tol=1e-6).fit(X, y)
        assert np.all(np.diff(model.loss_curve_) <= 1e-9)
        assert len(model.loss_curve_) == model.n_iter_ > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate": 2.0}, "^learning rate 2.0"),
        ({"learning_rate": 0.0}, "^learning rate 0.0"),
        ({"alpha": -1.0}, "^alpha = -1.0"),
        ({"alpha": np.nan}, "^alpha = nan"),
        ({"max_iter": 0}, "^max_iter == 0"),
        ({"solver": "svd"}, "^solver = 'svd' is none of 'normal', 'gradient'$"),
    ],
)
def test_what_cannot_converge_is_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearRegression(**{"solver": "gradient", **parameters}).fit(*problem(4, 2))


def test_unscaled_features_run_out_of_steps_and_say_so() -> None:
    X, y = problem(5, 2)
    with pytest.warns(ConvergenceWarning, match="scale the features"):
        LinearRegression(solver="gradient", max_iter=50).fit(X * [1, 1000], y)
