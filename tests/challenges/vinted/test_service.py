"""The Vinted service in this process: the same answers as predicting, and its limits of photos."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS
from challenges.vinted.predict import DEFAULT_MODEL, describe, load_model, predict_images, read_photo
from challenges.vinted.sample import render_photo
from challenges.vinted.service import PhotoAnswer, VintedSettings, create_vinted_service, example_photo
from common.data.images import encode_jpeg

PREDICTIONS = "/v1/predictions"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_vinted_service(DEFAULT_MODEL, VintedSettings())) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def photos(n: int) -> list[bytes]:
    subjects = [("SHIRTS", "RED", {"checker"}), ("MINI_DRESSES", "BLUE", {"floral"}), ("TANK_TOPS", "BLACK", set())]
    return [
        encode_jpeg(render_photo(np.random.default_rng(k), category, color, frozenset(tags)))
        for k, (category, color, tags) in zip(range(n), subjects * n, strict=False)
    ]


def upload(*found: bytes) -> dict:
    return {"files": [("photos", ("x.png", photo, "text/html")) for photo in found]}


def test_answers_are_those_of_predicting(client: TestClient):
    model, sent = load_model(), photos(3)
    expected = [describe(model, predict_images(model, [read_photo(model, p)]), 0).as_dict() for p in sent]
    results = client.post(PREDICTIONS, **upload(*sent)).json()["results"]
    assert len(results) == 3
    for result, alone in zip(results, expected, strict=True):
        flat = [result["answer"]["color"]["probability"], *(c["probability"] for c in result["answer"]["categories"])]
        flat_alone = [alone["color"]["probability"], *(c["probability"] for c in alone["categories"])]
        assert flat == pytest.approx(flat_alone, abs=2e-4)  # a batch may round otherwise than one photo
        assert [c["name"] for c in result["answer"]["categories"]] == [c["name"] for c in alone["categories"]]


def test_an_answer_names_what_the_challenge_names(client: TestClient):
    answer = PhotoAnswer.model_validate(
        client.post(PREDICTIONS, content=example_photo()).json()["results"][0]["answer"]
    )
    assert {guess.name for guess in answer.categories} <= set(CATEGORIES)
    assert len({guess.name for guess in answer.categories}) == 2
    assert set(answer.tags) == set(TAGS)
    assert answer.color.name in COLORS


def test_32_photos_are_answered_in_order_and_33_refused(client: TestClient):
    a, b = photos(2)
    single = [client.post(PREDICTIONS, content=p).json()["results"][0]["answer"] for p in (a, b)]
    assert single[0]["color"] != single[1]["color"]
    results = client.post(PREDICTIONS, **upload(*[a, b] * 16)).json()["results"]
    assert len(results) == 32
    for k, result in enumerate(results):
        assert result["answer"]["color"]["name"] == single[k % 2]["color"]["name"]
    assert client.post(PREDICTIONS, **upload(*[a] * 33)).status_code == 413


def png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + ihdr + struct.pack(">L", zlib.crc32(ihdr))


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"", "empty file"),
        (b"<svg/>", "not an image format"),
        (photos(1)[0][:-3000], "truncated JPEG"),
        (png_header(100_000, 100_000), "more than the limit of 25 megapixels"),
    ],
)
def test_a_bad_photo_is_named_by_its_reason(client: TestClient, photo: bytes, words: str):
    good = example_photo()
    alone = client.post(PREDICTIONS, content=good).json()["results"][0]
    first, second = client.post(PREDICTIONS, **upload(photo, good)).json()["results"]
    assert first["error"]["kind"] == "unreadable"
    assert words in first["error"]["message"]
    assert second["answer"]["categories"][0]["name"] == alone["answer"]["categories"][0]["name"]


def test_the_limit_of_pixels_can_be_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVICE_MAX_PIXELS", "300000")
    assert VintedSettings().max_pixels == 300_000
    with TestClient(create_vinted_service(DEFAULT_MODEL, VintedSettings())) as client:
        while client.get("/ready").status_code != 200:
            pass
        large = encode_jpeg(np.zeros((600, 600, 3), np.uint8))
        assert "0.3 megapixels" in client.post(PREDICTIONS, content=large).json()["results"][0]["error"]["message"]


def test_the_card_tells_labels_thresholds_metrics_and_limits(client: TestClient):
    card = client.get("/v1/model").json()
    assert set(card["labels"]["category"]) == set(CATEGORIES)
    assert set(card["thresholds"]) == set(TAGS)
    assert card["version"] == client.post(PREDICTIONS, content=example_photo()).json()["model"]["version"]
    assert card["limitations"]
    assert card["metrics"]
