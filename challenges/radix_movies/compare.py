"""Every method on the same folds: what texts say, what posters say, ways to join them, and whether posters help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.explain import logit
from challenges.radix_movies.features import Features
from challenges.radix_movies.fusion import fit_gate
from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.metrics import average_precisions, mean_interval, score
from challenges.radix_movies.model import (
    MODALITIES,
    GenreModel,
    drop,
    fit_logistic,
    fit_model,
    fit_stack,
    split_views,
)
from challenges.radix_movies.train import TrainingSet, tune
from common.cli import progress
from common.metrics.bootstrap import bootstrap_interval

N_FOLDS: Final = 5
PROBE_L2: Final = 0.1
"""Of logistic regressions on a network's vector: with less they learn the training films by heart."""
DROPPED: Final = 0.25
"""Share of films that lose their text, and as many their poster, in the test of missing modalities."""
N_GENRE_RESAMPLES: Final = 300

Floats = NDArray[np.float32]
Labels = NDArray[np.bool_]


def compare(
    data: TrainingSet, n_folds: int = N_FOLDS, seed: int = 0, fine_tuned: Floats | None = None
) -> dict[str, Any]:
    """Cross-validate all methods; weights and ridges are chosen inside the training films of each fold.

    Args:
        data: from `train.prepare`.
        n_folds: of the cross-validation.
        seed: of the folds.
        fine_tuned: (N, G) held-out probabilities of the fine-tuned poster network on the same folds, nan for films
            of folds in which it was not trained.

    Returns:
        Metrics as plain values: `methods` by name, `missing` for films that lack a modality, `posters` for what
        posters add to texts, and the protocol.
    """
    folds = data.folds(n_folds, seed)
    found: dict[str, Floats] = {}
    recipes = []
    with progress("cross-validating", total=n_folds) as advance:
        for fold in range(n_folds):
            held_out = folds == fold
            part, recipe = _fold(data, ~held_out, held_out, seed + fold)
            for name, chances in part.items():
                found.setdefault(name, np.zeros(data.labels.shape, np.float32))[held_out] = chances
            recipes.append(recipe)
            advance()
    table = summarise(data, folds, found) | {"recipes": recipes}
    if fine_tuned is not None:
        table["fine_tuned_poster"] = _beside_fine_tuned(data, folds, found["poster"], fine_tuned)
    return table


def _beside_fine_tuned(
    data: TrainingSet, folds: NDArray[np.int64], poster: Floats, fine_tuned: Floats
) -> dict[str, Any]:
    """The fine-tuned poster network, the kernels on the frozen one, and both together, on the films that all know."""
    rows = ~np.isnan(fine_tuned).any(axis=1)
    labels, groups = data.labels[rows], data.groups[rows]
    mean = _chances((logit(poster[rows]) + logit(fine_tuned[rows])) / 2)
    kernels, tuned, both = (average_precisions(labels, p) for p in (poster[rows], fine_tuned[rows], mean))
    return {
        "folds": np.unique(folds[rows]),
        "films": int(rows.sum()),
        "kernels": mean_interval(kernels, groups),
        "fine_tuned": mean_interval(tuned, groups),
        "difference": mean_interval(tuned - kernels, groups),
        "mean_of_both": mean_interval(both, groups),
    }


def _fold(data: TrainingSet, train: Labels, test: Labels, seed: int) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Probabilities of every method for the held-out films of one fold."""
    labels, groups = data.labels[train], data.groups[train]
    features, others = data.features.take(train), data.features.take(test)
    recipe = tune(features, labels, groups)
    model = fit_model(features, labels, groups, recipe)
    found = {"genre prior": np.tile(labels.mean(axis=0), (len(others), 1)).astype(np.float32)}
    found |= _single(features, labels, others)
    found |= _ours(model, features, labels, others, seed)
    return found, recipe._asdict()


def _single(features: Features, labels: Labels, others: Features) -> dict[str, Floats]:
    """The usual first tries, of one modality each."""
    found = {"TF-IDF words, logistic regression": _tfidf(features.texts, labels, others.texts)}
    views, other_views = split_views(features), split_views(others)
    for name, view, l2 in (
        ("MiniLM, logistic regression", "text_2", PROBE_L2),
        ("poster, frozen, logistic regression", "poster_top", 3 * PROBE_L2),
    ):
        found[name] = _chances(fit_logistic(views[view], labels, l2)(other_views[view]))
    return found


def _tfidf(texts: list[str], labels: Labels, others: list[str]) -> Floats:
    """scikit-learn's, one regression a genre."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), stop_words="english")
    x, z = vectorizer.fit_transform(texts), vectorizer.transform(others)
    columns = []
    for genre in labels.T:
        if genre.all() or not genre.any():
            columns.append(np.full(len(others), float(genre.mean())))
        else:
            columns.append(LogisticRegression(C=10, solver="liblinear").fit(x, genre).predict_proba(z)[:, 1])
    return np.stack(columns, axis=1).astype(np.float32)


def _ours(model: GenreModel, features: Features, labels: Labels, others: Features, seed: int) -> dict[str, Floats]:
    """The machines, and ways to join them; each is fitted on scores that leave a film's group out."""
    scores = model.scores(others)
    learned = {name: machine.held_out for name, machine in model.machines.items()}
    l2 = model.recipe.stack_l2

    def stacked(*machines: str, own_only: bool = False) -> Floats:
        stack = fit_stack(np.hstack([learned[m] for m in machines]), labels, l2, own_only=own_only)
        return _chances(stack(np.hstack([scores[m] for m in machines])))

    gate = fit_gate(learned["text"], learned["poster"], features, labels, l2)
    lost = drop(others, DROPPED, np.random.default_rng(seed))
    return {
        "text, genres apart": stacked("text", own_only=True),
        "text": stacked("text"),
        "poster": stacked("poster"),
        "weighted sum": _chances(logit(stacked("text")) * 0.7 + logit(stacked("poster")) * 0.3),
        "early fusion": stacked("joint"),
        "late fusion": stacked("text", "poster"),
        "gated fusion": gate(scores["text"], scores["poster"], others),
        "ours, genres apart": stacked(*MODALITIES["synopsis+poster"], own_only=True),
        "ours": stacked(*MODALITIES["synopsis+poster"]),
        "ours, some modalities lost": model.predict(lost),
        "gated, some modalities lost": gate(scores["text"], scores["poster"], lost),
        "ours, poster lost": model.predict(others.without(poster=True)),
        "ours, text lost": model.predict(others.without(text=True)),
    }


def summarise(data: TrainingSet, folds: NDArray[np.int64], found: Mapping[str, Floats]) -> dict[str, Any]:
    """Metrics of held-out probabilities."""
    labels, groups = data.labels, data.groups
    precisions = {name: average_precisions(labels, chances) for name, chances in found.items()}
    both = data.features.has_text & data.features.has_poster
    return {
        "protocol": {
            "films": len(labels),
            "groups": len(np.unique(groups)),
            "folds": len(np.unique(folds)),
            "genres_a_film": float(labels.sum(axis=1).mean()),
        },
        "methods": {
            name: {"map_at_5": mean_interval(values, groups)}
            | {"map_at_5_by_fold": [float(values[folds == fold].mean()) for fold in np.unique(folds)]}
            for name, values in precisions.items()
        },
        "scores": {name: score(labels, found[name], groups) for name in ("text", "poster", "ours")},
        "label_dependence": {
            "text": mean_interval(precisions["text"] - precisions["text, genres apart"], groups),
            "fused": mean_interval(precisions["ours"] - precisions["ours, genres apart"], groups),
        },
        "posters": _what_posters_add(labels[both], found, precisions, groups[both], data.features.texts, both),
    }


def _what_posters_add(
    labels: Labels,
    found: Mapping[str, Floats],
    precisions: Mapping[str, NDArray[np.float64]],
    groups: NDArray[np.int64],
    texts: list[str],
    both: Labels,
) -> dict[str, Any]:
    """Fused against text alone on the same resamples: over all, by genre and by length of the synopsis."""
    gain = (precisions["ours"] - precisions["text"])[both]  # (N,)
    words = np.array([len(text.split()) for text in texts])[both]
    edges = np.quantile(words, [0, 0.25, 0.5, 0.75, 1])
    quarters = np.clip(np.searchsorted(edges, words, side="right") - 1, 0, 3)
    fused, text = found["ours"][both], found["text"][both]
    return {
        "gain": mean_interval(gain, groups),
        "better": float((gain > 0).mean()),
        "worse": float((gain < 0).mean()),
        "by_words": [
            {
                "from": int(words[quarters == q].min()),
                "to": int(words[quarters == q].max()),
                "text": float(precisions["text"][both][quarters == q].mean()),
            }
            | {"gain": mean_interval(gain[quarters == q], groups[quarters == q])}
            for q in range(4)
            if (quarters == q).any()
        ],
        "by_genre": {
            genre: _gain_of_genre(labels[:, g], text[:, g], fused[:, g], groups) for g, genre in enumerate(GENRES)
        },
    }


def _gain_of_genre(
    labels: NDArray[np.bool_], text: Floats, fused: Floats, groups: NDArray[np.int64]
) -> dict[str, float]:
    from dataclasses import asdict

    from sklearn.metrics import average_precision_score

    def gain(rows: NDArray[np.int64]) -> float:
        if not labels[rows].any():
            return float("nan")
        return float(
            average_precision_score(labels[rows], fused[rows]) - average_precision_score(labels[rows], text[rows])
        )

    return asdict(bootstrap_interval(gain, len(labels), groups, n_resamples=N_GENRE_RESAMPLES))


def _chances(logits: NDArray[np.floating]) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
