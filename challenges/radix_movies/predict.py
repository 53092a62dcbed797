"""Artifact + films -> five ranked genres each. Needs neither torch nor labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.dataset import Dataset, Film, Posters, open_posters
from challenges.radix_movies.features import (
    TEXT_ENCODER,
    Encoders,
    Features,
    Pictures,
    extract,
    load_encoders,
)
from challenges.radix_movies.lexicon import Lexicon
from common.artifacts import load_artifact
from common.errors import UserError
from common.inference.batch import Engine, map_blocks
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime
    import pandas as pd

DEFAULT_MODEL: Final = Path(__file__).resolve().parents[2] / "data" / "weights" / "radix_movies"
N_ANSWERS: Final = 5
BLOCK: Final = 256
"""Films that a worker takes at once."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """The exported networks with what is needed to read their outputs."""

    encoders: Encoders
    head: onnxruntime.InferenceSession
    lexicon: Lexicon
    genres: tuple[str, ...]
    prior: Floats  # (G,) how frequent each genre is: the answer for a film with neither text nor poster


@dataclass(frozen=True)
class Probabilities:
    """Of N films, as if each had only its text, only its poster, or both; what it lacks makes a row meaningless."""

    text: Floats  # (N, G)
    poster: Floats
    both: Floats

    def answer(self, features: Features, prior: Floats) -> Floats:
        """(N, G) by what each film has."""
        has_text, has_poster = features.has_text[:, None], features.has_poster[:, None]
        one = np.where(has_text, self.text, np.where(has_poster, self.poster, prior))
        return np.asarray(np.where(has_text & has_poster, self.both, one), np.float32)


def load_model(directory: Path = DEFAULT_MODEL, text_encoder: Path = TEXT_ENCODER) -> Model:
    """Load and check an artifact and the text encoder that it was trained with.

    Raises:
        UserError: one is missing or damaged, or the encoder is another.
    """
    artifact = load_artifact(directory, "radix_movies")
    manifest = artifact.manifest
    encoder, wanted = load_artifact(text_encoder, "text_encoder").manifest, manifest.config["text_encoder"]
    if encoder.config["source"] != wanted["source"]:  # another quantisation of the same network does no harm
        raise UserError(
            f"the model in {directory} was trained with the text encoder {wanted['source']}, and {text_encoder} holds "
            f"{encoder.config['source']}: give the right one, or train the model again"
        )
    words = json.loads(artifact.path("lexicon.json").read_bytes())
    terms = {term: column for column, term in enumerate(words["terms"])}
    return Model(
        load_encoders(artifact.path("poster.onnx"), text_encoder),
        create_session(artifact.path("head.onnx")),
        Lexicon(terms, np.array(words["idf"], np.float32)),
        tuple(manifest.labels["genres"]),
        np.array(manifest.config["prior"], np.float32),
    )


def predict_features(model: Model, features: Features) -> Probabilities:
    """Run the head on N films."""
    return Probabilities(*model.head.run(["synopsis", "poster", "synopsis+poster"], head_inputs(model, features)))


def head_inputs(model: Model, features: Features) -> dict[str, NDArray[Any]]:
    """N films as the head takes them."""
    rows = [model.lexicon.row(text) for text in features.texts]
    longest = max([len(columns) for columns, _ in rows], default=0)
    columns = np.full((len(rows), longest), len(model.lexicon.terms), np.int64)  # the last row of weights is 0
    weights = np.zeros((len(rows), longest), np.float32)
    for i, (row_columns, row_weights) in enumerate(rows):
        columns[i, : len(row_columns)] = row_columns
        weights[i, : len(row_weights)] = row_weights
    return {
        **{f"text_{i}": np.ascontiguousarray(features.text[:, i]) for i in range(features.text.shape[1])},
        "vector": features.poster,
        "columns": columns,
        "weights": weights,
    }


@dataclass(frozen=True)
class Predictions:
    """What is said of N films."""

    probabilities: Floats  # (N, G)
    modalities: list[str]  # 'synopsis+poster', 'synopsis', 'poster' or 'none'
    pictures: Pictures


def predict_films(model: Model, films: Sequence[Film], posters: Posters, n_workers: int | None = None) -> Predictions:
    """Read and predict films, side by side on the cores of this machine."""
    features, pictures = extract(model.encoders, films, posters, n_workers)
    answer = predict_features(model, features).answer(features, model.prior) if len(films) else np.zeros((0, 18), "f4")
    return Predictions(answer, modality_names(features), pictures)


def modality_names(features: Features) -> list[str]:
    """What each film was predicted from."""
    names = {(True, True): "synopsis+poster", (True, False): "synopsis", (False, True): "poster"}
    pairs = zip(features.has_text.tolist(), features.has_poster.tolist(), strict=True)
    return [names.get(pair, "none") for pair in pairs]


def predict_dataset(
    directory: Path, dataset: Dataset, engine: Engine = Engine.LOCAL, model: Model | None = None
) -> Predictions:
    """Predict all films of a data set, by either engine; what is wrong with posters goes to its log of flaws.

    Args:
        directory: the artifact. With Ray on several machines, each must see it, and the posters, at this path.
        dataset: from `dataset.load`.
        engine: where to run.
        model: the artifact, if it is loaded already; Ray's workers load it themselves.
    """
    films = dataset.films
    if engine is Engine.LOCAL:
        found = predict_films(model or load_model(directory), films, dataset.posters)
    else:
        blocks = [films[i : i + BLOCK] for i in range(0, len(films), BLOCK)]
        place = str(Path(dataset.posters.store.path).resolve()) if dataset.posters.store else None
        work = partial(_predict_block, directory=Path(directory).resolve(), posters=place)
        parts = map_blocks(work, blocks, engine, description="predicting")
        found = _joined(parts)
    found.pictures.tell(films, dataset.flaws)
    return found


def _predict_block(films: Sequence[Film], directory: Path, posters: str | None) -> Predictions:
    """In a process of the cluster, where model and posters are opened once."""
    model, opened = _opened(directory, posters)
    return predict_films(model, films, opened, n_workers=1)


def _opened(directory: Path, posters: str | None) -> tuple[Model, Posters]:
    key = (str(directory), posters)
    if key not in _OPENED:
        _OPENED[key] = load_model(directory), open_posters(Path(posters)) if posters else Posters(None, {})
    return _OPENED[key]


_OPENED: dict[tuple[str, str | None], tuple[Model, Posters]] = {}


def _joined(parts: Sequence[Predictions]) -> Predictions:
    starts = np.cumsum([0, *(len(part.modalities) for part in parts)])
    unreadable: dict[int, str] = {}
    stills: list[int] = []
    hashes: list[int | None] = []
    for start, part in zip(starts.tolist(), parts, strict=False):
        unreadable |= {start + row: why for row, why in part.pictures.unreadable.items()}
        stills += [start + row for row in part.pictures.stills]
        hashes += part.pictures.hashes
    return Predictions(
        np.concatenate([part.probabilities for part in parts]),
        [name for part in parts for name in part.modalities],
        Pictures(unreadable, stills, hashes),
    )


def rank(probabilities: Floats) -> NDArray[np.int64]:
    """(N, G) probabilities -> (N, 5) genres, the likeliest first."""
    return np.argsort(-probabilities, axis=1, kind="stable")[:, :N_ANSWERS]


def tabulate(films: Sequence[Film], predictions: Predictions, genres: Sequence[str]) -> pd.DataFrame:
    """A row a film, in order: movie_id, genre1 ... genre5, probability1 ... probability5, modalities."""
    import pandas as pd

    order = rank(predictions.probabilities)  # (N, 5)
    chances = np.take_along_axis(predictions.probabilities, order, axis=1)  # (N, 5)
    names = np.array(genres, dtype=object)[order]
    columns: dict[str, Any] = {"movie_id": [film.movie_id for film in films]}
    columns |= {f"genre{i + 1}": names[:, i] for i in range(N_ANSWERS)}
    columns |= {f"probability{i + 1}": chances[:, i].astype(np.float64) for i in range(N_ANSWERS)}
    return pd.DataFrame(columns | {"modalities": predictions.modalities})
