"""A service of a toy model, text in: run as a program, it takes its settings from the environment."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from common.service.app import create_service
from common.service.errors import ItemError
from common.service.schema import ModelCard, ServedModel, parse_question
from common.service.scratch import scratch_folder
from common.service.settings import ServiceSettings

CARD = ModelCard(
    name="Toy",
    version="1",
    created=datetime(2026, 1, 1, tzinfo=UTC),
    description="Counts letters.",
    labels={},
    input={},
    thresholds={},
    metrics={},
    limitations=[],
    data_fingerprint="0" * 64,
)


class Count(BaseModel):
    text: str
    n_letters: int


def decode(data: bytes) -> str:
    if not data:
        raise ItemError("unreadable", "empty text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ItemError("unreadable", "not UTF-8") from error


def predict(texts: Sequence[str]) -> list[Count]:
    for text in texts:
        if text.startswith("sleep "):
            with scratch_folder():
                time.sleep(float(text.split()[1]))
        if text == "bug":
            raise ZeroDivisionError("secret detail")
    return [Count(text=text, n_letters=len(text)) for text in texts]


def create(settings: ServiceSettings, predict=predict, page: str | None = "<p>toy</p>") -> FastAPI:
    model = ServedModel(
        card=CARD,
        answer=Count,
        decode=decode,
        predict=predict,
        example=b"warm-up",
        field="texts",
        media_types=("text/plain",),
        labels=lambda answer: ["long" if answer.n_letters > 10 else "short"],
    )
    return create_service(model, settings, page=page)


class Repeat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    times: int = Field(default=1, le=9)


def create_questioned(settings: ServiceSettings) -> FastAPI:
    def repeat(data: bytes) -> str:
        question = parse_question(Repeat, data)
        return question.text * question.times

    model = ServedModel(
        card=CARD,
        answer=Count,
        decode=repeat,
        predict=predict,
        example=b'{"text": "ab", "times": 2}',
        media_types=(),
        labels=lambda answer: [],
        path="/v1/repeat",
        question=Repeat,
    )
    return create_service(model, settings)


if __name__ == "__main__":
    from common.service.server import run_service

    settings = ServiceSettings()
    run_service(
        create(settings), settings, host="127.0.0.1", port=0, announce=lambda address: print(address, flush=True)
    )
