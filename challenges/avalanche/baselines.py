"""Other ways to group answers, to compare with: N texts, a seed and an embedder -> (N,) labels; -1: nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.embedding import Embedder

Grouper = Callable[[Sequence[str], int, Embedder], NDArray[np.int64]]


def k_means(n_themes: int, vectorise: Embedder | None = None) -> Grouper:
    """One k-means clustering, of a number of themes that somebody has to know.

    Args:
        n_themes: clusters.
        vectorise: what makes vectors of texts; None: the embedder.
    """

    def group(texts: Sequence[str], seed: int, embedder: Embedder) -> NDArray[np.int64]:
        from sklearn.cluster import KMeans

        vectors = (vectorise or embedder)(texts)
        fitted = KMeans(n_themes, n_init=10, random_state=seed).fit(vectors)
        return np.asarray(fitted.labels_, dtype=np.int64)

    return group


def tf_idf(texts: Sequence[str]) -> NDArray[np.float32]:
    """(N, at most 100) vectors of unit length from words alone: TF-IDF and latent semantic analysis."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    vectors = TruncatedSVD(min(100, min(words.shape) - 1), random_state=0).fit_transform(words)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def bertopic(texts: Sequence[str], seed: int, embedder: Embedder) -> NDArray[np.int64]:
    """BERTopic with its defaults (UMAP, HDBSCAN), on the same vectors; what it calls outliers is -1.

    Grootendorst, BERTopic: Neural topic modeling with a class-based TF-IDF procedure (2022).

    Raises:
        ModuleNotFoundError: it is not installed; the extra `dev` has it.
    """
    from bertopic import BERTopic
    from umap import UMAP

    # Its own default but for the seed, without which no run can be repeated.
    reducer = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", random_state=seed)
    topics, _ = BERTopic(umap_model=reducer).fit_transform(list(texts), embedder(texts))
    return np.asarray(topics, dtype=np.int64)
