"""Artifact + labelled films -> metrics with intervals, and figures. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.dataset import Dataset, related_films
from challenges.radix_movies.features import Features, expose, extract
from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.metrics import score
from challenges.radix_movies.model import POSTER_VIEWS, TEXT_VIEWS
from challenges.radix_movies.predict import Model, head_inputs, load_model, modality_names, predict_features
from common.artifacts import load_artifact
from common.data.tables import write_json
from common.inference.session import create_session
from common.metrics.calibration import reliability_curve
from common.plots import plot_reliability, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SAME_FILM: Final = 0.98
"""Likeness of a film to itself, which is 1 but for the 8 bits that the model holds it in; other films are far below."""


def evaluate(directory: Path, dataset: Dataset, out: Path) -> dict[str, Any]:
    """Predict the labelled films of `dataset`, and write `metrics.json` and a figure into the folder `out`.

    Args:
        directory: the artifact; `seen_in_training` in the result counts the films that it was trained on, about which
            the metrics say nothing.
        dataset: labelled.
        out: folder.
    """
    model = load_model(directory)
    features, pictures = extract(model.encoders, dataset.films, dataset.posters)
    pictures.tell(dataset.films, dataset.flaws)
    chances = predict_features(model, features).answer(features, model.prior)
    groups = related_films(dataset.films, pictures.hashes)
    metrics = score(dataset.labels, chances, groups)
    modalities = modality_names(features)
    counts = {name: modalities.count(name) for name in sorted(set(modalities))}
    metrics |= {"modalities": counts, "seen_in_training": int(learned_films(directory, model, features).sum())}
    write_json(metrics | {"flaws": dataset.flaws.as_dict()}, out / "metrics.json")
    save_figure(reliability_figure(dataset.labels, chances), out / "reliability.png")
    return metrics


def learned_films(directory: Path, model: Model, features: Features) -> NDArray[np.bool_]:
    """(N,) whether the model was trained on a film: by its text, or by its poster where it has no text.

    A kernel machine holds the films that it learned from, so it can be asked how like each of them a film is.
    """
    kernels = [f"{view}.kernel" for view in (TEXT_VIEWS[-1], POSTER_VIEWS[-1])]  # (N, M) each, 0 where it is missing
    network = load_artifact(directory, "radix_movies").path("head.onnx").read_bytes()
    found = create_session(expose(network, kernels)).run(kernels, head_inputs(model, features))
    text, poster = (kernel.max(axis=1, initial=0.0) >= SAME_FILM for kernel in found)
    return np.asarray(np.where(features.has_text, text, poster))


def reliability_figure(labels: NDArray[np.bool_], chances: NDArray[np.float32]) -> Figure:
    """Whether 80 % is right 8 times in 10, over all pairs of film and genre and for the commonest genres."""
    curves = {"all genres": reliability_curve(labels.ravel().astype(int), chances.ravel())}
    for g in np.argsort(-labels.sum(axis=0), kind="stable")[:2]:
        curves[GENRES[g]] = reliability_curve(labels[:, g].astype(int), chances[:, g])
    return plot_reliability(curves, "Is 80 % right 8 times in 10?")
