"""All challenges in one local web app: `make demo`.

Each room is the service that its challenge has, with its page, limits and errors. It is built on the first visit, so
that the front page is there at once. Only this module imports several challenges; of challenges and `common`, nothing
imports it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from common.cli import DATA, create_app, print_summary, run
from common.errors import UserError
from common.options import JsonOption
from common.service.logs import logger
from common.service.verb import HOST, PORT, HostOption, PortOption, set_up_by

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

_STARTED: Final = time.perf_counter()
WEIGHTS: Final = DATA / "weights"
PAGE: Final = Path(__file__).with_suffix(".html")

app = create_app("demo", "All challenges in one local web app.")


@dataclass(frozen=True)
class Room:
    """A challenge in the demo."""

    title: str
    line: str  # on its card
    create: Callable[[], FastAPI]  # raises UserError
    picture: Callable[[], bytes] | str  # a JPEG, or words or a drawing in HTML


def _vinted() -> FastAPI:
    from challenges.vinted.service import VintedSettings, create_vinted_service
    from common.service.settings import read_settings

    return create_vinted_service(WEIGHTS / "vinted", read_settings(VintedSettings))


def _movies() -> FastAPI:
    from challenges.radix_movies.service import create_movies_service
    from common.service.settings import ServiceSettings, read_settings

    return create_movies_service(WEIGHTS / "radix_movies", read_settings(ServiceSettings))


def _neurips(papers: Path | None) -> FastAPI:
    from challenges.radix_neurips.cli import open_searcher
    from challenges.radix_neurips.service import create_neurips_service
    from common.service.settings import ServiceSettings, read_settings

    searcher, _, _ = open_searcher(papers, None, WEIGHTS / "radix_neurips")
    return create_neurips_service(searcher, read_settings(ServiceSettings))


def _smurfs() -> FastAPI:
    from challenges.radix_smurfs.service import SmurfsSettings, create_smurfs_service
    from common.service.settings import read_settings

    weights = WEIGHTS / "radix_smurfs"
    return create_smurfs_service(weights / "segmenter", weights / "classifier", read_settings(SmurfsSettings))


def _energy() -> FastAPI:
    from challenges.radix_energy.service import EnergySettings, create_energy_service
    from common.service.settings import read_settings

    return create_energy_service(read_settings(EnergySettings))


def _avalanche() -> FastAPI:
    from challenges.avalanche.service import AvalancheSettings, create_avalanche_service
    from common.service.settings import read_settings

    return create_avalanche_service(read_settings(AvalancheSettings))


def _photo() -> bytes:
    from challenges.vinted.service import example_photo

    return example_photo()


def _poster() -> bytes:
    import numpy as np

    from challenges.radix_movies.drawing import draw_poster
    from common.data.images import encode_jpeg

    return encode_jpeg(draw_poster(np.random.default_rng(4), ["Horror"], "The Cellar"))


def _gnomes() -> bytes:
    from challenges.radix_smurfs.service import example_image

    return example_image()


_DAY: Final = """<svg viewBox="0 0 240 120" aria-hidden="true" fill="none" stroke-width="3" stroke-linejoin="round">
<path stroke="var(--line)" stroke-width="1" d="M0 108H240"/>
<path stroke="var(--accent)" d="M0 96l20 2 20 1 20-3 15-40 15 28 20 10 30 2 30-6 20-40 20-14 15 30 15 30"/>
<path stroke="#d55e00" d="M0 90l40 4 40-6 20-26 25-8 25 4 30-8 25 6 15 18 20 16"/></svg>"""


def make_rooms(papers: Path | None = None) -> dict[str, Room]:
    """The challenges by their place in the address."""
    return {
        "vinted": Room("Vinted", "A photo of a garment: which category, pattern and colour?", _vinted, _photo),
        "movies": Room("Movies", "A synopsis, a poster, or both: which genres?", _movies, _poster),
        "smurfs": Room("Smurfs", "A picture or a clip: where are the Smurfs, and who are they?", _smurfs, _gnomes),
        "neurips": Room(
            "NeurIPS", "An abstract: which papers are similar, and why?", partial(_neurips, papers),
            "“An agent that acts under uncertainty has to explore. We draw a value function from its posterior …”",
        ),
        "energy": Room("Energy", "Meter readings: which types of households are these?", _energy, _DAY),
        "avalanche": Room(
            "Avalanche", "Open answers of a survey: which themes do they have?", _avalanche,
            "“The offline maps are why I pay, but recording a tour eats my battery.”",
        ),
    }  # fmt: skip


class Entrance:
    """ASGI middleware: /name/... goes to the room of that name, opened on the first visit; all else to the front."""

    def __init__(self, front: ASGIApp, rooms: Mapping[str, Room], closed: dict[str, str]) -> None:
        self._front = front
        self._rooms = rooms
        self._closed = closed  # why a room could not be opened on the last visit
        self._locks = {name: asyncio.Lock() for name in rooms}
        self._open: dict[str, FastAPI] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name, slash, _ = scope.get("path", "/")[1:].partition("/")
        if scope["type"] != "http" or name not in self._rooms or not slash:
            await self._front(scope, receive, send)
            return
        try:
            room = await self._enter(name, scope["app"].state.exits)
        except Exception as error:  # noqa: BLE001 - whatever a room lacks, its place tells, and the others stay open
            if not isinstance(error, UserError):
                logger.exception("a room failed to start", extra={"fields": {"room": name}})
            self._closed[name] = str(error) if isinstance(error, UserError) else "failed to start; see the log"
            await self._front(scope, receive, send)
            return
        room.state.draining = scope["app"].state.draining
        if scope["method"] == "POST":  # its page is there before the model is
            await asyncio.shield(room.state.warming)
        await room({**scope, "root_path": f"{scope.get('root_path', '')}/{name}"}, receive, send)

    async def _enter(self, name: str, exits: AsyncExitStack) -> FastAPI:
        async with self._locks[name]:
            if name not in self._open:
                with set_up_by("demo"):
                    room = await asyncio.to_thread(self._rooms[name].create)
                room.state.below = True
                await exits.enter_async_context(room.router.lifespan_context(room))
                self._open[name] = room
        return self._open[name]


def create_demo(rooms: Mapping[str, Room]) -> FastAPI:
    """The application: a front page, and the rooms behind it."""
    from fastapi import Response
    from fastapi.responses import HTMLResponse

    from common.service.app import bare_app
    from common.service.errors import ServiceError
    from common.service.metrics import Metrics
    from common.service.pages import page_response

    closed: dict[str, str] = {}

    @asynccontextmanager
    async def lifespan(front: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as front.state.exits:
            yield

    front = bare_app(Metrics(), lifespan, title="Demo", version="1", description="All challenges.")
    front.add_middleware(Entrance, rooms=rooms, closed=closed)
    cards = "\n".join(_card(name, room) for name, room in rooms.items())
    page = PAGE.read_text(encoding="utf-8").replace("<!-- rooms -->", cards)

    @front.get("/", include_in_schema=False)
    async def front_page() -> HTMLResponse:
        return page_response(page)

    @front.get("/pictures/{name}", include_in_schema=False)
    def picture(name: str) -> Response:
        draw = rooms[name].picture if name in rooms else ""
        if isinstance(draw, str):
            raise ServiceError("not_found")
        return Response(draw(), media_type="image/jpeg")

    @front.get("/{name}/", include_in_schema=False)
    async def closed_room(name: str) -> HTMLResponse:
        if name not in closed:
            raise ServiceError("not_found")
        title, why = escape(rooms[name].title), escape(closed[name])
        said = f'<title>{title}</title><header><h1>{title}</h1></header><p class="error">{why}</p>'
        return page_response(said, 503, below=True)

    return front


def _card(name: str, room: Room) -> str:
    if not isinstance(room.picture, str):
        shown = f'<img alt="" data-from="pictures/{name}">'
    elif room.picture.startswith("<"):
        shown = room.picture
    else:
        shown = f"<blockquote>{escape(room.picture)}</blockquote>"
    about = f'<div class="about"><h2>{escape(room.title)}</h2><p>{escape(room.line)}</p></div>'
    return f'<a class="card" href="{name}/"><div class="picture">{shown}</div>{about}</a>'


@app.command()
def serve(
    host: HostOption = HOST,
    port: PortOption = PORT,
    papers: Annotated[
        Path | None, typer.Option("--papers", help="Papers that NeurIPS searches. Default: as of neurips-search.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show all challenges in a browser until Ctrl-C. Prints the address once it listens."""
    with set_up_by("demo"):
        from common.service.server import run_service
        from common.service.settings import ServiceSettings, read_settings

    def announce(address: str) -> None:
        seconds = round(time.perf_counter() - _STARTED, 2)
        text = f"All challenges are at {address}, started in {seconds} s (Ctrl-C stops it)"
        print_summary({"address": address, "start_s": seconds}, text, as_json)

    demo = create_demo(make_rooms(papers))
    run_service(demo, read_settings(ServiceSettings), host=host, port=port, announce=announce)


if __name__ == "__main__":
    run(app)
