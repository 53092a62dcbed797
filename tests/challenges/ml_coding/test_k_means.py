"""k-means against scikit-learn from the same start; empty clusters, copies, offsets and k at its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster
from sklearn.datasets import make_blobs
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.k_means import KMeans, fill_empty_clusters, k_means_plus_plus, lloyd


def test_scikit_learn_accepts_it() -> None:
    check_estimator(KMeans(n_clusters=3, n_init=2), on_skip=None)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n_clusters=st.integers(1, 8), n_features=st.integers(1, 6))
def test_agrees_with_scikit_learn_from_the_same_start(seed: int, n_clusters: int, n_features: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, n_features))
    start = X[rng.choice(120, n_clusters, replace=False)]
    theirs = cluster.KMeans(n_clusters, init=start, n_init=1, tol=0, algorithm="lloyd").fit(X)
    ours = KMeans(n_clusters, init=start).fit(X)
    assert ours.labels_.tolist() == theirs.labels_.tolist()
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, atol=1e-9)
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
    assert ours.predict(X).tolist() == ours.labels_.tolist()


def test_finds_the_blobs_that_scikit_learn_finds() -> None:
    X, _ = make_blobs(400, centers=6, cluster_std=0.5, random_state=0)
    theirs = cluster.KMeans(6, n_init=10, random_state=0).fit(X)
    assert KMeans(6).fit(X).inertia_ == pytest.approx(theirs.inertia_, rel=1e-6)


def test_the_sum_falls_with_every_iteration_and_with_every_start() -> None:
    X = np.random.default_rng(1).normal(size=(300, 2))
    start = X[:6]
    sums = [KMeans(6, init=start, max_iter=n).fit(X).inertia_ for n in range(1, 20)]
    assert np.all(np.diff(sums) <= 1e-9)
    starts = [KMeans(6, n_init=n).fit(X).inertia_ for n in (1, 3, 10)]
    assert starts == sorted(starts, reverse=True)


@pytest.mark.parametrize("max_iter", [1, 2, 3, 300])
def test_labels_fit_the_centres_wherever_it_ends(max_iter: int) -> None:
    X = np.random.default_rng(2).normal(size=(200, 3))
    model = KMeans(5, init=X[:5], max_iter=max_iter).fit(X)
    assert model.predict(X).tolist() == model.labels_.tolist()
    expected = ((X - model.cluster_centers_[model.labels_]) ** 2).sum()
    assert model.inertia_ == pytest.approx(expected)


def test_empty_clusters_are_filled() -> None:
    X = np.array([[0.0], [1.0], [10.0], [11.0]])
    model = KMeans(3, init=[[0.5], [1e6], [2e6]]).fit(X)  # nobody's nearest at first
    assert np.isfinite(model.cluster_centers_).all()
    assert sorted(np.bincount(model.labels_)) == [1, 1, 2]


def test_filling_takes_no_clusters_last_row() -> None:
    labels, distances = np.array([0, 1, 1]), np.array([100.0, 1.0, 2.0])
    fill_empty_clusters(labels, distances, 3)
    assert labels.tolist() == [0, 1, 2]
    assert distances.tolist() == [100, 1, 0]


def test_copies_fewer_than_clusters_end_with_a_sum_of_zero() -> None:
    X = np.repeat([[0.1, 0.2], [5.0, 6.0]], 4, axis=0)
    model = KMeans(4).fit(X)
    assert model.inertia_ == pytest.approx(0, abs=1e-20)
    assert np.isfinite(model.cluster_centers_).all()


def test_as_many_clusters_as_rows_and_no_more() -> None:
    X = np.random.default_rng(3).normal(size=(7, 2))
    assert KMeans(7).fit(X).inertia_ == pytest.approx(0, abs=1e-20)
    with pytest.raises(ValueError, match=r"n_clusters = 8 .* n_samples = 7"):
        KMeans(8).fit(X)
    assert KMeans(1).fit(X).cluster_centers_[0] == pytest.approx(X.mean(axis=0))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"init": "random"}, r"^init = 'random' is none of 'k-means\+\+'$"),
        ({"init": np.zeros((2, 2))}, r"^init \(2, 2\) is not \(n_clusters, D\) = \(5, 2\)"),
        ({"init": np.zeros((5, 1))}, r"^init \(5, 1\) is not"),  # a column would be repeated
        ({"init": np.full((5, 2), np.nan)}, "NaN"),
        ({"n_init": 0}, "^n_init"),
        ({"max_iter": 0}, "^max_iter"),
        ({"n_clusters": 0}, "^n_clusters"),
    ],
)
def test_what_is_not_offered_is_refused(parameters: dict[str, object], message: str) -> None:
    X = np.random.default_rng(6).normal(size=(20, 2))
    with pytest.raises(ValueError, match=message):
        KMeans(**{"n_clusters": 5, **parameters}).fit(X)


def test_the_number_of_clusters_is_whole_and_within_the_rows_for_every_function() -> None:
    X, rng = np.random.default_rng(7).normal(size=(4, 2)), np.random.default_rng(8)
    with pytest.raises(TypeError, match="n_clusters"):
        KMeans(2.5).fit(X)  # would be 3
    for n_clusters in (0, 5):
        with pytest.raises(ValueError, match="n_clusters"):
            k_means_plus_plus(X, n_clusters, rng)
        with pytest.raises(ValueError, match="n_clusters"):
            lloyd(X, np.zeros((n_clusters, 2)), 1)


def test_an_offset_changes_nothing() -> None:
    X, _ = make_blobs(200, centers=4, random_state=1)
    assert KMeans(4).fit(X + 1e7).inertia_ == pytest.approx(KMeans(4).fit(X).inertia_, rel=1e-6)


def test_far_rows_are_drawn_by_their_squared_distance() -> None:
    X = np.array([[0.0], [1.0], [4.0]])
    rng = np.random.default_rng(4)
    pairs = [tuple(k_means_plus_plus(X, 2, rng)[:, 0]) for _ in range(6000)]
    after_first = [second for first, second in pairs if first == 0.0]
    assert np.mean(np.array(after_first) == 4.0) == pytest.approx(16 / 17, abs=0.02)
    assert all(first != second for first, second in pairs)


def test_it_settles_where_nothing_moves() -> None:
    X = np.random.default_rng(5).normal(size=(100, 2))
    run = lloyd(X, X[:4], 300)
    assert lloyd(X, run.centers, 300).n_iter <= 2
    assert run.n_iter < 300
