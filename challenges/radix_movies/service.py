"""Film genres over HTTP: a synopsis, a poster or both in; five ranked genres out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from challenges.radix_movies.dataset import Film, decode_poster
from challenges.radix_movies.drawing import draw_poster
from challenges.radix_movies.explain import as_features, contributions, region_effects, word_effects
from challenges.radix_movies.features import POSTER_SIZE, film_text
from challenges.radix_movies.predict import Model, load_model, modality_names, predict_features, rank
from challenges.radix_movies.synopsis import clean_text, is_empty, is_foreign
from common.artifacts import load_artifact
from common.data.images import ImageError, encode_jpeg
from common.service.app import create_service
from common.service.errors import ItemError
from common.service.schema import ModelCard, ServedModel, parse_question
from common.service.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).with_name("page.html")

Probability = Annotated[float, Field(ge=0, le=1)]


class FilmQuestion(BaseModel):
    """A film: synopsis, poster, or both."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=500)] = ""
    synopsis: Annotated[str, Field(max_length=20_000, description="In English.")] = ""
    poster: Annotated[str | None, Field(description="JPEG, PNG, WebP, GIF or BMP in base64.")] = None
    explain: Annotated[bool, Field(description="Also say which words and regions mattered for the first genre.")] = (
        False
    )


class Genre(BaseModel):
    """A genre with its probability, and what text and poster contributed."""

    name: str
    probability: Probability
    from_synopsis: float = Field(description="Logits that the text adds to what is said of any film.")
    from_poster: float = Field(description="Logits that the poster adds.")


class WordEffect(BaseModel):
    """A word of title or synopsis."""

    word: str
    effect: float = Field(description="Logits of the first genre that are lost without the word.")


class FilmAnswer(BaseModel):
    """What is said of one film."""

    genres: list[Genre] = Field(min_length=5, max_length=5, description="The likeliest first.")
    modalities: str = Field(description="What was used: synopsis+poster, synopsis or poster.")
    remarks: list[str] = Field(description="What could not be used, and why.")
    words: list[WordEffect] | None = None
    regions: list[list[float]] | None = Field(
        None, description="6 rows of 4 regions of the poster: logits of the first genre that are lost without each."
    )


@dataclass(frozen=True)
class Question:
    """A film, read."""

    text: str  # '' where there is none
    pixels: NDArray[np.uint8] | None  # (288, 192, 3)
    remarks: tuple[str, ...]
    explain: bool


def create_movies_service(directory: Path, settings: ServiceSettings) -> FastAPI:
    """The application that serves an artifact.

    Raises:
        UserError: the artifact is missing or damaged.
    """
    model = load_model(directory)

    def predict(questions: Sequence[Question]) -> list[FilmAnswer]:
        return [answer_question(model, question) for question in questions]

    served = ServedModel(
        card=_model_card(directory, model),
        answer=FilmAnswer,
        decode=read_question,
        predict=predict,
        example=example_question(),
        media_types=("image/jpeg", "image/png", "image/webp", "application/octet-stream"),
        labels=_labels,
        path="/v1/genres",
        question=FilmQuestion,
    )
    return create_service(served, settings, page=PAGE.read_text(encoding="utf-8"))


def read_question(data: bytes) -> Question:
    """Read JSON, or the bytes of a poster alone.

    Raises:
        ServiceError: JSON of another kind.
        ItemError: there is neither a synopsis nor a poster that can be used.
    """
    if data.lstrip()[:1] == b"{":
        asked = parse_question(FilmQuestion, data)
        poster = _from_base64(asked.poster) if asked.poster else None
    else:
        asked, poster = FilmQuestion(), data
    remarks: list[str] = []
    synopsis = clean_text(asked.synopsis)[0]
    if synopsis and (is_foreign(synopsis) or is_empty(synopsis)):
        remarks.append("the synopsis is not English" if is_foreign(synopsis) else "the synopsis is too short")
        synopsis = ""
    pixels = None
    if poster is not None:
        try:
            pixels = decode_poster(poster, POSTER_SIZE).pixels
        except ImageError as error:
            remarks.append(f"the poster cannot be used: {error}")
    if not synopsis and pixels is None:
        raise ItemError("unreadable", "; ".join(remarks) or "neither a synopsis nor a poster")
    text = film_text(Film("", clean_text(asked.title)[0], synopsis, None, frozenset()))
    return Question(text, pixels, tuple(remarks), asked.explain)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ItemError("unreadable", "the poster is not base64") from error


def answer_question(model: Model, question: Question) -> FilmAnswer:
    """Predict, and explain if asked to."""
    vector = None if question.pixels is None else model.encoders.encode_posters(question.pixels[None])[0]
    features = as_features(model, [question.text], [vector])
    chances = predict_features(model, features).answer(features, model.prior)  # (1, G)
    parts = contributions(model, features)
    order = rank(chances)[0]
    words, regions = None, None
    if question.explain and question.text:
        effects = word_effects(model, question.text, vector, int(order[0]))
        words = [WordEffect(word=word, effect=round(effect, 4)) for word, effect in effects]
    if question.explain and question.pixels is not None:
        regions = region_effects(model, question.pixels, question.text, int(order[0])).round(4).tolist()
    return FilmAnswer(
        genres=[
            Genre(
                name=model.genres[g],
                probability=round(float(chances[0, g]), 4),
                from_synopsis=round(float(parts.text[0, g]), 3),
                from_poster=round(float(parts.poster[0, g]), 3),
            )
            for g in order
        ],
        modalities=modality_names(features)[0],
        remarks=list(question.remarks),
        words=words,
        regions=regions,
    )


def example_question() -> bytes:
    """A made-up film with a drawn poster."""
    poster = encode_jpeg(draw_poster(np.random.default_rng(4), ["Horror"], "The Cellar"))
    asked = FilmQuestion(
        title="The Cellar",
        synopsis="A family moves into an old house and is haunted by the ghost of the woman who died in its cellar.",
        poster=base64.b64encode(poster).decode(),
    )
    return asked.model_dump_json().encode()


def _labels(answer: FilmAnswer) -> Iterator[str]:
    yield f"genre:{answer.genres[0].name}"
    yield f"modalities:{answer.modalities}"


def _model_card(directory: Path, model: Model) -> ModelCard:
    manifest = load_artifact(directory, "radix_movies").manifest
    measured: dict[str, Any] = manifest.metrics
    return ModelCard(
        name="Film genres",
        version=f"{manifest.created:%Y-%m-%d}-{manifest.files['head.onnx'][:12]}",
        created=manifest.created,
        description="Synopsis and poster of a film -> its five likeliest genres of eighteen.",
        labels={"genres": list(model.genres)},
        input=manifest.input,
        thresholds={},
        metrics=measured,
        limitations=[
            "Reads English only; a synopsis in another language is left out.",
            f"Learned from {manifest.config['n_films']:,} films; of genres that are rare among them it knows little.",
        ],
        data_fingerprint=manifest.data_fingerprint,
    )
