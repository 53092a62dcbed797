"""Decision tree (CART; Breiman et al. 1984): questions "is feature j at most t?", each the best for its rows.

Leaves wait in a heap, and the one whose split saves most is split first: so a limit on leaves keeps the best
splits, and a tree as deep as its data meets no recursion limit. `split_search` finds the splits.

Complexity of N rows, D features and K classes: O(D N (log N + K)) time a level, times log N levels where the
tree is balanced and N at worst; O(D N K) memory. A query takes O(depth).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from challenges.ml_coding.labels import encode_classes, one_hot
from challenges.ml_coding.parameters import check_counts, check_option
from challenges.ml_coding.split_search import Criterion, Floats, Split, best_split


@dataclass
class Node:
    """A question with the numbers of its two children, or a leaf, whose `left` and `right` are -1."""

    depth: int
    value: Floats
    """(K,) mean of Y over the node's rows."""
    feature: int = 0
    threshold: float = 0.0
    left: int = -1
    right: int = -1


def evaluate(tree: list[Node], X: Floats) -> Floats:
    """The values of the leaves in which the rows of X (M, D) end: (M, K)."""
    questions = np.array([(node.feature, node.left, node.right) for node in tree])  # (nodes, 3)
    thresholds, values = np.array([node.threshold for node in tree]), np.array([node.value for node in tree])
    at = np.zeros(len(X), dtype=np.int64)  # (M,) node of each row
    while (moving := np.flatnonzero(questions[at, 1] >= 0)).size:  # all rows go down one level at a time
        feature, left, right = questions[at[moving]].T  # each (moving,)
        at[moving] = np.where(X[moving, feature] <= thresholds[at[moving]], left, right)
    return np.asarray(values[at])


def grow(
    X: Floats, Y: Floats, criterion: Criterion, max_depth: int | None, min_samples_leaf: int, max_leaf_nodes: int | None
) -> list[Node]:
    """A tree for X (N, D) and Y (N, K), the best split of all leaves first; node 0 is the root.

    Raises:
        ValueError: a limit that no tree meets, or another criterion.
    """
    check_counts(0, max_depth=max_depth or 0)
    check_counts(1, min_samples_leaf=min_samples_leaf, max_leaf_nodes=1 if max_leaf_nodes is None else max_leaf_nodes)
    tree: list[Node] = []
    heap: list[tuple[float, int, Split, NDArray[np.int64]]] = []

    def add_leaf(rows: NDArray[np.int64], depth: int) -> int:
        tree.append(Node(depth, Y[rows].mean(axis=0)))
        pure = (Y[rows] == Y[rows[0]]).all()
        if not pure and (max_depth is None or depth < max_depth):
            # A gain of 0 is still a split: XOR has none at its root.
            split = best_split(X[rows], Y[rows], criterion, min_samples_leaf)
            if split is not None:
                heapq.heappush(heap, (-split.gain, len(tree) - 1, split, rows))  # a heap pops its smallest
        return len(tree) - 1

    add_leaf(np.arange(len(X)), depth=0)
    while heap and (max_leaf_nodes is None or len(tree) // 2 + 1 < max_leaf_nodes):
        _, number, split, rows = heapq.heappop(heap)
        node = tree[number]
        low = X[rows, split.feature] <= split.threshold  # (rows,)
        node.feature, node.threshold = split.feature, split.threshold
        node.left, node.right = add_leaf(rows[low], node.depth + 1), add_leaf(rows[~low], node.depth + 1)
    return tree


class DecisionTreeClassifier(ClassifierMixin, BaseEstimator):
    """Args: criterion "gini" or "entropy"; max_depth, None without limit; min_samples_leaf rows; max_leaf_nodes.

    Attributes: classes_ (K,), tree_.
    """

    def __init__(
        self,
        criterion: Literal["gini", "entropy"] = "gini",
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_leaf_nodes: int | None = None,
    ) -> None:
        self.criterion: Criterion = criterion
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.max_leaf_nodes = max_leaf_nodes

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Grow a tree on X (N, D) and classes y (N,).

        Raises:
            ValueError: bad shapes or values, continuous y, another criterion, or limits that no tree meets.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_option("criterion", self.criterion, ["gini", "entropy"])
        self.classes_, codes = encode_classes(y)
        Y = one_hot(codes, len(self.classes_))  # (N, K)
        self.tree_ = grow(X, Y, self.criterion, self.max_depth, self.min_samples_leaf, self.max_leaf_nodes)
        return self

    def predict_proba(self, X: NDArray[Any]) -> Floats:
        """Shares of the classes in the leaf of each row of X (M, D): (M, K)."""
        check_is_fitted(self)
        return evaluate(self.tree_, validate_data(self, X, reset=False, dtype=np.float64))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The commonest class of the leaf, the lowest of equals, for X (M, D): (M,)."""
        best = self.predict_proba(X).argmax(axis=1)  # (M,)
        return np.asarray(self.classes_[best])


class DecisionTreeRegressor(RegressorMixin, BaseEstimator):
    """Args: max_depth, None without limit; min_samples_leaf rows; max_leaf_nodes. Attributes: tree_."""

    def __init__(
        self, max_depth: int | None = None, min_samples_leaf: int = 1, max_leaf_nodes: int | None = None
    ) -> None:
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.max_leaf_nodes = max_leaf_nodes

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        """Grow a tree on X (N, D) and targets y (N,).

        Raises:
            ValueError: bad shapes or values, or limits that no tree meets.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        Y = np.asarray(y, dtype=np.float64)[:, None]  # (N, 1)
        self.tree_ = grow(X, Y, "squared_error", self.max_depth, self.min_samples_leaf, self.max_leaf_nodes)
        return self

    def predict(self, X: NDArray[Any]) -> Floats:
        """The mean target of the leaf of each row of X (M, D): (M,)."""
        check_is_fitted(self)
        return evaluate(self.tree_, validate_data(self, X, reset=False, dtype=np.float64))[:, 0]
