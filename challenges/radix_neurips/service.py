"""Similar papers over HTTP: a text or papers in, ten papers with reasons out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from challenges.radix_neurips.index import Years
from challenges.radix_neurips.search import MOST_CHARACTERS, MOST_EXAMPLES, Found, Paper, Searcher, Similar
from common.errors import UserError
from common.service.app import create_service
from common.service.errors import ServiceError
from common.service.schema import ModelCard, ServedModel, parse_question
from common.service.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

PAGE = Path(__file__).with_name("page.html")
SIMILAR = "/v1/similar"
MOST_PAPERS = 100
EXAMPLE = (
    "Exploration with posterior samples\n\n"
    "An agent that acts under uncertainty has to explore. We draw a value function from its posterior before each "
    "episode and follow it, prove a regret bound that needs no optimism, and show on maze navigation and on contextual "
    "bandits that the agent learns faster than with count-based bonuses."
)


class SimilarQuestion(BaseModel):
    """What to look for: a text, a paper of the corpus, or several, whose middle is then looked around."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(default=None, max_length=MOST_CHARACTERS, description="Title and abstract, or sentences.")
    paper_id: str | list[str] | None = Field(default=None, description="Of the corpus; they are not found themselves.")
    k: int = Field(default=10, ge=1, le=MOST_PAPERS, description="How many papers; near-duplicates do not count.")
    first_year: int | None = Field(default=None, ge=0, le=9999)
    last_year: int | None = Field(default=None, ge=0, le=9999)

    @property
    def paper_ids(self) -> list[str]:
        """The papers named."""
        return [self.paper_id] if isinstance(self.paper_id, str) else self.paper_id or []

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.text) == bool(self.paper_ids):
            raise ValueError("give either text or paper_id")
        if len(self.paper_ids) > MOST_EXAMPLES:
            raise ValueError(f"give at most {MOST_EXAMPLES} papers")
        if self.first_year is not None and self.last_year is not None and self.first_year > self.last_year:
            raise ValueError("first_year is after last_year")
        return self


class SimilarAnswer(BaseModel):
    """The papers found, the most similar first."""

    queried: tuple[Paper, ...] = Field(description="The papers that were named.")
    found: tuple[Found, ...]


def create_neurips_service(searcher: Searcher, settings: ServiceSettings) -> FastAPI:
    """The application that searches one corpus."""

    def predict(questions: Sequence[SimilarQuestion]) -> list[SimilarAnswer]:
        return [_answer(searcher, question) for question in questions]

    served = ServedModel(
        card=_model_card(searcher),
        answer=SimilarAnswer,
        decode=lambda data: parse_question(SimilarQuestion, data),
        predict=predict,
        example=SimilarQuestion(text=EXAMPLE, k=2).model_dump_json(exclude_none=True).encode(),
        media_types=(),
        labels=_labels,
        path=SIMILAR,
        question=SimilarQuestion,
    )
    page = PAGE.read_text(encoding="utf-8").replace("MOST_CHARACTERS", str(MOST_CHARACTERS))
    return create_service(served, settings, page=page)


def _answer(searcher: Searcher, question: SimilarQuestion) -> SimilarAnswer:
    """Search.

    Raises:
        ServiceError: an id is not known or the text has no words (kind unprocessable).
    """
    years = Years(question.first_year, question.last_year)
    try:
        similar: Similar = (
            searcher.like_papers(question.paper_ids, question.k, years=years)
            if question.paper_ids
            else searcher.like_text(question.text or "", question.k, years=years)
        )
    except UserError as error:
        raise ServiceError("unprocessable", str(error)) from error
    return SimilarAnswer(queried=similar.queried, found=similar.found)


def _labels(answer: SimilarAnswer) -> Iterator[str]:
    """Decades of what is found, and searches that find nothing."""
    if not answer.found:
        yield "nothing"
    for paper in answer.found:
        yield "year:unknown" if paper.year is None else f"year:{paper.year // 10 * 10}s"


def _model_card(searcher: Searcher) -> ModelCard:
    encoder, corpus = searcher.encoder, searcher.corpus
    known = corpus.years[corpus.years > 0]
    return ModelCard(
        name="Radix NeurIPS",
        version=f"{encoder.fingerprint[:12]}-{searcher.data_fingerprint[:12]}",
        created=datetime.now(UTC),
        description="An abstract, or papers of the corpus -> the most similar papers, each with the reason.",
        labels={},
        input={
            "papers": len(corpus),
            "years": [int(known.min()), int(known.max())] if len(known) else [],
            "encoder": encoder.fingerprint,
            "max_characters": MOST_CHARACTERS,
        },
        thresholds={},
        metrics={},
        limitations=[
            "Finds what is alike in words and topic. It knows neither citations nor quality.",
            "Scores order the papers of one question; they are no probabilities, and do not compare across questions.",
            "Reasons are words that both texts share; papers alike in meaning alone have few.",
            "Made for English abstracts.",
        ],
        data_fingerprint=searcher.data_fingerprint,
    )
