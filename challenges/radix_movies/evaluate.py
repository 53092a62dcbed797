"""Artifact + labelled films -> metrics with intervals, and figures. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.dataset import Dataset, related_films
from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.metrics import score
from challenges.radix_movies.predict import Model, predict_films
from common.artifacts import fingerprint
from common.data.tables import write_json
from common.metrics.calibration import reliability_curve
from common.plots import plot_reliability, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def evaluate(model: Model, dataset: Dataset, out: Path, trained_on: str | None = None) -> dict[str, Any]:
    """Predict the labelled films of `dataset`, and write `metrics.json` and a figure into the folder `out`.

    Args:
        model: from `predict.load_model`.
        dataset: labelled.
        out: folder.
        trained_on: the artifact's fingerprint of its training data; `seen_in_training` in the result tells whether
            `dataset` is that data, in which case the metrics say nothing about new films.
    """
    found = predict_films(model, dataset.films, dataset.posters)
    groups = related_films(dataset.films, found.pictures.hashes)
    metrics = score(dataset.labels, found.probabilities, groups)
    counts = {name: found.modalities.count(name) for name in sorted(set(found.modalities))}
    paths = [dataset.table, *([Path(dataset.posters.store.path)] if dataset.posters.store else [])]
    metrics |= {"modalities": counts, "seen_in_training": trained_on == fingerprint(paths)}
    write_json(metrics | {"flaws": dataset.flaws.as_dict()}, out / "metrics.json")
    save_figure(reliability_figure(dataset.labels, found.probabilities), out / "reliability.png")
    return metrics


def reliability_figure(labels: NDArray[np.bool_], chances: NDArray[np.float32]) -> Figure:
    """Whether 80 % is right 8 times in 10, over all pairs of film and genre and for the commonest genres."""
    curves = {"all genres": reliability_curve(labels.ravel().astype(int), chances.ravel())}
    for g in np.argsort(-labels.sum(axis=0), kind="stable")[:2]:
        curves[GENRES[g]] = reliability_curve(labels[:, g].astype(int), chances[:, g])
    return plot_reliability(curves, "Is 80 % right 8 times in 10?")
