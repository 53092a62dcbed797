"""Learns from codes while analysts give them: suggests themes, says why, and asks about the most useful answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.model import fit_k_means, plain_form

N_VARIED: Final = 40
"""So many answers are asked about for their variety, before doubt has a say: without examples it is guessing."""
N_NEXT: Final = 30
"""The head of the queue, in which no two answers are to ask the same thing."""
SUGGESTED_FROM: Final = 0.35
"""A theme is suggested from this probability on; the likeliest from `LIKELIEST_FROM` on."""
LIKELIEST_FROM: Final = 0.2
SHARPNESS: Final = 40.0
"""Inverse regularisation of the logistic regressions."""
N_NEIGHBOURS: Final = 6
POOL: Final = 4_000
"""Of more answers so many are looked at for neighbours and for variety."""
VARIETY: Final = 0.5
"""How much likeness to an answer that is asked before counts against one."""
MIN_TO_CALIBRATE: Final = 30
N_FOLDS: Final = 4
_BLOCK: Final = 20_000

Codes = Mapping[int, frozenset[str]]
"""By row what persons said; an empty set: none of the themes."""


@dataclass(frozen=True)
class Suggestions:
    """What the machine thinks of N answers, by T themes."""

    themes: tuple[str, ...]  # those that any code has, by name
    probabilities: NDArray[np.float32]  # (N, T) calibrated, of every answer
    nearest: NDArray[np.int64]  # (N, T) row of the nearest coded answer with that theme: the reason; -1: none
    order: NDArray[np.int64]  # rows that are not coded, the most useful to ask about first

    def of(self, row: int) -> tuple[str, ...]:
        """The themes to suggest for an answer, the likeliest first."""
        by_probability = np.argsort(-self.probabilities[row], kind="stable").tolist()
        return tuple(
            self.themes[j]
            for rank, j in enumerate(by_probability)
            if self.probabilities[row, j] >= (SUGGESTED_FROM if rank else LIKELIEST_FROM)
        )


def suggest(
    vectors: NDArray[np.float32],
    texts: Sequence[str],
    codes: Codes,
    seed: int = 0,
    nearby: NDArray[np.float32] | None = None,
) -> Suggestions:
    """Learn from the codes so far. Nobody's code is changed: these are suggestions.

    A logistic regression for each theme, on an answer's vector and the mean of those nearest to it (answers that
    nobody coded help there), calibrated on codes held out (Platt, 1999).

    Args:
        vectors: (N, D) of unit length.
        texts: the N answers; the same text is asked about once.
        codes: what persons said of some.
        seed: of the representatives and of the folds.
        nearby: (N, D) of `neighbourhoods`, which does not hang on the codes; None: they are made.
    """
    themes = tuple(sorted({theme for found in codes.values() for theme in found}))
    rows = np.array(sorted(codes), dtype=np.int64)
    rng = np.random.default_rng(seed)
    if nearby is None:
        nearby = neighbourhoods(vectors)
    features = np.hstack([vectors, nearby])  # (N, 2D)
    coded = np.array([[theme in codes[row] for theme in themes] for row in rows.tolist()]).reshape(
        len(rows), len(themes)
    )
    logits = _fit(features[rows], coded)(features)  # (N, T)
    slope, offset = _calibrate(features[rows], coded, rng)
    probabilities = 1 / (1 + np.exp(-(slope * logits + offset)))
    order = _order(vectors, nearby, texts, rows, logits, rng)
    return Suggestions(themes, probabilities.astype(np.float32), _nearest(vectors, rows, coded), order)


def neighbourhoods(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) of each answer the mean of those nearest to it among all, or among `POOL` of them, of unit length."""
    pool = np.arange(len(vectors))
    if len(pool) > POOL:
        pool = np.sort(np.random.default_rng(0).choice(pool, POOL, replace=False))
    k = min(N_NEIGHBOURS, len(pool))
    means = np.empty_like(vectors)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        nearest = np.argpartition(-(block @ vectors[pool].T), k - 1, axis=1)[:, :k]
        means[start : start + _BLOCK] = vectors[pool][nearest].mean(axis=1)
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _fit(features: NDArray[np.float32], coded: NDArray[np.bool_]) -> Any:
    """Learn each theme for itself: features (N, F) -> logits (N, T). Codes that are all alike give their share."""
    from sklearn.linear_model import LogisticRegression

    n_codes = len(features)
    by_theme: list[Any] = []
    for of_theme in coded.T:
        if of_theme.all() or not of_theme.any():
            by_theme.append(float(np.log((of_theme.sum() + 0.5) / (n_codes - of_theme.sum() + 0.5))))
        else:
            by_theme.append(LogisticRegression(C=SHARPNESS, max_iter=300).fit(features, of_theme))

    def logits(others: NDArray[np.float32]) -> NDArray[np.float64]:
        columns = [
            np.full(len(others), fitted) if isinstance(fitted, float) else fitted.decision_function(others)
            for fitted in by_theme
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(others), 0))

    return logits


def _calibrate(
    features: NDArray[np.float32], coded: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """Slope and offset of the logits, one pair for all themes, that fit codes which the models have not seen."""
    if len(features) < MIN_TO_CALIBRATE or coded.all() or not coded.any():  # there is nothing to tell apart
        return 1.0, 0.0
    from sklearn.linear_model import LogisticRegression

    fold = rng.permutation(len(features)) % N_FOLDS
    unseen = np.empty(coded.shape)
    for held_out in range(N_FOLDS):
        unseen[fold == held_out] = _fit(features[fold != held_out], coded[fold != held_out])(features[fold == held_out])
    platt = LogisticRegression(C=1e6).fit(unseen.reshape(-1, 1), coded.reshape(-1))
    return max(float(platt.coef_[0, 0]), 0.1), float(platt.intercept_[0])


def _nearest(vectors: NDArray[np.float32], rows: NDArray[np.int64], coded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N, T) the most similar other answer that was coded with each theme; -1: none."""
    nearest = np.full((len(vectors), coded.shape[1]), -1)
    for theme, of_theme in enumerate(coded.T):
        examples = rows[of_theme]
        for start in range(0, len(vectors), _BLOCK) if len(examples) else []:
            likeness = vectors[start : start + _BLOCK] @ vectors[examples].T
            itself = np.arange(start, start + len(likeness))[:, None] == examples[None, :]
            likeness[itself] = -np.inf
            best = likeness.argmax(axis=1)
            found = np.isfinite(np.take_along_axis(likeness, best[:, None], axis=1)[:, 0])
            nearest[start : start + _BLOCK, theme] = np.where(found, examples[best], -1)
    return nearest


def _order(
    vectors: NDArray[np.float32],
    nearby: NDArray[np.float32],
    texts: Sequence[str],
    rows: NDArray[np.int64],
    logits: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Uncoded rows: representatives of what has no code yet, then by doubt, texts that were asked before last."""
    probability = np.sort(1 / (1 + np.exp(-logits)), axis=1)
    if probability.shape[1] > 1:
        doubt = 1 - (probability[:, -1] - probability[:, -2])
    else:
        doubt = 1 - np.abs(2 * probability.max(axis=1, initial=0.5) - 1)
    asked = {plain_form(texts[row]) for row in rows.tolist()}
    repeated = np.zeros(len(texts), np.bool_)
    for row, text in enumerate(texts):
        form = plain_form(text)
        repeated[row] = form in asked
        asked.add(form)
    doubt = doubt - 2.0 * repeated
    doubt[rows] = -np.inf
    head = _representatives(nearby, rows, repeated, rng) if len(rows) < N_VARIED else []
    likeness = np.zeros(len(texts))
    for row in head:
        likeness = np.maximum(likeness, vectors @ vectors[row])
    score = doubt.copy()
    score[head] = -np.inf
    while len(head) < N_NEXT:
        row = int(np.argmax(score - VARIETY * likeness))
        if not np.isfinite(score[row]):
            break
        head.append(row)
        score[row] = -np.inf
        likeness = np.maximum(likeness, vectors @ vectors[row])
    rest = np.argsort(-score, kind="stable")
    return np.array([*head, *rest[np.isfinite(score[rest])]], dtype=np.int64)


def _representatives(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], repeated: NDArray[np.bool_], rng: np.random.Generator
) -> list[int]:
    """The middle of each cluster, of `N_VARIED`, in which no answer is coded; of large clusters first."""
    new = np.flatnonzero(~repeated)
    new = new[~np.isin(new, rows)]
    pool = np.concatenate([rows, new if len(new) <= POOL else rng.choice(new, POOL, replace=False)])
    n_clusters = min(N_VARIED, len(pool))
    if n_clusters < 2:
        return [int(row) for row in new]
    fitted = fit_k_means(vectors[pool], n_clusters, int(rng.integers(1 << 31)))
    covered = set(fitted.labels_[: len(rows)].tolist())
    found = []
    for cluster in np.argsort(-np.bincount(fitted.labels_, minlength=n_clusters), kind="stable").tolist():
        members = pool[fitted.labels_ == cluster]
        if cluster not in covered and len(members):
            found.append(int(members[np.argmax(vectors[members] @ fitted.cluster_centers_[cluster])]))
    return found
