"""Nearest neighbours against brute force and scikit-learn; ties, copies, offsets and k at its bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import neighbors
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding import nearest_neighbours
from challenges.ml_coding.nearest_neighbours import KNeighborsClassifier, KNeighborsRegressor, nearest


def brute_force(X: np.ndarray, queries: np.ndarray, k: int) -> list[list[int]]:
    rows = range(len(X))
    return [sorted(rows, key=lambda i: (float(((X[i] - q) ** 2).sum()), i))[:k] for q in queries]


@pytest.mark.parametrize("estimator", [KNeighborsClassifier(), KNeighborsRegressor()])
def test_scikit_learn_accepts_it(estimator: KNeighborsClassifier | KNeighborsRegressor) -> None:
    check_estimator(estimator, on_skip=None)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_ties_go_to_the_first_row(data: st.DataObject) -> None:
    n, n_features = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    # Few places, so that many rows are equally far away; 0.1 is not exact in binary.
    X = rng.integers(0, 3, (n, n_features)) * data.draw(st.sampled_from([1.0, 0.1]))
    queries = X[rng.integers(n, size=5)] if data.draw(st.booleans()) else rng.integers(0, 3, (5, n_features)) * 1.0
    k = data.draw(st.integers(1, n))
    distances, indices = nearest(X, queries, k)
    assert indices.tolist() == brute_force(X, queries, k)
    np.testing.assert_array_equal(distances, np.sqrt(((queries[:, None] - X[indices]) ** 2).sum(axis=2)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), n_features=st.integers(1, 12), k=st.integers(1, 9))
def test_agrees_with_scikit_learn(seed: int, n_features: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    X, queries = rng.normal(size=(80, n_features)), rng.normal(size=(40, n_features))
    classes, targets = rng.integers(4, size=80), rng.normal(size=80)
    ours, theirs = KNeighborsClassifier(k).fit(X, classes), neighbors.KNeighborsClassifier(k).fit(X, classes)
    np.testing.assert_array_equal(ours.predict(queries), theirs.predict(queries))
    np.testing.assert_allclose(ours.predict_proba(queries), theirs.predict_proba(queries))
    expected = neighbors.KNeighborsRegressor(k).fit(X, targets).predict(queries)
    np.testing.assert_allclose(KNeighborsRegressor(k).fit(X, targets).predict(queries), expected)


def test_far_from_the_origin_no_digits_are_lost() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(-1000, 1000, (200, 3)) / 1024  # so that the offset loses none of their digits
    near, far = nearest(X, X, 4), nearest(X + 1e8, X + 1e8, 4)
    np.testing.assert_array_equal(far[1], near[1])
    np.testing.assert_array_equal(far[0], near[0])


def test_copies_are_found_in_order() -> None:
    X = np.full((50, 7), 0.1)
    distances, indices = nearest(X, X[:3], 4)
    assert indices.tolist() == [[0, 1, 2, 3]] * 3
    assert not distances.any()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(1).normal(size=(30, 2))
    whole = nearest(X, X, 3)
    for chunk in (1, 60, 89, 900):
        monkeypatch.setattr(nearest_neighbours, "CHUNK", chunk)
        np.testing.assert_array_equal(nearest(X, X, 3)[1], whole[1])


def test_even_votes_go_to_the_lower_class() -> None:
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["b", "b", "a", "a"])
    model = KNeighborsClassifier(4).fit(X, y)
    assert model.predict([[0.0]]).tolist() == ["a"]
    assert model.predict_proba([[0.0]]).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("k", [0, 5])
def test_k_must_be_within_the_rows(k: int) -> None:
    X = np.arange(4.0)[:, None]
    with pytest.raises(ValueError, match=f"n_neighbors = {k} .* n_samples = 4"):
        KNeighborsClassifier(k).fit(X, [0, 0, 1, 1]).predict(X)
    assert KNeighborsRegressor(4).fit(X, X[:, 0]).predict(X[:1]).tolist() == [1.5]


@pytest.mark.parametrize("shape", [(2, 1), (2, 2), (3,)])
def test_queries_of_other_features_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^X \(4, 3\) and queries .* are not \(N, D\) and \(M, D\)"):
        nearest(np.zeros((4, 3)), np.zeros(shape), 1)
