"""A map of answers on which alike ones are near each other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

PERPLEXITY: Final = 30.0
N_ANCHORS: Final = 5
"""An answer that was not laid out itself lies among so many that it resembles."""
SPREAD: Final = 0.01
"""Standard deviation of what keeps equal answers from covering each other; the map is one unit wide."""
_BLOCK: Final = 20_000


def lay_out(vectors: NDArray[np.float32], sampled: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Place N answers on a map: (N, 2), centred, the standard deviation 1 over both axes.

    The sampled ones by t-SNE (van der Maaten and Hinton, JMLR 9, 2008), the others between those that they are most
    like. Near means alike; how far apart two distant answers lie means nothing.

    Args:
        vectors: (N, D) of unit length.
        sampled: (M,) positions of those to lay out, distinct texts.
        seed: same seed, same map.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    anchors = vectors[sampled]  # (M, D)
    if len(anchors) < 5:
        return rng.normal(size=(len(vectors), 2)).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(anchors) - 1) / 3)
    with threadpool_limits(1):  # so that the map does not hang on the number of cores
        places = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=seed).fit_transform(anchors)
    places = (places - places.mean(axis=0)) / max(float(places.std()), 1e-9)
    positions = np.empty((len(vectors), 2), np.float32)
    n = min(N_ANCHORS, len(anchors))
    for start in range(0, len(vectors), _BLOCK):
        likeness = vectors[start : start + _BLOCK] @ anchors.T  # (B, M)
        nearest = np.argpartition(-likeness, n - 1, axis=1)[:, :n]
        weights = np.exp(20 * np.take_along_axis(likeness, nearest, axis=1))
        positions[start : start + _BLOCK] = (weights[:, :, None] * places[nearest]).sum(1) / weights.sum(1)[:, None]
    positions += rng.normal(scale=SPREAD, size=positions.shape).astype(np.float32)
    positions[sampled] = places
    return positions
