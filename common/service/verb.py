"""What the `serve` verbs of all challenges have alike; light, so that a command line can import it at its top."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from common.cli import print_summary
from common.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from common.service.settings import ServiceSettings

Settings = TypeVar("Settings", bound="ServiceSettings")

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0: all.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: a free one.")]
HOST, PORT = "127.0.0.1", 8000


@contextmanager
def set_up_by(target: str) -> Iterator[None]:
    """Around imports of what an extra installs.

    Raises:
        UserError: something is not installed; `target` of the Makefile sets it up.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: run make {target}, which sets it up") from error


def serve_until_stopped(
    create: Callable[[Settings], FastAPI], kind: type[Settings], what: str, *, host: str, port: int, as_json: bool
) -> None:
    """Read settings from the environment, build the service, serve until Ctrl-C or SIGTERM.

    Args:
        create: builds the application.
        kind: of its settings.
        what: begins the summary line, which goes on with the address once it listens: "Vinted is served".
        host: name or address to listen on.
        port: 0 takes a free one.
        as_json: print the summary line as JSON.

    Raises:
        UserError: an environment variable cannot be meant, or the address cannot be listened on.
    """
    from common.service.server import run_service
    from common.service.settings import read_settings

    settings = read_settings(kind)
    service = create(settings)

    def announce(address: str) -> None:
        print_summary({"address": address}, f"{what} at {address} (Ctrl-C stops it)", as_json)

    run_service(service, settings, host=host, port=port, announce=announce)
