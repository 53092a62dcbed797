"""The best split against trying every cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from challenges.ml_coding.labels import one_hot
from challenges.ml_coding.split_search import Criterion, best_split


def cost(Y: np.ndarray, criterion: Criterion) -> float:
    """Rows times impurity, from the definition."""
    if criterion == "entropy":
        return len(Y) * float(entropy(Y.sum(axis=0), base=2))
    if criterion == "gini":
        return len(Y) * (1 - float((Y.mean(axis=0) ** 2).sum()))
    return float(((Y - Y.mean(axis=0)) ** 2).sum())


def every_cut(X: np.ndarray, Y: np.ndarray, criterion: Criterion, min_samples_leaf: int) -> list[tuple[float, int]]:
    """Gain and feature of every allowed cut."""
    found = []
    for feature in range(X.shape[1]):
        for value in np.unique(X[:, feature])[:-1]:
            low = X[:, feature] <= value
            if min(low.sum(), (~low).sum()) >= min_samples_leaf:
                gain = cost(Y, criterion) - cost(Y[low], criterion) - cost(Y[~low], criterion)
                found.append((gain, feature))
    return found


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 25),
    n_values=st.integers(1, 8),
    criterion=st.sampled_from(["gini", "entropy", "squared_error"]),
    min_samples_leaf=st.integers(1, 5),
)
def test_finds_what_trying_every_cut_finds(
    seed: int, n: int, n_values: int, criterion: Criterion, min_samples_leaf: int
) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(n_values, size=(n, 3)).astype(float)
    Y = rng.normal(5, 1, (n, 1)) if criterion == "squared_error" else one_hot(rng.integers(3, size=n), 3)
    cuts, split = every_cut(X, Y, criterion, min_samples_leaf), best_split(X, Y, criterion, min_samples_leaf)
    if not cuts:
        assert split is None
        return
    assert split is not None
    assert split.gain == pytest.approx(max(cuts)[0], abs=1e-9)
    low = X[:, split.feature] <= split.threshold
    assert min(low.sum(), (~low).sum()) >= min_samples_leaf
    kept = cost(Y[low], criterion) + cost(Y[~low], criterion)
    assert cost(Y, criterion) - kept == pytest.approx(split.gain, abs=1e-9)


def test_equally_good_cuts_go_to_the_lowest_feature_and_threshold() -> None:
    X = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    split = best_split(X, one_hot(np.array([0, 1, 1, 0]), 2), "gini")
    assert split is not None
    assert (split.feature, split.threshold) == (0, 0.5)


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, np.nextafter(1.0, 2)), (-1.5e308, 1.7e308), (1.5e308, 1.7e308), (0.0, 5e-324)]
)
def test_thresholds_separate_neighbouring_floats_and_do_not_overflow(low: float, high: float) -> None:
    split = best_split(np.array([[low], [high]]), np.eye(2), "gini")
    assert split is not None
    assert low <= split.threshold < high


def test_another_criterion_is_refused() -> None:
    X, Y = np.arange(4.0)[:, None], one_hot(np.array([0, 1, 1, 0]), 2)
    with pytest.raises(ValueError, match=r"^criterion = 'log_loss' is none of 'gini', 'entropy', 'squared_error'$"):
        best_split(X, Y, "log_loss")  # type: ignore[arg-type]


@pytest.mark.parametrize("min_samples_leaf", [0, -1])
def test_a_leaf_has_a_row(min_samples_leaf: int) -> None:
    with pytest.raises(ValueError, match="min_samples_leaf"):
        best_split(np.arange(4.0)[:, None], one_hot(np.array([0, 1, 1, 0]), 2), "gini", min_samples_leaf)


@pytest.mark.parametrize("shape", [(4,), (5, 2), (3, 2)])
def test_other_shapes_than_rows_and_classes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"not \(n, D\) and \(n, K\)"):
        best_split(np.arange(4.0)[:, None], np.ones(shape), "gini")


def test_equal_values_are_never_cut() -> None:
    assert best_split(np.ones((6, 2)), one_hot(np.array([0, 1, 0, 1, 0, 1]), 2), "gini") is None
    assert best_split(np.ones((1, 2)), np.eye(1), "gini") is None


def test_a_large_mean_does_not_hide_the_differences() -> None:
    X, Y = np.arange(6.0)[:, None], 1e9 + np.array([0, 0, 0, 0, 1, 1.0])[:, None]
    split = best_split(X, Y, "squared_error")
    assert split is not None
    assert split.threshold == 3.5
    assert split.gain == pytest.approx(4 / 3)
