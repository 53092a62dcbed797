"""Films -> features, folds and an artifact; the features are kept between runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.dataset import Dataset, Poster, read_poster, related_films, split_folds
from challenges.radix_movies.export import N_CALIBRATION, export_poster_network, write_artifact
from challenges.radix_movies.features import (
    POSTER_SIZE,
    TEXT_ENCODER,
    Features,
    Pictures,
    extract,
    film_text,
    load_encoders,
)
from challenges.radix_movies.metrics import average_precisions
from challenges.radix_movies.model import (
    Recipe,
    fit_machine,
    fit_model,
    fit_space,
    poster_kernel,
    text_kernel,
)
from common.artifacts import fingerprint, load_artifact
from common.data.tables import replace_atomically
from common.errors import UserError

GRAMS: Final = (0.5, 1.0)
RIDGES: Final = (1.0, 2.0, 4.0)
POSTER_WEIGHTS: Final = (0.5, 1.0)


@dataclass(frozen=True)
class TrainingSet:
    """N labelled films as arrays."""

    features: Features
    labels: NDArray[np.bool_]  # (N, G)
    groups: NDArray[np.int64]  # (N,) related films
    poster_onnx: bytes
    fingerprint: str

    def folds(self, n_folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
        """(N,) fold of each film: relatives together, rare genres spread evenly."""
        return split_folds(self.labels, self.groups, n_folds, seed)


def prepare(dataset: Dataset, runs: Path, seed: int = 0) -> TrainingSet:
    """Export the poster network, and encode all films by it and by the text encoder; log what is wrong with posters.

    Args:
        dataset: labelled.
        runs: folder that keeps the exported network, by the data's fingerprint, and the features, also by the text
            encoder's.
        seed: of the choice of posters that calibrate the int8 network.

    Raises:
        UserError: no film has both a synopsis and a poster file.
    """
    if not any(film.synopsis and film.movie_id in dataset.posters.members for film in dataset.films):
        raise UserError(f"{dataset.path}: no film to learn from has a synopsis and a poster: training needs some")
    paths = [dataset.table, *([Path(dataset.posters.store.path)] if dataset.posters.store else [])]
    data = fingerprint(paths)
    folder = runs / data[:16]
    network = folder / f"poster-{seed}.onnx"
    cache = folder / f"films-{seed}-{text_encoder()['sha256'][:16]}.npz"
    if not network.is_file():
        with replace_atomically(network) as part:
            part.write_bytes(export_poster_network(_typical_posters(dataset, seed)))
    if cache.is_file():
        features, pictures = _read_features(cache, dataset)
    else:
        features, pictures = extract(load_encoders(network), dataset.films, dataset.posters)
        _keep_features(cache, features, pictures)
    pictures.tell(dataset.films, dataset.flaws)
    groups = related_films(dataset.films, pictures.hashes)
    return TrainingSet(features, dataset.labels, groups, network.read_bytes(), data)


def text_encoder() -> dict[str, str]:
    """Which network the shared text encoder is, and the sha256 of its file."""
    manifest = load_artifact(TEXT_ENCODER, "text_encoder").manifest
    return {"source": str(manifest.config["source"]), "sha256": manifest.files["model.onnx"]}


def _typical_posters(dataset: Dataset, seed: int) -> list[NDArray[np.uint8]]:
    rows = np.random.default_rng(seed).permutation(len(dataset.films))[: 2 * N_CALIBRATION]
    found = (read_poster(dataset.posters, dataset.films[row].movie_id, POSTER_SIZE) for row in rows)
    posters = [poster.pixels for poster in found if isinstance(poster, Poster)]
    return posters or [np.zeros((*POSTER_SIZE, 3), np.uint8)]


def _keep_features(path: Path, features: Features, pictures: Pictures) -> None:
    with replace_atomically(path) as part, part.open("wb") as file:
        np.savez(
            file,
            text=features.text,
            poster=features.poster,
            has_poster=features.has_poster,
            pictures=np.array(json.dumps(asdict(pictures))),
        )


def _read_features(path: Path, dataset: Dataset) -> tuple[Features, Pictures]:
    texts = [film_text(film) for film in dataset.films]
    with np.load(path, allow_pickle=False) as kept:
        has_text = np.array([bool(text) for text in texts])
        features = Features(texts, kept["text"], kept["poster"], has_text, kept["has_poster"])
        found = json.loads(str(kept["pictures"]))
    unreadable = {int(row): why for row, why in found["unreadable"].items()}
    return features, Pictures(unreadable, found["stills"], found["hashes"])


def tune(features: Features, labels: NDArray[np.bool_], groups: NDArray[np.int64]) -> Recipe:
    """Choose weights and ridges on M films, by MAP@5 of machines that leave each film's group out.

    One choice after the other, from the first: n-grams and ridge of texts, ridge of posters, their weight beside texts.
    """
    recipe = Recipe()
    placed = fit_space(features).place(features)

    def held_out_map(kernel: NDArray[np.float32], ridge: float) -> float:
        scores = fit_machine(kernel, labels, groups, ridge).held_out
        return float(average_precisions(labels, scores).mean())

    texts = {grams: text_kernel(placed, placed, recipe._replace(grams=grams)) for grams in GRAMS}
    _, grams, ridge = max((held_out_map(texts[g], r), g, r) for g in GRAMS for r in RIDGES)
    recipe = recipe._replace(grams=grams, ridge_text=ridge)
    poster = poster_kernel(placed, placed, recipe)
    _, ridge = max((held_out_map(poster, r), r) for r in RIDGES)
    recipe = recipe._replace(ridge_poster=ridge)
    _, weight = max((held_out_map(texts[grams] + w * poster, recipe.ridge_text), w) for w in POSTER_WEIGHTS)
    return recipe._replace(poster=weight, ridge_joint=recipe.ridge_text)


def train(data: TrainingSet, out: Path, metrics: dict[str, Any]) -> None:
    """Fit on all films and write the artifact.

    Args:
        data: from `prepare`.
        out: folder.
        metrics: measured by cross-validation, for the manifest.
    """
    recipe = tune(data.features, data.labels, data.groups)
    model = fit_model(data.features, data.labels, data.groups, recipe)
    write_artifact(
        out,
        model,
        data.poster_onnx,
        metrics=metrics,
        data_fingerprint=data.fingerprint,
        text_encoder=text_encoder(),
    )
