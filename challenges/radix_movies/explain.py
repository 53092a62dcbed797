"""Why these genres: what each modality, each word and each region of the poster contributed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.features import POSTER_SIZE, Features
from challenges.radix_movies.predict import Model, predict_features

Floats = NDArray[np.float32]

GRID: Final = (6, 4)
"""Rows and columns of regions of a poster, 48 pixels wide and high each."""
MAX_WORDS: Final = 120
"""Words of a longer text that are tried: the first."""


@dataclass(frozen=True)
class Contributions:
    """Of N films and G genres, in logits; the parts add up to the whole."""

    prior: Floats  # (G,) what is said of a film of which nothing is known
    text: Floats  # (N, G)
    poster: Floats  # (N, G)


def contributions(model: Model, features: Features) -> Contributions:
    """Shapley values of text and poster: each one's mean effect, coming first and coming second.

    Shapley 1953; for two players it is half the effect alone plus half the effect after the other. What a film lacks
    contributes nothing.
    """
    found = predict_features(model, features)
    prior = logit(model.prior)[None]
    alone_text = np.where(features.has_text[:, None], logit(found.text), prior)
    alone_poster = np.where(features.has_poster[:, None], logit(found.poster), prior)
    whole = logit(found.answer(features, model.prior))
    text = ((alone_text - prior) + (whole - alone_poster)) / 2
    poster = ((alone_poster - prior) + (whole - alone_text)) / 2
    return Contributions(prior[0], text.astype(np.float32), poster.astype(np.float32))


def word_effects(model: Model, text: str, poster: Floats | None, genre: int) -> list[tuple[str, float]]:
    """What each word adds to the logit of a genre: how much is lost without it (occlusion, Zeiler and Fergus 2014).

    Args:
        model: from `predict.load_model`.
        text: of the film.
        poster: (1392,) its poster's vector, or None.
        genre: column.

    Returns:
        The words in order, with their effects; a word that stands several times is left out everywhere at once.
    """
    words = text.split()[:MAX_WORDS]
    distinct = list(dict.fromkeys(_plain(word) for word in words))
    variants = [" ".join(word for word in text.split() if _plain(word) != gone) for gone in distinct]
    whole, *without = _logits(model, [text, *variants], [poster] * (len(variants) + 1), genre)
    effect = {word: whole - left for word, left in zip(distinct, without, strict=True)}
    return [(word, float(effect[_plain(word)])) for word in words]


def _plain(word: str) -> str:
    return re.sub(r"[^\w]", "", word.lower())


def region_effects(model: Model, pixels: NDArray[np.uint8], text: str, genre: int) -> Floats:
    """(6, 4) what each region of a poster adds to the logit of a genre: how much is lost when it is painted over.

    It is painted in the poster's mean colour. The poster is (288, 192, 3) RGB.
    """
    height, width = POSTER_SIZE[0] // GRID[0], POSTER_SIZE[1] // GRID[1]
    variants = [pixels]
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            covered = pixels.copy()
            covered[row * height : (row + 1) * height, column * width : (column + 1) * width] = pixels.mean((0, 1))
            variants.append(covered)
    vectors = [
        vector for i in range(0, 25, 8) for vector in model.encoders.encode_posters(np.stack(variants[i : i + 8]))
    ]
    encoded = model.encoders.encode_text(text) if text else None
    whole, *without = _logits(model, [text] * len(vectors), vectors, genre, encoded)
    return (whole - np.array(without, np.float32)).reshape(GRID)


def _logits(
    model: Model,
    texts: Sequence[str],
    posters: Sequence[Floats | None],
    genre: int,
    encoded: Floats | None = None,
) -> list[float]:
    features = as_features(model, texts, posters, encoded)
    found: list[float] = logit(predict_features(model, features).answer(features, model.prior))[:, genre].tolist()
    return found


def as_features(
    model: Model, texts: Sequence[str], posters: Sequence[Floats | None], encoded: Floats | None = None
) -> Features:
    """Features of films given as text ('' for none) and poster vector (None for none).

    Args:
        model: whose encoder reads the texts.
        texts: N.
        posters: N.
        encoded: (3, 384), if all texts are one that is encoded already.
    """
    blank_text, blank_poster = np.zeros((3, 384), np.float32), np.zeros(1392, np.float32)
    vectors = [(model.encoders.encode_text(t) if encoded is None else encoded) if t else blank_text for t in texts]
    return Features(
        list(texts),
        np.stack(vectors),
        np.stack([blank_poster if poster is None else poster for poster in posters]),
        np.array([bool(text) for text in texts]),
        np.array([poster is not None for poster in posters]),
    )


def logit(chances: NDArray[np.floating]) -> Floats:
    """ln(p / (1 - p)), kept finite."""
    clipped = np.clip(chances, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)
