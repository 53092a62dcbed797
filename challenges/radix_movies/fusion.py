"""Gated fusion, for comparison: how much a poster counts depends on the film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.features import Features
from challenges.radix_movies.model import Stack, fit_stack

Floats = NDArray[np.float32]
N_CUES = 4


@dataclass(frozen=True)
class Gate:
    """logits = g * text logits + (1 - g) * poster logits, g a logistic function of what a film has to say."""

    text: Stack
    poster: Stack
    weight: NDArray[np.float64]  # (4,)

    def __call__(self, text: Floats, poster: Floats, features: Features) -> Floats:
        """Scores (N, G) of both machines -> (N, G) probabilities; what a film lacks does not count."""
        a, b = self.text(text), self.poster(poster)  # (N, G)
        share = _share(_cues(features, a, b), self.weight, features)[:, None]  # (N, 1)
        return np.asarray(1 / (1 + np.exp(-(share * a + (1 - share) * b))), np.float32)


def fit_gate(text: Floats, poster: Floats, features: Features, labels: NDArray[np.bool_], l2: float) -> Gate:
    """Fit the stacks of both machines, then the gate on their logits.

    With the films as they are, the gate sees each without text and without poster, where it has no choice: modality
    dropout, with every case in place of random ones.

    Args:
        text: (M, G) held-out scores.
        poster: likewise.
        features: of the films.
        labels: (M, G).
        l2: of the stacks.
    """
    from scipy.optimize import minimize

    stacks = fit_stack(text, labels, l2), fit_stack(poster, labels, l2)
    cases = [features, features.without(text=True), features.without(poster=True)]
    a, b = stacks[0](text), stacks[1](poster)
    cues = [_cues(case, a, b) for case in cases]
    y = labels.astype(np.float64)

    def loss(weight: NDArray[np.float64]) -> float:
        total = 0.0
        for case, cue in zip(cases, cues, strict=True):
            share = _share(cue, weight, case)[:, None]
            logits = share * a + (1 - share) * b
            total += float((np.logaddexp(0, logits) - y * logits).mean())
        return total / len(cases)

    return Gate(*stacks, minimize(loss, np.zeros(N_CUES), method="L-BFGS-B", options={"maxiter": 60}).x)


def _cues(features: Features, text: Floats, poster: Floats) -> NDArray[np.float64]:
    """(N, 4): one, the length of the text, and how sure each machine is of its best genre."""
    words = np.array([len(t.split()) for t in features.texts], np.float64)
    return np.column_stack([np.ones(len(words)), np.log1p(words) - 4, text.max(axis=1), poster.max(axis=1)])


def _share(cues: NDArray[np.float64], weight: NDArray[np.float64], features: Features) -> NDArray[np.float64]:
    share = 1 / (1 + np.exp(-(cues @ weight)))
    return np.asarray(np.where(~features.has_poster, 1.0, np.where(~features.has_text, 0.0, share)))
