"""The service in this process: the answers of searching, in its own shape, and what it refuses."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from challenges.radix_neurips.index import Years
from challenges.radix_neurips.search import MOST_CHARACTERS, Searcher
from challenges.radix_neurips.service import SIMILAR, create_neurips_service
from common.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def client(searcher: Searcher) -> Iterator[TestClient]:
    with TestClient(create_neurips_service(searcher, ServiceSettings())) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def ask(client: TestClient, **question: object) -> dict:
    response = client.post(SIMILAR, json=question)
    assert response.status_code == 200, response.text
    return response.json()["results"][0]["answer"]


def plain(value: object) -> object:
    return json.loads(json.dumps(value))


def test_answers_are_those_of_searching(client: TestClient, searcher: Searcher):
    text = searcher.corpus.abstracts[5]
    expected = searcher.like_text(text, 4, years=Years(2020, 2022))
    assert ask(client, text=text, k=4, first_year=2020, last_year=2022) == plain(dataclasses.asdict(expected))
    expected = searcher.like_papers(["twin"], 10)
    assert ask(client, paper_id="twin") == plain(dataclasses.asdict(expected))
    assert ask(client, paper_id="twin", text="") == plain(dataclasses.asdict(expected))
    expected = searcher.like_papers(["twin", str(searcher.corpus.ids[9])], 10)
    assert ask(client, paper_id=["twin", str(searcher.corpus.ids[9])]) == plain(dataclasses.asdict(expected))
    assert ask(client, text=text, first_year=2050)["found"] == []


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, "give either text or paper_id"),
        ({"text": ""}, "give either text or paper_id"),
        ({"text": "bandits", "paper_id": "twin"}, "give either text or paper_id"),
        ({"text": "\x00 ..."}, "no words"),
        ({"text": "a" * (MOST_CHARACTERS + 1)}, "text: String should have at most"),
        ({"paper_id": "<script>"}, "there is no paper '<script>'"),
        ({"paper_id": ["twin"] * 21}, "at most 20 papers"),
        ({"paper_id": 7}, "paper_id"),
        ({"text": "bandits", "k": 0}, "k: Input should be greater than or equal to 1"),
        ({"text": "bandits", "k": 1_000}, "k: Input should be less than or equal to 100"),
        ({"text": "bandits", "first_year": 2020, "last_year": 2019}, "first_year is after last_year"),
        ({"text": "bandits", "year": 2020}, "year: Extra inputs are not permitted"),
        (["bandits"], "object"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(client: TestClient, question: object, words: str):
    response = client.post(SIMILAR, json=question)
    assert response.status_code == 422
    assert response.json()["error"]["kind"] == "unprocessable"
    assert "Value error" not in response.json()["error"]["message"]  # pydantic's word
    assert words in response.json()["error"]["message"]


def test_bodies_that_are_no_question_are_refused(client: TestClient):
    for body, kind in ((b"\xff{", "unprocessable"), (b"", "no_items"), (b"null", "unprocessable")):
        response = client.post(SIMILAR, content=body)
        assert (response.status_code, response.json()["error"]["kind"]) == (422, kind)
    assert client.post(SIMILAR, files={"text": b"bandits"}).status_code == 400
    assert client.post(SIMILAR, content=b"[" * 100_000).status_code == 422


def test_the_document_tells_the_question_and_shows_an_answer(client: TestClient):
    route = client.get("/openapi.json").json()["paths"][SIMILAR]["post"]
    fields = route["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert set(fields) == {"text", "paper_id", "k", "first_year", "last_year"}
    example = route["responses"]["200"]["content"]["application/json"]["example"]
    assert example["results"][0]["answer"]["found"]


def test_the_card_tells_the_corpus_and_metrics_count_decades(client: TestClient, searcher: Searcher):
    card = client.get("/v1/model").json()
    assert card["input"]["papers"] == len(searcher.corpus)
    assert card["data_fingerprint"] == searcher.data_fingerprint
    assert card["limitations"]
    ask(client, text="bandits", first_year=2050)
    counted = client.get("/metrics").text
    assert 'service_answers_total{label="year:2020s"}' in counted
    assert 'service_answers_total{label="nothing"}' in counted
