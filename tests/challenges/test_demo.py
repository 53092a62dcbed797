"""The front of the demo and its doors, with rooms that cost nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from challenges.demo import Room, create_demo, make_rooms
from common.errors import UserError
from common.service.app import create_service
from common.service.schema import ModelCard, ServedModel
from common.service.settings import ServiceSettings

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [*sorted((REPOSITORY / "challenges").glob("*/page.html")), REPOSITORY / "challenges" / "demo.html"]
CARD = ModelCard(
    name="Toy", version="1", created=datetime(2026, 1, 1, tzinfo=UTC), description="", labels={}, input={},
    thresholds={}, metrics={}, limitations=[], data_fingerprint="",
)  # fmt: skip


class Length(BaseModel):
    n_bytes: int


def create_toy() -> FastAPI:
    model = ServedModel(
        card=CARD, answer=Length, decode=bytes, predict=lambda items: [Length(n_bytes=len(item)) for item in items],
        example=b"abc", media_types=("text/plain",), labels=lambda answer: [],
    )  # fmt: skip
    return create_service(model, ServiceSettings(max_body_bytes=10), page="<title>Toy</title><header>A toy</header>")


class Builder:
    """Counts how often a room is built; not before the second visit where it lacks something."""

    def __init__(self, *, lacks: bool = False) -> None:
        self.n_visits = 0
        self.lacks = lacks

    def __call__(self) -> FastAPI:
        self.n_visits += 1
        if self.lacks and self.n_visits == 1:
            raise UserError("there is no model in <folder>: train one")
        return create_toy()


def test_rooms_are_built_on_the_first_visit_and_once():
    toy = Builder()
    with TestClient(create_demo({"toy": Room("Toy", "Counts.", toy, "“abc”")})) as client:
        front = client.get("/")
        assert 'href="toy/"' in front.text
        assert "default-src 'none'" in front.headers["Content-Security-Policy"]
        assert toy.n_visits == 0
        page = client.get("/toy")  # led on to /toy/
        assert "A toy" in page.text
        assert "All challenges" in page.text
        answer = client.post("/toy/v1/predictions", content=b"four")  # at once: it waits for the warm-up
        assert answer.json()["results"][0]["answer"] == {"n_bytes": 4}
        assert client.get("/toy/v1/example").content == b"abc"
        assert "/v1/predictions" in client.get("/toy/openapi.json").json()["paths"]
        assert toy.n_visits == 1


def test_limits_and_errors_are_those_of_the_service():
    with TestClient(create_demo({"toy": Room("Toy", "Counts.", create_toy, "“abc”")})) as client:
        refused = client.post("/toy/v1/predictions", content=b"far too many bytes")
        assert refused.status_code == 413
        assert refused.json()["error"]["request_id"] == refused.headers["X-Request-ID"]
        for path in ("/toy/nothing", "/nothing", "/nothing/", "/pictures/toy", "/pictures/nothing"):
            assert client.get(path).json()["error"]["kind"] == "not_found"


def test_a_room_that_lacks_something_says_so_and_opens_once_it_is_there():
    toy = Builder(lacks=True)
    with TestClient(create_demo({"toy": Room("Toy", "Counts.", toy, lambda: b"jpeg")})) as client:
        assert client.get("/pictures/toy").content == b"jpeg"
        closed = client.get("/toy/")
        assert closed.status_code == 503
        assert "there is no model in &lt;folder&gt;: train one" in closed.text
        assert "A toy" in client.get("/toy/").text


def test_a_room_that_cannot_be_built_says_so_and_logs_why(caplog: pytest.LogCaptureFixture):
    def broken() -> FastAPI:
        raise RuntimeError("an inner matter")

    with TestClient(create_demo({"toy": Room("Toy", "Counts.", broken, "“abc”")})) as client:
        with caplog.at_level("ERROR"):
            closed = client.get("/toy/")
        assert closed.status_code == 503
        assert "X-Request-ID" in closed.headers
        assert "failed to start; see the log" in closed.text
        assert "an inner matter" not in closed.text
        assert "an inner matter" in caplog.text
        assert client.get("/").status_code == 200


def test_every_challenge_with_a_page_has_a_room():
    words = {path.parent.name.removeprefix("radix_") for path in PAGES[:-1]}
    assert set(make_rooms()) == words


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.parent.name)
def test_pages_need_nothing_from_elsewhere_and_write_no_html(path: Path):
    page = path.read_text(encoding="utf-8")
    for word in ("http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "onclick="):
        assert word not in page
    assert 'href="/' not in page  # it may lie beneath another path
    assert 'fetch("/' not in page
