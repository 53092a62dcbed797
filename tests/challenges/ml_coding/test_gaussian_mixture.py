"""The Gaussian mixture against SciPy and scikit-learn; collapse, death and many dimensions."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn import mixture
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.gaussian_mixture import GaussianMixture, Mixture, e_step, log_joint, log_sum_exp, m_step


def random_mixture(rng: np.random.Generator, n_components: int, n_features: int) -> Mixture:
    roots = rng.normal(size=(n_components, n_features, n_features))
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(n_features)
    return Mixture(rng.dirichlet(np.ones(n_components)), rng.normal(size=(n_components, n_features)), covariances)


def test_scikit_learn_accepts_it() -> None:
    check_estimator(GaussianMixture(n_components=2), on_skip=None)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n_components=st.integers(1, 4), n_features=st.integers(1, 5))
def test_steps_agree_with_scipy_and_scikit_learn(seed: int, n_components: int, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    start, X = random_mixture(rng, n_components, n_features), rng.normal(size=(60, n_features))
    joint = log_joint(X, start)
    expected = np.column_stack(
        [np.log(w) + multivariate_normal(m, c).logpdf(X) for w, m, c in zip(*start, strict=True)]
    )
    np.testing.assert_allclose(joint, expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(log_sum_exp(joint), logsumexp(joint, axis=1))

    # One iteration from the same start, theirs given its precisions.
    theirs = mixture.GaussianMixture(
        n_components, weights_init=start.weights, means_init=start.means,
        precisions_init=np.linalg.inv(start.covariances), max_iter=1, reg_covar=1e-6,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of course not, after one
        theirs.fit(X)
    responsibilities, likelihood = e_step(X, start)
    ours = m_step(X, responsibilities, 1e-6)
    assert likelihood == pytest.approx(theirs.lower_bound_, abs=1e-7)
    np.testing.assert_allclose(ours.weights, theirs.weights_, atol=1e-7)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-6)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, atol=1e-6)
    np.testing.assert_allclose(e_step(X, ours)[0], theirs.predict_proba(X), atol=1e-5)


def test_the_likelihood_never_falls() -> None:
    rng = np.random.default_rng(0)
    X, current = rng.normal(size=(150, 3)), random_mixture(rng, 3, 3)
    likelihoods = []
    for _ in range(40):
        responsibilities, likelihood = e_step(X, current)
        likelihoods.append(likelihood)
        current = m_step(X, responsibilities, reg_covar=0.0)
    assert np.all(np.diff(likelihoods) >= -1e-10)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1)


def test_finds_the_blobs_that_scikit_learn_finds() -> None:
    X, labels = make_blobs(500, centers=4, random_state=3)
    ours = GaussianMixture(4, tol=1e-6).fit(X)
    theirs = mixture.GaussianMixture(4, tol=1e-6, random_state=0, n_init=3).fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-4)
    assert ours.converged_
    np.testing.assert_allclose(np.sort(ours.weights_), np.sort(theirs.weights_), atol=1e-3)
    assert len({(a, b) for a, b in zip(ours.predict(X), labels, strict=True)}) < 8  # few rows astray


def test_one_component_is_mean_and_covariance() -> None:
    X = np.random.default_rng(1).normal(size=(40, 2)) + 1e4
    model = GaussianMixture(reg_covar=0.0).fit(X)
    np.testing.assert_allclose(model.means_[0], X.mean(axis=0))
    np.testing.assert_allclose(model.covariances_[0], np.cov(X.T, bias=True), rtol=1e-6)


def test_a_component_on_a_single_point_does_not_collapse() -> None:
    X = np.vstack([np.random.default_rng(2).normal(size=(50, 2)), np.full((20, 2), 30.0)])
    model = GaussianMixture(2).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert np.sort(model.weights_)[0] == pytest.approx(20 / 70)


def test_a_dead_component_stays_out_without_warnings() -> None:
    X = np.random.default_rng(3).normal(size=(30, 2))
    dead = Mixture(np.array([1.0, 0.0]), np.zeros((2, 2)), np.array([np.eye(2), np.eye(2)]))
    responsibilities, likelihood = e_step(X, dead)
    assert responsibilities.tolist() == [[1.0, 0.0]] * 30
    assert np.isfinite(likelihood)
    assert np.isfinite(m_step(X, responsibilities, 1e-6).covariances).all()


def test_densities_that_underflow_still_share() -> None:
    rng = np.random.default_rng(4)
    X = np.vstack([rng.normal(-1, 1, (30, 300)), rng.normal(1, 1, (30, 300))])  # e^-400 and less
    model = GaussianMixture(2, reg_covar=1.0).fit(X)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert len(set(model.predict(X[:30]))) == len(set(model.predict(X[30:]))) == 1
    assert model.score(X) < -300


def test_too_few_iterations_are_told() -> None:
    X = np.random.default_rng(5).normal(size=(60, 2))
    with pytest.warns(ConvergenceWarning, match="not converged in 2 iterations"):
        GaussianMixture(3, max_iter=2, tol=1e-12).fit(X)
    with pytest.raises(ValueError, match="minimum of 2"):
        GaussianMixture().fit(X[:1])


@pytest.mark.parametrize("parameters", [{"max_iter": 0}, {"n_init": 0}, {"n_components": 0}, {"reg_covar": -0.1}])
def test_parameters_out_of_range_are_refused(parameters: dict[str, float]) -> None:
    X = np.random.default_rng(6).normal(size=(20, 2))
    model = GaussianMixture().fit(X).set_params(**parameters)  # a second fit must not keep what the first found
    with pytest.raises(ValueError, match=f"^{next(iter(parameters))} .* {next(iter(parameters.values()))}"):
        model.fit(X)
