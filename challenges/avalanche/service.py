"""Survey themes over HTTP: a file of answers in; the themes of each question, with counts and quotes, out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from challenges.avalanche.dataset import Question, Survey, load
from challenges.avalanche.discovery import Discovery, discover
from challenges.avalanche.embedding import TEXT_ENCODER
from challenges.avalanche.sample import write_sample
from common.artifacts import fingerprint
from common.errors import UserError
from common.service.app import create_service
from common.service.schema import ModelCard, ServedModel
from common.service.settings import Seconds, ServiceSettings
from common.service.uploads import uploaded_table

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).with_name("page.html")
ROUTE = "/v1/themes"
MAX_QUESTIONS = 50
MAX_ANSWERS = 30_000
MAX_CHARACTERS = 20_000  # of one answer
MAX_CELLS = 2_000_000
"""MAX_ANSWERS with 65 further columns: each cell becomes an object, and a few kB may hold twenty million."""

Share = Annotated[float, Field(ge=0, le=1)]


class AvalancheSettings(ServiceSettings):
    """The service's settings; each is read from the environment."""

    max_body_bytes: PositiveInt = 4 * 2**20
    """MAX_ANSWERS of usual length."""
    deadline_s: Seconds = 120
    """A thousand answers take a tenth of it on two cores."""
    n_workers: PositiveInt = 1
    """One survey uses all cores."""


class Theme(BaseModel):
    """A theme that was found."""

    label: str
    n_answers: PositiveInt
    share: Share = Field(description="Of the usable answers.")
    low: Share = Field(description="Lower end of the share's 95 % interval.")
    high: Share
    quotes: list[str] = Field(description="Central and varied.")


class QuestionAnswer(BaseModel):
    """The themes of one question."""

    question: str
    n_usable: NonNegativeInt = Field(description="Answers that say something.")
    n_nowhere: NonNegativeInt = Field(description="Of these, without a theme.")
    themes: list[Theme] = Field(description="The largest first.")


class SurveyAnswer(BaseModel):
    """What is said of one file."""

    questions: list[QuestionAnswer]


def create_avalanche_service(settings: AvalancheSettings) -> FastAPI:
    """The application that finds the themes of files."""
    served = ServedModel(
        card=_card(),
        answer=SurveyAnswer,
        decode=bytes,
        predict=lambda files: [answer(data) for data in files],
        example=example_file(),
        media_types=("text/csv", "application/zip", "application/octet-stream"),
        labels=_labels,
        path=ROUTE,
    )
    return create_service(served, settings, page=PAGE.read_text(encoding="utf-8"))


def answer(data: bytes) -> SurveyAnswer:
    """Find the themes of a CSV, parquet or Excel file, or a zip of one.

    Raises:
        ItemError: it cannot be read, has no column of answers, or too many or too long ones.
    """
    with uploaded_table(data, MAX_CELLS) as path:
        survey = load(path)
        _check(survey)
    return SurveyAnswer(
        questions=[_themes(question, discover(question, with_map=False)) for question in survey.questions]
    )


def _check(survey: Survey) -> None:
    n_answers = sum(len(question.answers) for question in survey.questions)
    longest = max(int(question.answers["response"].str.len().max()) for question in survey.questions)
    for found, most, what in (
        (len(survey.questions), MAX_QUESTIONS, "questions"),
        (n_answers, MAX_ANSWERS, "answers"),
        (longest, MAX_CHARACTERS, "characters in an answer"),
    ):
        if found > most:
            raise UserError(f"{found:,} {what} are more than {most:,}: make avalanche-discover takes them")


def _themes(question: Question, found: Discovery) -> QuestionAnswer:
    n_usable = int(question.answers["usable"].sum())
    themes = [
        Theme(
            label=theme.label,
            n_answers=theme.n_answers,
            share=theme.share.estimate,
            low=theme.share.low,
            high=theme.share.high,
            quotes=[str(question.answers["response"].iat[row]) for row in theme.quotes],
        )
        for theme in found.themes
    ]
    n_nowhere = n_usable - int(found.assignments["row"].nunique())
    return QuestionAnswer(question=question.text, n_usable=n_usable, n_nowhere=n_nowhere, themes=themes)


def example_file() -> bytes:
    """Generated answers of 160 people: so many that their themes hold together."""
    with TemporaryDirectory() as folder:
        return write_sample(Path(folder), 160).read_bytes()


def _labels(answer: SurveyAnswer) -> Iterator[str]:
    yield f"questions:{min(len(answer.questions), 10)}"


def _card() -> ModelCard:
    return ModelCard(
        name="Survey themes",
        version=fingerprint([TEXT_ENCODER])[:12],
        created=datetime.now(UTC),
        description="Open answers of a survey -> the themes in them, with counts, intervals and quotes.",
        labels={},
        input={"table": "a column of answers; columns of questions, respondents and segments if there are"},
        thresholds={},
        metrics={},
        limitations=[
            "A theme needs some answers: what few people say is left without one.",
            "Labels are words of the answers; an analyst will want to name themes anew.",
            "Made for English answers.",
        ],
        data_fingerprint="",
    )
