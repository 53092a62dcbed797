"""Forms and bodies, cut in any way: the same items, or the right refusal."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise

import httpx
import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from common.service.errors import ServiceError
from common.service.limits import BodyReader, check_token
from common.service.settings import ServiceSettings

SMALL = ServiceSettings(
    max_body_bytes=4000, max_items=4, max_held_bytes=6000, queue_size=4, body_timeout_s=0.2
)  # fmt: skip


def make_request(headers: dict[str, str], chunks: Sequence[bytes], then: Callable | None = None) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> dict:
        if messages:
            return messages.pop(0)
        if then is not None:
            return await then()
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


def read(request: Request, reader: BodyReader | None = None) -> list[bytes]:
    async def main() -> list[bytes]:
        async with (reader or BodyReader(SMALL, "photos", files=True)).read(request) as items:
            return items

    return asyncio.run(main())


def refusal(request: Request, reader: BodyReader | None = None) -> str:
    with pytest.raises(ServiceError) as refused:
        read(request, reader)
    return refused.value.kind


def encode_form(parts: Sequence[bytes], name: str = "photos") -> tuple[dict[str, str], bytes]:
    """httpx's multipart encoder: not ours, and not the parser's."""
    files = [(name, (f"../../{i}\r\n.jpg", part)) for i, part in enumerate(parts)]
    request = httpx.Request("POST", "http://x/", files=files)
    return dict(request.headers), request.read()


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(body) + 1) for p in places), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


tricky = st.one_of(st.binary(max_size=200), st.text("\r\n-ab", max_size=60).map(str.encode))


@settings(max_examples=200, deadline=None)
@given(st.lists(tricky, min_size=1, max_size=4), st.lists(st.integers(0, 5000), max_size=12))
def test_a_form_is_its_parts_however_it_arrives(parts: list[bytes], places: list[int]):
    headers, body = encode_form(parts)
    assert read(make_request(headers, cut(body, places))) == parts


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=500), st.lists(st.integers(0, 5000), max_size=12))
def test_any_other_body_is_one_item(body: bytes, places: list[int]):
    for kind in ("image/jpeg", "application/x-www-form-urlencoded", "", "nonsense"):
        assert read(make_request({"Content-Type": kind}, cut(body, places))) == [body]


@settings(max_examples=300, deadline=None)
@given(tricky, st.data())
def test_a_damaged_form_is_read_or_refused_but_never_breaks(part: bytes, data: st.DataObject):
    headers, body = encode_form([part, b"second"])
    start = data.draw(st.integers(0, len(body)))
    damage = data.draw(st.binary(max_size=5))
    broken = body[:start] + damage + body[start + data.draw(st.integers(0, 20)) :]
    with suppress(ServiceError):
        items = read(make_request(headers, [broken]))
        assert 1 <= len(items) <= 4


def test_a_form_cut_off_anywhere_is_malformed():
    headers, body = encode_form([b"first", b"second"])
    end = body.rindex(b"--")
    for length in range(1, end):
        assert refusal(make_request(headers, [body[:length]])) == "malformed"


@pytest.mark.parametrize(
    ("headers", "chunks", "kind"),
    [
        ({"Content-Length": "4001"}, [], "body_too_large"),
        ({}, [b"x" * 3000, b"x" * 1001], "body_too_large"),
        ({}, [], "no_items"),
        ({"Content-Type": "multipart/form-data"}, [b"x"], "malformed"),
        ({"Content-Type": "multipart/mixed; boundary=x"}, [b"x"], "malformed"),
        ({"Content-Type": "multipart/form-data; boundary=" + "x" * 300}, [b"x"], "malformed"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, [b"--x--\r\n"], "no_items"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, [], "malformed"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, [b"--x\r\nA: " + b"b" * 9000], "body_too_large"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, [b"--x\r\n" + b"A: b\r\n" * 9], "malformed"),
    ],
)
def test_what_is_refused(headers: dict[str, str], chunks: list[bytes], kind: str):
    assert refusal(make_request(headers, chunks)) == kind


def test_a_body_that_says_it_is_too_large_is_not_received():
    async def never() -> dict:
        raise AssertionError("received")

    assert refusal(make_request({"Content-Length": "4001"}, [], never)) == "body_too_large"


def test_parts_are_counted_while_they_arrive():
    headers, body = encode_form([b"x"] * 5)

    async def never() -> dict:
        raise AssertionError("received more")

    assert refusal(make_request(headers, [body[:-1]], never)) == "too_many_items"


def test_a_part_of_another_name_is_refused():
    headers, body = encode_form([b"x"], name="file")
    assert refusal(make_request(headers, [body])) == "unknown_field"


def test_a_field_is_an_item_only_where_items_are_no_files():
    field = b'--b\r\nContent-Disposition: form-data; name="photos"\r\n\r\ntext\r\n--b--'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert refusal(make_request(headers, [field])) == "not_a_file"
    assert read(make_request(headers, [field]), BodyReader(SMALL, "photos", files=False)) == [b"text"]


def test_a_slow_body_is_cut_and_a_client_that_left_is_noticed():
    async def hang() -> dict:
        await asyncio.Event().wait()
        raise AssertionError

    async def leave() -> dict:
        return {"type": "http.disconnect"}

    assert refusal(make_request({}, [b"x"], hang)) == "body_timeout"
    assert refusal(make_request({}, [b"x"], leave)) == "client_gone"


def test_all_bodies_together_are_bounded_and_given_back():
    reader = BodyReader(SMALL, "photos", files=True)

    async def main() -> None:
        async with reader.read(make_request({}, [b"a" * 4000])) as items:
            assert len(items[0]) == 4000
            with pytest.raises(ServiceError, match="Too much is waiting"):
                async with reader.read(make_request({}, [b"b" * 2001])):
                    pass
            async with reader.read(make_request({}, [b"b" * 2000])):
                pass

    asyncio.run(main())
    for kind in ("body_too_large", "body_too_large"):
        assert refusal(make_request({}, [b"x" * 3999, b"x" * 2]), reader) == kind
    assert read(make_request({}, [b"a" * 4000]), reader) == [b"a" * 4000]


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ("Bearer sésame", True), ("bearer  sésame", True), ("Bearer sésam", False), ("Bearer ", False),
        ("sésame", False), ("Basic sésame", False), ("", False), ("Bearer \xff", False),
    ],
)  # fmt: skip
def test_token(given: str, passes: bool):
    secret = ServiceSettings(token="sésame")
    header = given.encode().decode("latin-1") if passes or "sés" in given else given
    request = make_request({"Authorization": header}, [])
    if passes:
        check_token(request, secret)
    else:
        with pytest.raises(ServiceError, match="token"):
            check_token(request, secret)
    check_token(request, ServiceSettings())
