"""The Vinted model over HTTP: photos in; categories, tags and colour out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, PositiveInt

from challenges.vinted.predict import Model, describe, load_model, predict_images, read_photo
from challenges.vinted.rendering import render_photo
from common.artifacts import load_artifact
from common.data.images import ImageError, encode_jpeg
from common.service.app import create_service
from common.service.errors import ItemError
from common.service.schema import ModelCard, ServedModel
from common.service.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).with_name("page.html")

Probability = Annotated[float, Field(ge=0, le=1)]


class VintedSettings(ServiceSettings):
    """The service's settings and the limit of photos; each is read from the environment."""

    max_pixels: PositiveInt = 25_000_000
    """Of one photo; more is refused by its header."""


class Guess(BaseModel):
    """A label with its probability: calibrated of a category, as the network has it of a colour."""

    name: str
    probability: Probability


class Tag(BaseModel):
    """Whether a tag is on the garment."""

    present: bool = Field(description="The probability reaches the tag's threshold, which the model card tells.")
    probability: Probability


class PhotoAnswer(BaseModel):
    """What is said of one photo."""

    categories: list[Guess] = Field(min_length=2, max_length=2, description="The two likeliest, the likeliest first.")
    tags: dict[str, Tag] = Field(description="Every pattern tag by name.")
    color: Guess = Field(description="The likeliest; its probability is not calibrated.")


def create_vinted_service(directory: Path, settings: VintedSettings) -> FastAPI:
    """The application that serves an artifact.

    Raises:
        UserError: the artifact is missing or damaged.
    """
    model = load_model(directory)

    def decode(data: bytes) -> NDArray[np.uint8]:  # (H, W, 3) in one of the model's sizes
        try:
            return read_photo(model, data, settings.max_pixels)
        except ImageError as error:
            raise ItemError("unreadable", str(error)) from error

    def predict(photos: Sequence[NDArray[np.uint8]]) -> list[PhotoAnswer]:
        probabilities = predict_images(model, photos)
        return [PhotoAnswer.model_validate(describe(model, probabilities, row).as_dict()) for row in range(len(photos))]

    served = ServedModel(
        card=_model_card(directory, model),
        answer=PhotoAnswer,
        decode=decode,
        predict=predict,
        example=example_photo(),
        field="photos",
        files=True,
        media_types=("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "application/octet-stream"),
        labels=_labels,
    )
    return create_service(served, settings, page=PAGE.read_text(encoding="utf-8"))


def example_photo() -> bytes:
    """A generated JPEG: a blue floral shirt."""
    return encode_jpeg(render_photo(np.random.default_rng(3), "SHIRTS", "BLUE", frozenset({"floral"})))


def _labels(answer: PhotoAnswer) -> Iterator[str]:
    yield f"category:{answer.categories[0].name}"
    yield from (f"tag:{name}" for name, tag in answer.tags.items() if tag.present)


def _model_card(directory: Path, model: Model) -> ModelCard:
    manifest = load_artifact(directory, "vinted").manifest
    return ModelCard(
        name="Vinted",
        version=f"{manifest.created:%Y-%m-%d}-{manifest.files['model.onnx'][:12]}",
        created=manifest.created,
        description="Photo of a second-hand garment -> its two likeliest categories of five, its pattern tags and "
        "its main colour.",
        labels=manifest.labels,
        input=manifest.input,
        thresholds=dict(zip(model.tags, map(float, model.thresholds), strict=True)),
        metrics=manifest.metrics,
        limitations=[
            "Always answers with garment categories: it cannot say that a photo shows no garment.",
            "Trained on openly licensed and generated photos, not on photos of the marketplace.",
            "Knows one main garment a photo; of several it judges the whole picture.",
        ],
        data_fingerprint=manifest.data_fingerprint,
    )
