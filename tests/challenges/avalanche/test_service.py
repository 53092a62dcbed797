"""The service: a file of answers in, themes out; whatever is sent."""

import gzip
import io
import zipfile
from collections.abc import Iterator

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from challenges.avalanche import service
from challenges.avalanche.sample import write_sample
from challenges.avalanche.service import ROUTE, AvalancheSettings, create_avalanche_service
from common.errors import UserError
from common.service.settings import read_settings


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Small: the service answers its example first, which takes a second for each ten people."""
    return write_sample(tmp_path_factory.mktemp("survey"), 40).read_bytes()


@pytest.fixture(scope="module")
def client(survey: bytes) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "example_file", lambda: survey)
        app = create_avalanche_service(AvalancheSettings(max_body_bytes=200_000))
    with TestClient(app) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def result(client: TestClient, data: bytes) -> dict:
    done = client.post(ROUTE, content=data)
    assert done.status_code == 200
    return done.json()["results"][0]


def test_themes_are_counted_and_quoted(client: TestClient, survey: bytes):
    answers = pd.read_csv(io.BytesIO(survey))
    document = client.get("/openapi.json").json()["paths"][ROUTE]["post"]["responses"]["200"]["content"]
    answer = document["application/json"]["example"]["results"][0]["answer"]  # of the warm-up
    assert [q["question"] for q in answer["questions"]] == answers["question"].unique().tolist()
    for question in answer["questions"]:
        texts = set(answers.loc[answers["question"] == question["question"], "response"])
        assert question["n_nowhere"] <= question["n_usable"] <= len(answers)
        counts = [theme["n_answers"] for theme in question["themes"]]
        assert counts == sorted(counts, reverse=True)
        for theme in question["themes"]:
            assert theme["low"] <= theme["share"] == theme["n_answers"] / question["n_usable"] <= theme["high"]
            assert set(theme["quotes"]) <= texts


def test_a_zip_of_the_file_is_the_file(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(service, "discover", lambda question, with_map: seen.append(question) or 1 / 0)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("réponses.csv", "answer\nThe maps are good\n")
    with pytest.raises(ZeroDivisionError):
        service.answer(packed.getvalue())
    assert seen[0].answers["response"].tolist() == ["The maps are good"]


def test_a_theme_that_everybody_names_has_a_share_of_one(client: TestClient):
    said = result(client, b"answer\n" + b"It is much too expensive for me\n" * 20)
    (theme,) = said["answer"]["questions"][0]["themes"]
    assert theme["share"] == theme["high"] == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"colour,size\nred,1\n", "no column of answers"),
        (b"PK\x03\x04 and no more", "zip"),
        (b"answer\n" + b"x" * 20_001 + b"\n", "20,001 characters"),
        (b"question,answer\n" + b"".join(b"q%d,I like it\n" % i for i in range(51)), "51 questions"),
        (b"answer\n" + b"".join(b"a%d\n" % i for i in range(20_000)) + b"\n" * 100, "20,000 answers"),
        (b"answer" + b"," * 30_000 + b"\n1\n", "20,000 columns"),
        (gzip.compress(b"answer\n" + b"x\n" * 2_100_000), "2,000,000 cells"),  # 4 kB; as objects a gigabyte
    ],
    ids=["no answers", "no zip", "long answer", "questions", "answers", "columns", "cells"],
)
def test_what_cannot_be_used_is_told_and_is_no_server_error(
    client: TestClient, data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "MAX_ANSWERS", 19_999)
    error = result(client, data)["error"]
    assert error["kind"] == "unreadable"
    assert words in error["message"]
    assert "/" not in error["message"].replace("CSV/", "")  # no path of this machine


def test_an_endless_deadline_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVICE_DEADLINE_S", "inf")
    with pytest.raises(UserError, match="SERVICE_DEADLINE_S"):
        read_settings(AvalancheSettings)
