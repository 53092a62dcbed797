"""Themes by consensus of many clusterings: arrays in, arrays out.

One clustering of short answers is half chance: it hangs on the seed, on the number of clusters, on how an answer is
phrased, on which directions of the vectors count. What many clusterings agree on, where all of these vary, is not.
Fred and Jain, Combining Multiple Clusterings Using Evidence Accumulation (IEEE PAMI 27, 2005).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.embedding import Embedder

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

PHRASINGS: Final = ("{}", "{}.", "i said: {}", '"{}"', "{}, {}")
"""An answer's vector is blurred by its form; what two answers share in all of these is what they say."""
N_CLUSTERINGS: Final = 150
N_CLUSTERS: Final = (0.4, 1.25)
"""Each clustering has so many clusters, times the square root of the number of texts."""
SHARE_OF_DIMENSIONS: Final = 0.5
N_NEIGHBOURS: Final = 6
"""Half of the clusterings see each text as the mean of so many nearest ones, itself included."""
TOGETHER: Final = 0.25
"""Groups are joined as long as their texts are together in this share of the clusterings, on average. It is what
decides how many themes there are."""
MIN_ANSWERS: Final = 3
"""Fewer answers that stand apart are no theme."""


@dataclass(frozen=True)
class Grouping:
    """Texts in themes."""

    labels: NDArray[np.int64]  # (N,) theme 0 to T - 1; -1: belongs nowhere
    closeness: NDArray[np.float64]  # (T, T) of the themes, 0 to 1: what their tree is made of


class Clusterer(Protocol):
    """What finds themes; any other way to do it can take the place of `consensus`."""

    def __call__(self, texts: Sequence[str], counts: NDArray[np.int64], seed: int, embedder: Embedder) -> Grouping:
        """Group N distinct texts, each of which stands for (N,) `counts` answers."""


def plain_form(answer: str) -> str:
    """What an answer says, without its form: lower case, no signs at its ends."""
    return re.sub(r"\s+", " ", answer.lower()).strip(" .!,?;:-\"'")


def consensus(texts: Sequence[str], counts: NDArray[np.int64], seed: int, embedder: Embedder) -> Grouping:
    """Group texts by how often many different clusterings put them together; the number of themes is found.

    Args:
        texts: N distinct answers in `plain_form`.
        counts: (N,) how many answers each stands for.
        seed: of the clusterings.
        embedder: makes the vectors of every phrasing.
    """
    from scipy.cluster.hierarchy import fcluster

    rng = np.random.default_rng(seed)
    if len(texts) < 2:
        return _as_grouping(np.zeros(len(texts), np.int64), counts, np.ones((len(texts), len(texts))))
    phrased = embedder([phrasing.replace("{}", text) for phrasing in PHRASINGS for text in texts])
    views = list(phrased.reshape(len(PHRASINGS), len(texts), -1))  # each (N, D)
    together = co_association(_cluster_often([*views, *map(_smooth, views)], rng))  # (N, N)
    labels = fcluster(_average_linkage(together), 1 - TOGETHER, criterion="distance") - 1
    return _as_grouping(labels.astype(np.int64), counts, together)


def co_association(clusterings: NDArray[np.integer]) -> NDArray[np.float32]:
    """(M, N) labels of M clusterings -> (N, N) the share of them in which two texts are together."""
    together = np.zeros((clusterings.shape[1], clusterings.shape[1]), np.float32)
    for labels in clusterings:
        together += labels[:, None] == labels[None, :]
    return together / np.float32(len(clusterings))


def theme_tree(closeness: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T, T) closeness of themes, 0 to 1 -> (T - 1, 4) their average linkage; empty for fewer than two themes."""
    return _average_linkage(closeness) if len(closeness) > 1 else np.empty((0, 4))


def at_level(tree: NDArray[np.float64], n_groups: int) -> NDArray[np.int64]:
    """Cut a tree of T themes: (T,) the group, from 0, of each theme, in at most `n_groups` groups."""
    from scipy.cluster.hierarchy import fcluster

    if len(tree) == 0:
        return np.zeros(1, np.int64)
    return np.asarray(fcluster(tree, max(n_groups, 1), criterion="maxclust") - 1, dtype=np.int64)


def _cluster_often(views: Sequence[NDArray[np.float32]], rng: np.random.Generator) -> NDArray[np.int64]:
    """(M, N): each clustering has a view, half of its dimensions, a number of clusters and a seed of its own."""
    import sklearn.cluster  # noqa: F401 - before the limit, which reaches what is loaded alone
    from threadpoolctl import threadpool_limits

    n_texts, n_dimensions = views[0].shape
    low = min(max(2, round(N_CLUSTERS[0] * n_texts**0.5)), n_texts)
    high = min(max(low + 1, round(N_CLUSTERS[1] * n_texts**0.5)), n_texts)
    clusterings = np.empty((N_CLUSTERINGS, n_texts), np.int64)
    with threadpool_limits(1):  # more threads are slower for so few vectors, and far slower beside other work
        for labels in clusterings:
            view = views[int(rng.integers(len(views)))]
            some = rng.random(n_dimensions) < SHARE_OF_DIMENSIONS
            n_clusters, start = int(rng.integers(low, high + 1)), int(rng.integers(1 << 31))
            labels[:] = fit_k_means(view[:, some], n_clusters, start).labels_
    return clusterings


def fit_k_means(vectors: NDArray[np.float32], n_clusters: int, seed: int) -> KMeans:
    """One start of k-means. Where fewer vectors differ than clusters are asked for, some clusters stay empty."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(n_clusters, n_init=1, max_iter=30, random_state=seed).fit(vectors)


def _smooth(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each (N, D) vector as the mean of its nearest ones, of unit length: it draws what is alike together."""
    k = min(N_NEIGHBOURS, len(vectors))
    nearest = np.argpartition(-(vectors @ vectors.T), k - 1, axis=1)[:, :k]  # (N, k)
    means = vectors[nearest].mean(axis=1)
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _as_grouping(groups: NDArray[np.int64], counts: NDArray[np.int64], together: NDArray[np.floating]) -> Grouping:
    """Keep the groups that are themes; the others belong nowhere."""
    kept = np.flatnonzero(np.bincount(groups, weights=counts) >= MIN_ANSWERS)
    number = np.full(int(groups.max(initial=-1)) + 1, -1)
    number[kept] = np.arange(len(kept))
    labels = number[groups].astype(np.int64)
    member = (labels[:, None] == np.arange(len(kept))).astype(np.float64)  # (N, T)
    n_members = member.sum(axis=0)
    return Grouping(labels, member.T @ together @ member / np.outer(n_members, n_members))


def _average_linkage(closeness: NDArray[np.floating]) -> NDArray[np.float64]:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    distance = np.maximum(1 - (closeness + closeness.T) / 2, 0).astype(np.float64)
    np.fill_diagonal(distance, 0)
    return np.asarray(linkage(squareform(distance, checks=False), "average"), dtype=np.float64)
