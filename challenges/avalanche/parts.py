"""Answers that are alike: those near a phrase or examples, and the parts that a theme falls into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.describe import word_themes
from challenges.avalanche.embedding import embed


def alike(phrase: str, examples: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine similarity of all answers to a phrase or to the mean of some examples, whichever is greater.

    Args:
        phrase: empty: none.
        examples: rows of answers; may be none.
        vectors: (N, D) of the answers, of unit length.

    Returns:
        (N,) in [-1, 1]; zeros where there is neither.
    """
    likeness = [vectors @ embed([phrase.strip()])[0]] if phrase.strip() else []
    if len(examples):
        mean = vectors[examples].mean(axis=0)
        likeness.append(vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-9)))
    return np.max(likeness, axis=0) if likeness else np.zeros(len(vectors), dtype=np.float32)


def parts(
    rows: NDArray[np.int64], responses: Sequence[str], vectors: NDArray[np.float32], n_parts: int, seed: int = 0
) -> list[tuple[str, NDArray[np.int64]]]:
    """Divide a theme's answers by likeness (k-means).

    Args:
        rows: of the theme, at least `n_parts`.
        responses: all N answers.
        vectors: (N, D) of them.
        n_parts: how many, at most: equal answers are not divided.
        seed: of k-means.

    Returns:
        A name (phrases that tell the part from the others) and the rows of each part, the greatest first.
    """
    from sklearn.cluster import KMeans

    own = vectors[rows]
    n_parts = min(n_parts, len(np.unique(own, axis=0)))
    labels = KMeans(n_parts, n_init=4, random_state=seed).fit_predict(own)
    order = np.argsort(-np.bincount(labels), kind="stable")
    worded = word_themes([responses[row] for row in rows], np.argsort(order)[labels], len(order))
    return [(wording.label, rows[labels == part]) for wording, part in zip(worded, order, strict=True)]
