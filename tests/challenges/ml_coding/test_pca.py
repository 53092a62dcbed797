"""PCA against scikit-learn; signs, constant data, more features than rows, and small components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.pca import PCA


def test_scikit_learn_accepts_it() -> None:
    check_estimator(PCA(), on_skip=None)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 40), n_features=st.integers(1, 12))
def test_agrees_with_scikit_learn(seed: int, n: int, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)) * np.arange(1, n_features + 1) + 5
    # Of n centred rows the last of n components has no variance, and so no direction.
    n_components = max(1, min(n - 1, n_features))
    ours = PCA(n_components).fit(X)
    theirs = decomposition.PCA(n_components, svd_solver="full").fit(X)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-8)
    gaps = np.diff(ours.explained_variance_, append=0)
    if np.abs(gaps).min() > 1e-3 * ours.explained_variance_[0]:  # else the directions are not determined
        # The sign rule is theirs too; entries of equal size, at which it may turn over, do not occur.
        np.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-8)
        np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-7)


def test_components_are_orthonormal_and_all_of_them_lose_nothing() -> None:
    X = np.random.default_rng(1).normal(size=(30, 5)) @ np.random.default_rng(2).normal(size=(5, 5))
    model = PCA().fit(X)
    np.testing.assert_allclose(model.components_ @ model.components_.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X)
    np.testing.assert_allclose(np.cov(model.transform(X).T), np.diag(model.explained_variance_), atol=1e-9)


def test_small_components_keep_their_digits() -> None:
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    scores = np.linalg.qr(rng.normal(size=(50, 3)))[0]
    scores = np.linalg.qr(scores - scores.mean(axis=0))[0]  # centred, orthonormal columns
    X = scores * [1.0, 1e-5, 1e-10] @ rotation
    deviations = np.sqrt(PCA().fit(X).explained_variance_ * 49)
    np.testing.assert_allclose(deviations, [1, 1e-5, 1e-10], rtol=1e-4)
    through_covariance = np.linalg.eigvalsh(X.T @ X)[0]  # the short cut, and its 1e-20
    assert not np.isclose(through_covariance, 1e-20, rtol=0.5, atol=0)


def test_constant_data_have_no_variance_and_offsets_do_not_matter() -> None:
    model = PCA().fit(np.full((4, 2), 0.1))
    np.testing.assert_allclose(model.explained_variance_, 0, atol=1e-30)
    assert np.isfinite(model.explained_variance_ratio_).all()
    X = np.random.default_rng(4).normal(size=(20, 3))
    np.testing.assert_allclose(PCA().fit(X + 1e6).components_, PCA().fit(X).components_, atol=1e-6)


def test_the_largest_entry_of_a_component_is_positive() -> None:
    X = np.random.default_rng(5).normal(size=(30, 4))
    for data in (X, -X, X[:, ::-1]):
        components = PCA().fit(data).components_
        assert (components[np.arange(4), np.abs(components).argmax(axis=1)] > 0).all()


@pytest.mark.parametrize("n_components", [0, 4])
def test_components_must_be_within_the_smaller_side(n_components: int) -> None:
    with pytest.raises(ValueError, match=r"min\(n_samples, n_features\) = 3"):
        PCA(n_components).fit(np.eye(3))
