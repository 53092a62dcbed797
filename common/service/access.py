"""What is done around every request: an id, one line of log, the counters, and no exception gets out."""

import asyncio
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.service.errors import KINDS, error_body, error_headers
from common.service.logs import logger
from common.service.metrics import Metrics

_CLIENTS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINGER_S = 2.0  # an answer before the end of the body waits so long for the client to stop sending
_LINGER_BYTES = 64 * 2**20


class Access:
    """ASGI middleware.

    The request's id is the client's X-Request-ID where that is harmless, else a new one; every answer has it.
    An answer given before the body has been read closes the connection, after what is still on its way has
    been thrown away: closing at once would reset the connection before the client reads the answer.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _CLIENTS_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0
        lingers = "expect" not in headers  # a client that expects 100 has sent nothing yet
        unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

        async def receive_watched() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                marked = MutableHeaders(scope=message)
                marked["X-Request-ID"] = request_id
                marked["X-Content-Type-Options"] = "nosniff"
                if unread or scope["app"].state.draining:
                    marked["Connection"] = "close"
            elif unread and not message.get("more_body", False):
                await send({**message, "more_body": True})
                if lingers:
                    await _discard(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        async def send_error(kind: str) -> None:
            state["error_kind"] = kind
            if status:  # the answer has begun
                return
            body = error_body(kind, KINDS[kind][1], request_id)
            fields = {"content-type": "application/json", "content-length": str(len(body)), **error_headers(kind)}
            raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
            await send_marked({"type": "http.response.start", "status": KINDS[kind][0], "headers": raw})
            await send_marked({"type": "http.response.body", "body": body})

        try:
            await self._app(scope, receive_watched, send_marked)
        except asyncio.CancelledError:  # only by the server, when a shutdown takes too long
            await send_error("shutting_down")
        except Exception:  # noqa: BLE001 - the last line of defence
            logger.exception("request failed", extra={"fields": {"request_id": request_id}})
            await send_error("internal")
        finally:
            self._report(scope, status, time.perf_counter() - started)

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        kind = scope["state"].get("error_kind")
        self._metrics.count_request(route, status, seconds)
        if kind:
            self._metrics.count_error(kind)
        fields = {
            "request_id": scope["state"]["request_id"],
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 1),
        }
        logger.info("request", extra={"fields": fields | ({"error": kind} if kind else {})})


async def _discard(receive: Receive) -> None:
    n_bytes = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while n_bytes < _LINGER_BYTES:
                message = await receive()
                n_bytes += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
