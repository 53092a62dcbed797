"""What goes over the wire, and what a challenge gives to be served."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from common.service.errors import ErrorDetail, ServiceError

Item = TypeVar("Item")
Answer = TypeVar("Answer", bound=BaseModel)
Question = TypeVar("Question", bound=BaseModel)


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
    media_types: tuple[str, ...]  # of a body that is one item; documented, not relied on: `decode` looks
    labels: Callable[[Answer], Iterable[str]]  # what /metrics counts of an answer; few different ones
    path: str = "/v1/predictions"
    field: str | None = None  # of a form that holds several items, e.g. "photos"; None: a request is one item
    files: bool = False  # a form's items are files, not text
    question: type[BaseModel] | None = None  # what a body of JSON holds, which is one item; see parse_question


def parse_question(kind: type[Question], data: bytes) -> Question:
    """Read a body of JSON, in a model's `decode`.

    Raises:
        ServiceError: it is no JSON, or not of this kind (kind unprocessable); of what the client sent only the
            beginning of an unknown key is repeated.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:60] for part in first["loc"] if not isinstance(part, str) or part.isidentifier())
        message = first["msg"].removeprefix("Value error, ")  # of our own checks
        raise ServiceError("unprocessable", f"{place}: {message}" if place else message) from error


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
