"""The application's behaviour with a toy model: text in, so nothing here knows of photos."""

import asyncio
import json
import logging
import threading
from types import ModuleType
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from common.service.logs import JsonFormatter
from common.service.schema import Predictions
from common.service.settings import ServiceSettings

PREDICTIONS = "/v1/predictions"
SMALL = ServiceSettings(max_body_bytes=3000, max_items=4, queue_size=4, n_workers=1, deadline_s=5)


def wait_until_ready(client: TestClient) -> TestClient:
    while client.get("/ready").status_code != 200:
        pass
    return client


@pytest.fixture
def client(toy: ModuleType):
    with TestClient(toy.create(SMALL), raise_server_exceptions=False) as client:
        yield wait_until_ready(client)


def form(*texts: bytes, name: str = "texts") -> list:
    return [(name, ("a.txt", text)) for text in texts]


def test_answers_come_in_order_and_a_bad_item_spoils_no_other(client: TestClient):
    response = client.post(PREDICTIONS, files=form(b"one", b"\xff", b"three", b""))
    assert response.status_code == 200
    body = response.json()
    assert body["model"] == {"name": "Toy", "version": "1"}
    one, bad, three, empty = body["results"]
    assert one == {"answer": {"text": "one", "n_letters": 3}}
    assert three == {"answer": {"text": "three", "n_letters": 5}}
    request_id = response.headers["X-Request-ID"]
    assert bad == {"error": {"kind": "unreadable", "message": "not UTF-8", "request_id": request_id}}
    assert empty["error"]["message"] == "empty text"


def test_a_raw_body_is_one_item(client: TestClient):
    response = client.post(PREDICTIONS, content=b"hello")
    assert response.json()["results"] == [{"answer": {"text": "hello", "n_letters": 5}}]


@pytest.fixture
def questioned(toy: ModuleType):
    with TestClient(toy.create_questioned(SMALL), raise_server_exceptions=False) as client:
        yield wait_until_ready(client)


def test_a_question_is_json_at_a_path_of_its_own(questioned: TestClient):
    answer = questioned.post("/v1/repeat", json={"text": "ab", "times": 3}).json()
    assert answer["results"] == [{"answer": {"text": "ababab", "n_letters": 6}}]
    operation = questioned.get("/openapi.json").json()["paths"]["/v1/repeat"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {"application/json"}
    assert content["application/json"]["schema"]["required"] == ["text"]
    assert operation["responses"]["200"]["content"]["application/json"]["example"]["results"][0]["answer"]
    assert questioned.post(PREDICTIONS, json={"text": "a"}).status_code == 404


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"json": {"text": "a", "times": 99}}, "unprocessable", "times: Input should be less than or equal to 9"),
        ({"json": {}}, "unprocessable", "text: Field required"),
        ({"json": {"text": "a", "<img src=x>": 1}}, "unprocessable", "Extra inputs are not permitted"),
        ({"json": {"text": "a", "k" * 2000: 1}}, "unprocessable", "k" * 60 + ": Extra inputs are not permitted"),
        ({"content": b"{"}, "unprocessable", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        ({"content": b"[" * 2900}, "unprocessable", "Invalid JSON"),
        ({"content": b""}, "no_items", "nothing"),
        ({"files": form(b"{}")}, "malformed", "no forms"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(questioned: TestClient, options: dict, kind: str, told: str):
    response = questioned.post("/v1/repeat", **options)
    error = response.json()["error"]
    assert (response.status_code, error["kind"]) == (400 if kind == "malformed" else 422, kind)
    assert told in error["message"]
    assert "<img" not in error["message"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "kind"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("GET", "/v1/predictions/../../etc/passwd", {}, 404, "not_found"),
        ("DELETE", "/health", {}, 405, "method_not_allowed"),
        ("GET", PREDICTIONS, {}, 405, "method_not_allowed"),
        ("POST", PREDICTIONS, {}, 422, "no_items"),
        ("POST", PREDICTIONS, {"content": b"x" * 3001}, 413, "body_too_large"),
        ("POST", PREDICTIONS, {"content": iter([b"x" * 2000, b"x" * 2000])}, 413, "body_too_large"),
        ("POST", PREDICTIONS, {"files": form(*[b"x"] * 5)}, 413, "too_many_items"),
        ("POST", PREDICTIONS, {"files": form(b"x", name="photos")}, 422, "unknown_field"),
        ("POST", PREDICTIONS, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "malformed"),
        ("POST", PREDICTIONS, {"content": b"bug"}, 500, "internal"),
    ],
)
def test_every_error_has_one_shape(client: TestClient, method: str, path: str, options: dict, status: int, kind: str):
    response = client.request(method, path, **options)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"kind", "message", "request_id"}
    assert error["kind"] == kind
    assert error["request_id"] == response.headers["X-Request-ID"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert ("allow" in response.headers) == (status == 405)


def test_a_bug_is_in_the_log_under_its_request_id(client: TestClient, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "common.service"):
        response = client.post(PREDICTIONS, content=b"bug")
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    failed = next(line for line in lines if line["event"] == "request failed")
    assert failed["request_id"] == response.json()["error"]["request_id"]
    assert "secret detail" in failed["traceback"]


def test_nothing_a_client_sends_breaks_a_log_line(client: TestClient, caplog: pytest.LogCaptureFixture):
    evil = 'x\n{"event": "forged"}\x1b[31m'
    with caplog.at_level(logging.INFO, "common.service"):
        client.get(f"/{quote(evil)}")
        client.post(PREDICTIONS, files=[("texts", (evil, b"x"))], headers={"X-Request-ID": "a b"})
        kept = client.get("/health", headers={"X-Request-ID": "order-66.b"})
    assert kept.headers["X-Request-ID"] == "order-66.b"
    for record in caplog.records:
        line = JsonFormatter().format(record)
        assert json.loads(line)["event"] == "request"
        assert line.isprintable()
        assert "forged" not in line
        assert "a b" not in line


def test_probes_tell_when_the_model_has_answered(toy: ModuleType):
    gate = threading.Event()

    def predict(texts):
        gate.wait(10)
        return toy.predict(texts)

    with TestClient(toy.create(SMALL, predict)) as client:
        assert client.get("/health").status_code == 200
        for response in (client.get("/ready"), client.post(PREDICTIONS, content=b"x")):
            assert response.status_code == 503
            assert response.json()["error"]["kind"] == "not_ready"
            assert int(response.headers["Retry-After"]) >= 1
        gate.set()
        wait_until_ready(client)
        assert client.post(PREDICTIONS, content=b"x").status_code == 200
        client.app.state.draining = True
        assert client.get("/ready").json()["error"]["kind"] == "shutting_down"
        assert client.get("/health").status_code == 200


def test_a_model_that_cannot_answer_never_gets_ready(toy: ModuleType, caplog: pytest.LogCaptureFixture):
    with TestClient(toy.create(SMALL, lambda texts: 1 / 0)) as client:
        while not any("warm-up failed" in record.message for record in caplog.records):
            assert client.get("/ready").status_code == 503


def test_token_guards_what_is_not_a_probe(toy: ModuleType):
    with TestClient(toy.create(SMALL.model_copy(update={"token": ServiceSettings(token="sesame").token}))) as client:
        wait_until_ready(client)
        for path in ("/health", "/ready", "/", "/openapi.json"):
            assert client.get(path).status_code == 200
        for method, path in (("GET", "/v1/model"), ("GET", "/metrics"), ("POST", PREDICTIONS)):
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                refused = client.request(method, path, content=b"x", headers=headers)
                assert refused.status_code == 401
                assert refused.json()["error"]["kind"] == "unauthorized"
                assert refused.headers["WWW-Authenticate"] == "Bearer"
            allowed = client.request(method, path, content=b"x", headers={"Authorization": "Bearer sesame"})
            assert allowed.status_code == 200
        assert client.get("/openapi.json").json()["components"]["securitySchemes"]


def samples(client: TestClient) -> dict:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_metrics_count_what_happened(client: TestClient):
    before = samples(client)
    client.post(PREDICTIONS, files=form(b"one", b"\xff", b"a long long text"))
    client.post(PREDICTIONS, content=b"x" * 3001)
    client.get("/never/heard/of")
    client.request("BREW", "/health")
    after = samples(client)

    def grown(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert grown("service_requests_total", PREDICTIONS, "200") == 1
    assert grown("service_requests_total", PREDICTIONS, "413") == 1
    assert grown("service_requests_total", "none", "404") == 1
    assert grown("service_errors_total", "unreadable") == 1
    assert grown("service_errors_total", "body_too_large") == 1
    assert grown("service_request_seconds_count", PREDICTIONS) == 2
    assert grown("service_batch_size_sum") == 2
    assert grown("service_answers_total", "long") == 1
    assert grown("service_answers_total", "short") == 1
    assert after["service_queue_depth",] == 0


def test_openapi_shows_what_the_model_answered(client: TestClient, toy: ModuleType):
    document = client.get("/openapi.json").json()
    operation = document["paths"][PREDICTIONS]["post"]
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert example["results"][0] == client.post(PREDICTIONS, content=b"warm-up").json()["results"][0]
    assert example["results"][1]["error"]["message"] == "empty text"
    assert Predictions[toy.Count].model_validate(example).model_dump() == example
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data", "text/plain"}
    assert {"400", "408", "413", "422", "500", "503", "504"} <= set(operation["responses"])


def test_page_and_card(client: TestClient):
    page = client.get("/")
    assert "<p>toy</p>" in page.text
    for way in ("http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "onclick="):
        assert way not in page.text  # it needs nothing from elsewhere, and writes no HTML
    assert "All challenges" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert client.get("/v1/example").content == b"warm-up"
    assert client.get("/v1/model").json()["description"] == "Counts letters."


def test_deadline_and_full_queue_and_hang_up(toy: ModuleType):
    """One worker is held; then requests wait, are refused, run out of time or go away, and leave no trace."""
    gate = threading.Event()
    busy = threading.Event()
    seen: list[str] = []

    def predict(texts):
        if "hold" in texts:
            busy.set()
            gate.wait(10)
        seen.extend(texts)
        return toy.predict(texts)

    app = toy.create(SMALL.model_copy(update={"deadline_s": 0.2, "max_batch": 1}), predict)

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as web:
            while (await web.get("/ready")).status_code != 200:
                await asyncio.sleep(0)
            held = asyncio.create_task(web.post(PREDICTIONS, content=b"hold"))
            await asyncio.to_thread(busy.wait, 10)
            late = [asyncio.create_task(web.post(PREDICTIONS, content=b"late")) for _ in range(4)]
            await until_depth(web, 4)
            full = await web.post(PREDICTIONS, content=b"one more")
            assert (full.status_code, full.json()["error"]["kind"]) == (503, "overloaded")
            assert int(full.headers["Retry-After"]) >= 1
            for response in await asyncio.gather(held, *late):
                assert (response.status_code, response.json()["error"]["kind"]) == (504, "deadline")
            await until_depth(web, 0)
            await call_and_leave(app)
            await until_depth(web, 0)
            gate.set()
            assert (await web.post(PREDICTIONS, content=b"next")).status_code == 200

    asyncio.run(main())
    assert seen[-1] == "next"
    assert not {"late", "one more", "left"} & set(seen)


async def until_depth(web: httpx.AsyncClient, depth: int) -> None:
    while f"service_queue_depth {depth}.0" not in (await web.get("/metrics")).text:
        await asyncio.sleep(0)


async def call_and_leave(app) -> None:
    """One request whose client is gone after the body."""
    messages = [{"type": "http.request", "body": b"left", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> dict:
        return messages.pop(0)

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 499

    scope = {
        "type": "http", "method": "POST", "path": PREDICTIONS, "raw_path": PREDICTIONS.encode(), "query_string": b"",
        "headers": [(b"content-length", b"4")], "http_version": "1.1", "scheme": "http", "root_path": "",
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    await app(scope, receive, send)
