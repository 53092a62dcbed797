"""How good a ranking of genres is: MAP@5 as the assignment links it, and what stands beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.layout import GENRES
from common.metrics.bootstrap import Interval, bootstrap_interval
from common.metrics.multilabel import average_precision, best_f1_threshold, defined_mean, tag_scores
from common.metrics.ranking import average_precision_at_k, in_rank_order

K: Final = 5
RARE_SHARE: Final = 0.05
"""A genre that fewer films have is rare."""
N_BINS: Final = 10

Labels = NDArray[np.bool_]
Scores = NDArray[np.floating]


def average_precisions(labels: Labels, scores: Scores) -> NDArray[np.float64]:
    """(N,) AP@5 of each film: the precision at each hit among the first five, summed, over min(true genres, 5).

    This is `apk` of Hamner's ml_metrics, which the assignment links, where every film has a genre.

    Args:
        labels: (N, G).
        scores: (N, G) higher is likelier; of equal ones the earlier genre goes first.
    """
    return average_precision_at_k(in_rank_order(labels, scores), K)


def mean_interval(values: NDArray[np.float64], groups: NDArray[np.int64]) -> dict[str, float]:
    """Mean over films with its 95 % interval, related films drawn together."""
    return asdict(bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), groups))


def score(labels: Labels, chances: Scores, groups: NDArray[np.int64]) -> dict[str, Any]:
    """All metrics of N films, as plain values.

    The F1 of each genre is at a threshold that was chosen on the films of the other half of the groups.

    Args:
        labels: (N, G).
        chances: (N, G) probabilities.
        groups: (N,) related films.
    """
    from sklearn.metrics import roc_auc_score

    precisions = average_precision(labels, chances)
    decisions = _decide_across(labels, chances, groups)
    f1 = tag_scores(labels, decisions).f1
    listed = np.argsort(-chances, axis=1, kind="stable")[:, :K]
    shown = np.zeros_like(labels)
    np.put_along_axis(shown, listed, True, axis=1)
    rare = labels.mean(axis=0) < RARE_SHARE
    both = [labels[:, g].any() and not labels[:, g].all() for g in range(labels.shape[1])]
    areas = [roc_auc_score(labels[:, g], chances[:, g]) if both[g] else np.nan for g in range(labels.shape[1])]
    return {
        "n_films": len(labels),
        "map_at_5": mean_interval(average_precisions(labels, chances), groups),
        "macro_average_precision": defined_mean(precisions),
        "macro_roc_auc": defined_mean(np.array(areas)),
        "macro_f1": defined_mean(f1),
        "calibration_error": calibration_error(labels, chances),
        "rare_genres": [GENRES[g] for g in np.flatnonzero(rare)],
        "rare_recall_at_5": _recall(labels[:, rare], shown[:, rare]),
        "genres": {
            genre: {
                "films": int(labels[:, g].sum()),
                "average_precision": float(precisions[g]),
                "roc_auc": float(areas[g]),
                "f1": float(f1[g]),
                "recall_at_5": _recall(labels[:, g], shown[:, g]),
            }
            for g, genre in enumerate(GENRES)
        },
    }


def calibration_error(labels: Labels, chances: Scores) -> float:
    """Expected calibration error over all pairs of film and genre: |share that is true - mean probability| in ten
    bins of equal width, weighted by their pairs (Naeini, Cooper and Hauskrecht 2015).
    """
    truth, chance = labels.ravel().astype(float), chances.ravel().astype(float)
    bins = np.minimum((chance * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, truth - chance, minlength=N_BINS)  # sums over the bin
    return float(np.abs(gaps).sum() / len(truth))


def _recall(labels: Labels, shown: Labels) -> float:
    return float((labels & shown).sum() / labels.sum()) if labels.any() else float("nan")


def _decide_across(labels: Labels, chances: Scores, groups: NDArray[np.int64]) -> Labels:
    half = groups % 2 == 0
    decisions = np.zeros_like(labels)
    for chosen, decided in ((half, ~half), (~half, half)):
        if not (chosen.any() and decided.any()):
            continue
        for g in range(labels.shape[1]):
            decisions[decided, g] = chances[decided, g] >= best_f1_threshold(labels[chosen, g], chances[chosen, g])
    return decisions


def headline(metrics: dict[str, Any]) -> str:
    """One line to read."""
    return f"MAP@5 {Interval(**metrics['map_at_5'])}, macro average precision {metrics['macro_average_precision']:.3f}"
