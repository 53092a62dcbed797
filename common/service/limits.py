"""Bodies from untrusted clients: read within limits of size, number and time, into memory and nowhere else."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from common.service.errors import ServiceError
from common.service.settings import ServiceSettings

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a malformed form is answered, not logged


class BodyReader:
    """Reads the items of requests, and knows how many bytes all requests hold at the moment.

    Args:
        settings: the limits.
        field: the name a form's parts must have; None: no forms are taken.
        files: whether they must also be files, with a file name.
    """

    def __init__(self, settings: ServiceSettings, field: str | None, *, files: bool) -> None:
        self._settings = settings
        self._field = field
        self._files = files
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[bytes]]:
        """Yield the items of a request: the parts of a form, or the whole body of any other type.

        Raises:
            ServiceError: kinds body_too_large, too_many_items, body_timeout, malformed, unknown_field, not_a_file,
                no_items, overloaded (all requests together hold too much) and client_gone.
        """
        body = _body(request.headers.get("content-type", ""), self._field, self._settings.max_items, self._files)
        held = 0
        try:
            try:
                async with asyncio.timeout(self._settings.body_timeout_s):
                    async for chunk in _stream(request, self._settings.max_body_bytes):
                        if self._held + len(chunk) > self._settings.max_held_bytes:
                            raise ServiceError("overloaded")
                        held += len(chunk)
                        self._held += len(chunk)
                        body.write(chunk)
            except TimeoutError as error:
                raise ServiceError("body_timeout") from error
            items = body.finish()
            if not items:
                raise ServiceError("no_items")
            yield items
        finally:
            self._held -= held


async def _stream(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives; a body that says it is too large is refused before it does."""
    too_large = ServiceError("body_too_large", f"The body is larger than the limit of {limit} bytes.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ServiceError("client_gone")
        more = message.get("more_body", False)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large
        yield chunk


class _Whole:
    """A body that is one item."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> list[bytes]:
        whole = b"".join(self._chunks)
        self._chunks.clear()
        return [whole] if whole else []


class _Form:
    """The parts of a multipart body, collected as it arrives."""

    def __init__(self, boundary: bytes, field: str, max_items: int, files: bool) -> None:
        self._field = field
        self._files = files
        self._max_items = max_items
        self._items: list[bytearray] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._ended = False
        callbacks = {
            name: getattr(self, f"_{name}")
            for name in (
                "on_part_begin", "on_part_data", "on_header_field", "on_header_value", "on_header_end",
                "on_headers_finished", "on_end",
            )
        }  # fmt: skip
        # Number and size of a part's headers are bounded by the parser: 8 of 4 kB.
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise ServiceError("malformed", "The body is not a well-formed multipart/form-data.") from error

    def finish(self) -> list[bytes]:
        if not self._ended:
            raise ServiceError("malformed", "The multipart body ends before its last boundary.")
        items = [bytes(item) for item in self._items]
        self._items.clear()
        return items

    def _on_part_begin(self) -> None:
        if len(self._items) == self._max_items:
            raise ServiceError("too_many_items", f"The form has more than {self._max_items} parts.")
        self._items.append(bytearray())
        self._headers.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") != self._field.encode():
            raise ServiceError("unknown_field", f"Every part of the form must have the name {self._field!r}.")
        if self._files and b"filename" not in options:
            raise ServiceError("not_a_file", "Every part of the form must be a file, with a file name.")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._items[-1] += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def _body(content_type: str, field: str | None, max_items: int, files: bool) -> _Form | _Whole:
    kind, options = parse_options_header(content_type)
    if not kind.startswith(b"multipart/"):
        return _Whole()
    if field is None:
        raise ServiceError("malformed", "This service takes no forms; its description at /openapi.json tells what.")
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise ServiceError("malformed", "A multipart body must be multipart/form-data, with a boundary.")
    try:
        return _Form(boundary, field, max_items, files)
    except FormParserError as error:
        raise ServiceError("malformed", "The boundary of the multipart body is too long.") from error


def check_token(request: Request, settings: ServiceSettings) -> None:
    """Compare the bearer token in constant time.

    Raises:
        ServiceError: kind unauthorized.
    """
    if settings.token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # As bytes: a header's are decoded as Latin-1, and compare_digest takes no text beyond ASCII.
    matches = hmac.compare_digest(given.strip().encode("latin-1"), settings.token.get_secret_value().encode())
    if scheme.lower() != "bearer" or not matches:
        raise ServiceError("unauthorized")
