"""Decision trees against scikit-learn; limits, repeated values, XOR and rows that contradict each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import tree
from sklearn.utils.estimator_checks import check_estimator

from challenges.ml_coding.decision_tree import DecisionTreeClassifier, DecisionTreeRegressor, Node


def float32_grid(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Values that scikit-learn, which rounds features to float32, keeps as they are."""
    return rng.integers(-(2**20), 2**20, shape) / 2**10


def leaves(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.left < 0]


@pytest.mark.parametrize("estimator", [DecisionTreeClassifier(), DecisionTreeRegressor()])
def test_scikit_learn_accepts_it(estimator: DecisionTreeClassifier | DecisionTreeRegressor) -> None:
    check_estimator(estimator, on_skip=None)


LIMITS = st.fixed_dictionaries(
    {
        "max_depth": st.one_of(st.none(), st.integers(1, 6)),
        "min_samples_leaf": st.integers(1, 6),
        "max_leaf_nodes": st.one_of(st.none(), st.integers(2, 12)),
    }
)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), limits=LIMITS)
def test_regression_agrees_with_scikit_learn(seed: int, limits: dict[str, int | None]) -> None:
    rng = np.random.default_rng(seed)
    X, y = float32_grid(rng, (90, 4)), rng.normal(size=90)  # no two cuts are equally good
    ours, theirs = DecisionTreeRegressor(**limits).fit(X, y), tree.DecisionTreeRegressor(**limits).fit(X, y)
    # Where two features cut the same rows apart, the choice shows only in rows that were not trained on.
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), criterion=st.sampled_from(["gini", "entropy"]), n_values=st.integers(2, 50))
def test_first_split_is_as_good_as_scikit_learns(seed: int, criterion: str, n_values: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.integers(n_values, size=(80, 3)).astype(float), rng.integers(3, size=80)
    theirs = tree.DecisionTreeClassifier(criterion=criterion, max_depth=1).fit(X, y)
    ours = DecisionTreeClassifier(criterion, max_depth=1).fit(X, y)

    def impurity(probabilities: np.ndarray) -> float:
        logs = np.log2(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))
        return float((1 - (probabilities**2).sum(1)).mean() if criterion == "gini" else -(probabilities * logs).sum())

    assert impurity(ours.predict_proba(X)) == pytest.approx(impurity(theirs.predict_proba(X)), abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32), criterion=st.sampled_from(["gini", "entropy"]))
def test_without_limits_only_contradicting_rows_are_wrong(seed: int, criterion: str) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.integers(4, size=(60, 2)).astype(float), rng.integers(3, size=60)
    ours = DecisionTreeClassifier(criterion).fit(X, y)
    theirs = tree.DecisionTreeClassifier(criterion=criterion).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X))
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_xor_is_split_though_its_first_split_gains_nothing() -> None:
    X, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 0])
    assert DecisionTreeClassifier().fit(X, y).predict(X).tolist() == y.tolist()


def test_limits_hold() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)), rng.integers(2, size=300)
    for depth in (0, 1, 4):
        nodes = DecisionTreeClassifier(max_depth=depth).fit(X, y).tree_
        assert max(node.depth for node in nodes) == depth
    for n_leaves in (1, 2, 7):
        assert len(leaves(DecisionTreeClassifier(max_leaf_nodes=n_leaves).fit(X, y).tree_)) == n_leaves
    model = DecisionTreeRegressor(min_samples_leaf=20).fit(X, X[:, 0])
    assert np.unique(model.predict(X), return_counts=True)[1].min() >= 20


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [1, 1, 1, 1]])  # also where nothing is to be split
@pytest.mark.parametrize(
    "parameters",
    [{"criterion": "log_loss"}, {"min_samples_leaf": 0}, {"max_depth": -1}, {"max_leaf_nodes": 0}],
    ids=lambda parameters: next(iter(parameters)),
)
def test_what_is_not_offered_is_refused(parameters: dict[str, object], labels: list[int]) -> None:
    X, name = np.arange(4.0)[:, None], next(iter(parameters))
    with pytest.raises(ValueError, match=f"^{name} "):
        DecisionTreeClassifier(**parameters).fit(X, labels)
    if name != "criterion":
        with pytest.raises(ValueError, match=f"^{name} "):
            DecisionTreeRegressor(**parameters).fit(X, labels)


def test_one_class_and_constant_features_are_a_single_leaf() -> None:
    X = np.arange(8.0).reshape(4, 2)
    assert len(DecisionTreeClassifier().fit(X, np.ones(4)).tree_) == 1
    model = DecisionTreeClassifier().fit(np.ones((4, 2)), [0, 1, 1, 0])
    assert len(model.tree_) == 1
    assert model.predict(np.ones((1, 2))).tolist() == [0]  # even shares: the lower class
    assert DecisionTreeRegressor().fit(np.ones((4, 1)), [1, 2, 3, 6]).predict([[9.0]]).tolist() == [3]


def test_a_tree_deeper_than_pythons_recursion_grows() -> None:
    # Of alternating classes each best split takes off a single row, so the tree is a chain.
    X, y = np.arange(1200.0)[:, None], np.arange(1200) % 2
    model = DecisionTreeClassifier().fit(X, y)
    assert max(node.depth for node in model.tree_) > 1000
    assert model.score(X, y) == 1
