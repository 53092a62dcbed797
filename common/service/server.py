"""Run an application on uvicorn: guarded connections, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from common.errors import UserError
from common.service.errors import KINDS, error_body, error_headers
from common.service.logs import log_to_stderr, logger
from common.service.scratch import remove_scratch
from common.service.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_DRAIN_S = 0.3  # idle connections stay open so long after SIGTERM: a request may be on its way on one
_LAST_RESORT_S = 1.5  # after the shutdown's own time


def run_service(
    app: FastAPI, settings: ServiceSettings, *, host: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; returns after SIGTERM, when everything taken has been answered.

    It is the last that a process does: soon after, the process ends even if a thread is stuck in a decoder.

    Args:
        app: from `create_service`.
        settings: the same as the application's.
        host: name or address to listen on.
        port: 0 takes a free one.
        announce: told the address, e.g. "http://127.0.0.1:8000", once connections are accepted.

    Raises:
        UserError: the address cannot be listened on.
    """
    listening = listen(host, port)
    config = uvicorn.Config(
        app,
        http=_guarded(settings, app.state.metrics.count_error),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    name, number = listening.getsockname()[:2]
    address = f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}"
    server = _Server(config, lambda: announce(address), lambda: setattr(app.state, "draining", True))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn puts its own handler in place of this one and, once done, raises the signal again: exit code 0.
    signal.signal(signal.SIGTERM, stop)
    with log_to_stderr():
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Raises:
        UserError: it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as error:  # a name with an empty or overlong part cannot be asked for
        what = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise UserError(f"cannot listen on {host} port {port}: {what}; give another --host or --port") from error
    return listening


class _Server(uvicorn.Server):
    """Announces its address, and on the way out lets requests that are on their way arrive."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None], on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_drain = on_drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        limit = _DRAIN_S + (self.config.timeout_graceful_shutdown or 0) + _LAST_RESORT_S
        # A thread stuck in a decoder must not keep the process.
        last_resort = threading.Timer(limit, _give_up)
        last_resort.daemon = True
        last_resort.start()
        self._on_drain()
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN_S)
        await super().shutdown(sockets)


def _give_up() -> None:
    remove_scratch()
    os._exit(0)


def _guarded(settings: ServiceSettings, on_refused: Callable[[str], None]) -> type[H11Protocol]:
    """A connection of uvicorn with what it lacks: a deadline for headers, a limit of connections, our errors."""

    class Guarded(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > settings.max_connections:
                self._refuse("overloaded")
            else:
                self._watch_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._deadline is not None:
                self._deadline.cancel()

        def _watch_headers(self) -> None:
            """The clock runs from the first byte of a request, or the start, until its headers are complete."""
            waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
            idle = self.timeout_keep_alive_task is not None  # between two requests
            if not waiting or idle:
                if self._deadline is not None:
                    self._deadline.cancel()
                    self._deadline = None
            elif self._deadline is None:
                self._deadline = self.loop.call_later(settings.header_timeout_s, self._refuse, "header_timeout")

        def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's name for it
            self._refuse("malformed")

        def _refuse(self, kind: str) -> None:
            """Answer without a request, and close."""
            if self.transport.is_closing():
                return
            request_id = uuid.uuid4().hex
            logger.info("connection refused", extra={"fields": {"request_id": request_id, "error": kind}})
            on_refused(kind)
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # no answer has begun
                status, meaning = KINDS[kind]
                body = error_body(kind, meaning, request_id)
                headers = {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                    "X-Request-ID": request_id,
                    **error_headers(kind),
                }
                answer = h11.Response(
                    status_code=status, headers=list(headers.items()), reason=HTTPStatus(status).phrase
                )
                for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Guarded
