"""What goes over the wire, and what a challenge gives to be served."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, Field

from common.service.errors import ErrorDetail

Item = TypeVar("Item")
Answer = TypeVar("Answer", bound=BaseModel)


class ModelCard(BaseModel):
    """What a client should know of the model."""

    name: str
    version: str = Field(description="Changes whenever the weights do.")
    created: AwareDatetime
    description: str
    labels: dict[str, list[str]] = Field(description="The names the answers use, by output.")
    input: dict[str, Any] = Field(description="What the network takes, after decoding.")
    thresholds: dict[str, float] = Field(description="A label is present from this probability on.")
    metrics: dict[str, Any] = Field(description="Measured on held-out data.")
    limitations: list[str]
    data_fingerprint: str = Field(description="sha256 of the training data.")


@dataclass(frozen=True)
class ServedModel(Generic[Item, Answer]):
    """A model as a service sees it: bytes to items, items to answers."""

    card: ModelCard
    answer: type[Answer]  # pydantic's model of one answer
    decode: Callable[[bytes], Item]  # raises ItemError; called from several threads, as is `predict`
    predict: Callable[[list[Item]], Sequence[Answer]]
    example: bytes  # an item: its answer is the warm-up, and the example in the OpenAPI document
    field: str  # of a form that holds items, e.g. "photos"
    files: bool  # items are files, not text
    media_types: tuple[str, ...]  # of a body that is one item; documented, not relied on: `decode` looks
    labels: Callable[[Answer], Iterable[str]]  # what /metrics counts of an answer; few different ones


class ModelVersion(BaseModel):
    """Which model answered."""

    name: str
    version: str


class Answered(BaseModel, Generic[Answer]):
    """An item that was read."""

    answer: Answer


class Refused(BaseModel):
    """An item that could not be read; the others of the request are answered."""

    error: ErrorDetail


class Predictions(BaseModel, Generic[Answer]):
    """One result for each item, in the order they were sent."""

    model: ModelVersion
    results: list[Answered[Answer] | Refused]


class Status(BaseModel):
    """That it is so."""

    status: str
