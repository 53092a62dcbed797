"""Mixtures of t distributions: against SciPy's and scikit-learn's densities, and in the presence of outliers."""

import numpy as np
import pytest
from scipy.stats import multivariate_t
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from challenges.radix_energy.mixture import StudentMixture


def blobs(n: int, centers: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(centers), n)
    return centers[labels] + rng.normal(size=(n, centers.shape[1])), labels


CENTERS = np.array([[0.0, 0.0, 0.0], [7.0, 0.0, 0.0], [0.0, 7.0, 0.0], [0.0, 0.0, 7.0]])


@pytest.mark.parametrize("spherical", [True, False])
def test_the_log_likelihood_is_that_of_scipys_density(spherical):
    rows, _ = blobs(200, CENTERS)
    fitted = StudentMixture(4, spherical=spherical).fit(rows)
    density = sum(
        weight * multivariate_t(center, fitted.scale_, df=fitted.degrees_of_freedom).pdf(rows)
        for weight, center in zip(fitted.weights_, fitted.centers_, strict=True)
    )
    assert fitted.log_likelihood_ == pytest.approx(np.log(density).sum(), rel=1e-9)
    assert fitted.weights_.sum() == pytest.approx(1)


def test_with_very_many_degrees_of_freedom_it_is_scikit_learns_gaussian_mixture():
    rows, _ = blobs(400, CENTERS)
    ours = StudentMixture(4, degrees_of_freedom=1e9, tolerance=1e-9, max_iterations=1000).fit(rows)
    theirs = GaussianMixture(4, covariance_type="tied", n_init=5, tol=1e-9, max_iter=1000, random_state=0).fit(rows)
    assert ours.log_likelihood_ == pytest.approx(theirs.score(rows) * len(rows), rel=1e-3)
    assert adjusted_rand_score(ours.predict(rows), theirs.predict(rows)) == 1
    # scikit-learn adds 1e-6 to the covariance as well, so the two criteria agree nearly, not exactly.
    assert ours.bic_ == pytest.approx(theirs.bic(rows), rel=1e-3)


def test_far_outliers_neither_move_a_centre_nor_get_a_cluster():
    rows, labels = blobs(400, CENTERS)
    rng = np.random.default_rng(1)
    strange = rng.normal(size=(20, 3)) * 300
    fitted = StudentMixture(4).fit(np.vstack([rows, strange]))
    assert adjusted_rand_score(labels, fitted.predict(rows)) > 0.97
    nearest = np.linalg.norm(fitted.centers_[:, None] - CENTERS, axis=2).min(1)
    assert nearest.max() < 0.5


def test_a_handful_far_away_is_no_cluster():
    rows, labels = blobs(400, CENTERS)
    few = np.full((4, 3), 40.0) + np.random.default_rng(2).normal(size=(4, 3))
    fitted = StudentMixture(4, min_share=0.02).fit(np.vstack([rows, few]))
    assert adjusted_rand_score(labels, fitted.predict(rows)) > 0.97


def test_a_stretched_space_changes_nothing_for_the_free_form():
    rows, _ = blobs(400, CENTERS)
    stretch = np.array([[5.0, 1.0, 0.0], [0.0, 0.2, 0.0], [0.3, 0.0, 2.0]])
    labels = StudentMixture(4).fit(rows).predict(rows)
    assert adjusted_rand_score(labels, StudentMixture(4).fit(rows @ stretch).predict(rows @ stretch)) == 1


def test_memberships_are_probabilities_and_the_largest_is_the_cluster():
    rows, _ = blobs(300, CENTERS / 3)
    fitted = StudentMixture(4).fit(rows)
    memberships = fitted.predict_proba(rows)
    assert memberships.shape == (300, 4)
    assert np.allclose(memberships.sum(1), 1)
    assert (memberships.argmax(1) == fitted.predict(rows)).all()


def test_rows_in_one_place_are_no_division_by_zero():
    fitted = StudentMixture(2).fit(np.vstack([np.zeros((20, 2)), np.ones((20, 2))]))
    assert np.isfinite(fitted.log_likelihood_)
    assert len(set(fitted.predict(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist())) == 2


@pytest.mark.parametrize("rows", [np.zeros((3, 2)), np.array([[np.nan, 0.0]] * 10)])
def test_what_cannot_be_clustered_is_refused(rows):
    with pytest.raises(ValueError, match="all finite"):
        StudentMixture(4).fit(rows)
