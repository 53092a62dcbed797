"""The service in this process: a synopsis, a poster, both, or something else."""

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient

from challenges.radix_movies.drawing import draw_poster
from challenges.radix_movies.predict import DEFAULT_MODEL
from challenges.radix_movies.service import FilmAnswer, create_movies_service, example_question
from common.data.images import encode_jpeg
from common.service.settings import ServiceSettings

POSTER = encode_jpeg(draw_poster(np.random.default_rng(0), ["Horror"], "The Cellar"))
SYNOPSIS = "A family moves into a haunted house where a demon kills them one by one."


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_movies_service(DEFAULT_MODEL, ServiceSettings())) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def ask(client: TestClient, **question: object) -> FilmAnswer:
    response = client.post("/v1/genres", json=question)
    assert response.status_code == 200, response.text
    return FilmAnswer.model_validate(response.json()["results"][0]["answer"])


def test_each_modality_is_answered_and_what_is_lacking_says_nothing(client: TestClient):
    encoded = base64.b64encode(POSTER).decode()
    both = ask(client, synopsis=SYNOPSIS, poster=encoded)
    text, poster = ask(client, synopsis=SYNOPSIS), ask(client, poster=f"data:image/jpeg;base64,{encoded}")
    assert [answer.modalities for answer in (both, text, poster)] == ["synopsis+poster", "synopsis", "poster"]
    assert both.genres[0].name == text.genres[0].name == "Horror"
    assert all(abs(genre.from_poster) < 0.01 for genre in text.genres)
    assert all(abs(genre.from_synopsis) < 0.01 for genre in poster.genres)
    assert both.words is None
    raw = client.post("/v1/genres", content=POSTER, headers={"Content-Type": "image/jpeg"}).json()
    assert raw["results"][0]["answer"]["genres"] == [genre.model_dump() for genre in poster.genres]


def test_an_explanation_names_words_and_regions(client: TestClient):
    answer = ask(client, title="It", synopsis=SYNOPSIS, poster=base64.b64encode(POSTER).decode(), explain=True)
    assert [effect.word for effect in answer.words or []] == f"It. {SYNOPSIS}".split()
    assert max(answer.words or [], key=lambda effect: effect.effect).word in ("haunted", "demon", "kills")
    assert np.array(answer.regions).shape == (6, 4)


def test_what_cannot_be_used_is_said(client: TestClient):
    answer = ask(client, synopsis=SYNOPSIS, poster=base64.b64encode(POSTER[:3000]).decode())
    assert answer.modalities == "synopsis"
    assert answer.remarks == ["the poster cannot be used: truncated JPEG"]
    french = "Une jeune femme rencontre un homme mystérieux qui change sa vie pendant un long voyage."
    for question, message in (
        ({"synopsis": french}, "the synopsis is not English"),
        ({"title": "Alone"}, "neither a synopsis nor a poster"),
        ({"poster": "?"}, "the poster is not base64"),
    ):
        error = client.post("/v1/genres", json=question).json()["results"][0]["error"]
        assert (error["kind"], error["message"]) == ("unreadable", message)
    refused = client.post("/v1/genres", json={"plot": SYNOPSIS})
    assert refused.status_code == 422
    assert client.post("/v1/genres", content=b"\x00\x01").json()["results"][0]["error"]["kind"] == "unreadable"


def test_the_card_and_the_example_are_there(client: TestClient):
    card = client.get("/v1/model").json()
    assert len(card["labels"]["genres"]) == 18
    assert any("3,750 films" in limit for limit in card["limitations"])  # of the model that is served
    assert card["metrics"]["ours"]["map_at_5"]["estimate"] > 0.76
    example = client.get("/openapi.json").json()["paths"]["/v1/genres"]["post"]["responses"]["200"]
    shown = example["content"]["application/json"]["example"]["results"][0]["answer"]
    answer = client.post("/v1/genres", content=example_question()).json()["results"][0]["answer"]
    assert shown["genres"] == answer["genres"]
