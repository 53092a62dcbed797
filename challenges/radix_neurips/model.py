"""The ranker: how similar two papers are, and which of many are the most similar to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.lexical import Tfidf

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from common.models.text import TextEncoder

Floats = NDArray[np.float32]

TITLE_WEIGHT: Final = 0.5  # of the title's vector beside the abstract's
DENSE_WEIGHT: Final = 0.3  # of the encoder's cosine beside that of TF-IDF


@dataclass(frozen=True)
class Vectors:
    """N papers as vectors of unit length, by their words and by their meaning."""

    sparse: csr_matrix  # (N, V) float32 TF-IDF
    dense: Floats  # (N, D) of the encoder

    def __len__(self) -> int:
        """Return N."""
        return len(self.dense)

    def select(self, rows: NDArray[np.int64]) -> Vectors:
        """Return those of some papers."""
        return Vectors(self.sparse[rows], self.dense[rows])


def represent(
    papers: Sequence[tuple[str, str]],
    tfidf: Tfidf,
    encoder: TextEncoder,
    on_progress: Callable[[int], None] | None = None,
) -> Vectors:
    """Turn papers, pairs of title and abstract, into vectors; `on_progress` counts encoded texts, two a paper."""
    return Vectors(tfidf.transform(papers), encode_papers(papers, encoder, on_progress))


def encode_papers(
    papers: Sequence[tuple[str, str]], encoder: TextEncoder, on_progress: Callable[[int], None] | None = None
) -> Floats:
    """Return the (N, D) vectors of papers, pairs of title and abstract; see `combine`."""
    titles, abstracts = ([paper[part] for paper in papers] for part in (0, 1))
    title = encoder.encode(titles, on_progress) * np.array([[bool(text)] for text in titles])  # (N, D)
    abstract = encoder.encode(abstracts, on_progress) * np.array([[bool(text)] for text in abstracts])  # (N, D)
    return combine(title, abstract)


def combine(title: Floats, abstract: Floats) -> Floats:
    """Return the (N, D) vectors of papers: that of the abstract and `TITLE_WEIGHT` times that of the title.

    Encoded apart, a title of ten words is not lost among the two hundred of the abstract. Where one of them is
    missing, a zero, the other stands alone.
    """
    return unit(TITLE_WEIGHT * title + abstract)


def hybrid_scores(queries: Vectors, papers: Vectors, dense_weight: float = DENSE_WEIGHT) -> Floats:
    """Return (Q, N) scores: the weighted mean of two cosines, by words (from 0 to 1) and by meaning (from -1).

    A sum of scores as they are, without a rank or a normalisation by query: both are cosines, so that a query
    which only one of the two knows how to answer is left to that one.
    """
    sparse = (queries.sparse @ papers.sparse.T).toarray()  # (Q, N)
    return np.asarray((sparse + dense_weight * (queries.dense @ papers.dense.T)) / (1 + dense_weight), np.float32)


def best(scores: Floats, k: int, own: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows (Q, k) of the highest scores and these, highest first; of equal ones the earlier row first.

    Args:
        scores: (Q, N); k is cut to N, and to N - 1 where there are own rows.
        k: how many.
        own: (Q,) row that a query is itself and never finds, -1 where it is none.
    """
    scores = scores.copy()
    if own is not None:
        scores[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
    k = min(k, scores.shape[1] - int(own is not None and bool((own >= 0).any())))
    if k < 1:
        return np.empty((len(scores), 0), np.int64), np.empty((len(scores), 0), np.float32)
    # Sorting only what can be among the first k; all that tie with the k-th included, for the order of rows.
    order = np.empty((len(scores), k), np.int64)
    thresholds = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    for query, threshold in enumerate(thresholds):
        candidates = np.flatnonzero(scores[query] >= threshold)
        order[query] = candidates[np.argsort(-scores[query, candidates], kind="stable")][:k]
    return order, np.take_along_axis(scores, order, axis=1)


def unit(vectors: Floats) -> Floats:
    """Scale (N, D) vectors to length 1; a zero stays."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)
