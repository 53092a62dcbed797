"""A model in, a service out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Receive

from common.service.access import Access
from common.service.batching import Batcher
from common.service.errors import (
    ErrorDetail,
    ItemError,
    ServiceError,
    document_errors,
    install_handlers,
)
from common.service.limits import BodyReader, check_token
from common.service.logs import logger
from common.service.metrics import Metrics
from common.service.pages import page_response
from common.service.schema import (
    Answer,
    Answered,
    Item,
    ModelCard,
    ModelVersion,
    Predictions,
    Refused,
    ServedModel,
    Status,
)
from common.service.settings import ServiceSettings

Result = TypeVar("Result")


def create_service(model: ServedModel[Item, Answer], settings: ServiceSettings, *, page: str | None = None) -> FastAPI:
    """The application: predictions, health, metrics, model card, OpenAPI document and a page.

    It is ready once the model has answered the example, which starts with the application.

    Args:
        model: what is served.
        settings: limits and token.
        page: of `/`; what `page_response` takes.
    """
    metrics = Metrics()
    batcher = Batcher(
        model.decode,
        model.predict,
        max_batch=settings.max_batch,
        queue_size=settings.queue_size,
        n_workers=settings.n_workers,
        on_batch=metrics.count_batch,
    )
    metrics.watch_queue(lambda: batcher.depth)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        app.state.warming = warming = asyncio.create_task(_warm_up(app, batcher, model))
        yield
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await batcher.stop()

    card = model.card
    app = bare_app(metrics, lifespan, title=card.name, version=card.version, description=card.description)
    app.state.example = None  # Predictions of the example, once there are some
    app.state.below = False  # set by what leads here from a front page
    app.include_router(_protected(app, model, settings, batcher, metrics))  # first: what is asked most
    _add_probes(app)
    if page is not None:
        _add_page(app, page, model)
    plain_openapi = app.openapi
    app.openapi = lambda: _with_example(plain_openapi(), model.path, app.state.example)  # type: ignore[method-assign]
    return app


def bare_app(
    metrics: Metrics, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]], **about: str
) -> FastAPI:
    """An application that has no routes yet, but answers in the house's manner: request ids, log, counters, errors.

    Args:
        metrics: what requests are counted in.
        lifespan: what is done at its start and end.
        about: title, version and description.
    """
    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,  # these two load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        **about,  # type: ignore[arg-type]
    )
    app.state.metrics = metrics
    app.state.draining = False  # set by the server when it is told to stop
    app.add_middleware(Access, metrics=metrics)
    install_handlers(app)
    return app


async def _warm_up(app: FastAPI, batcher: Batcher[Item, Answer], model: ServedModel[Item, Answer]) -> None:
    """Answer the example and, of several items, refuse an empty one: the OpenAPI document shows it."""
    try:
        outcomes = await batcher.answer([model.example, b""] if model.field else [model.example])
        if isinstance(outcomes[0], ItemError):
            raise outcomes[0]
    except Exception:  # noqa: BLE001 - whatever it is, /ready tells
        logger.exception("the warm-up failed; the service will not be ready")
    else:
        app.state.example = _predictions(model.card, outcomes, "8c1a4e0f2b7d4c55")


def _predictions(card: ModelCard, outcomes: Sequence[Answer | ItemError], request_id: str) -> Predictions[Answer]:
    results: list[Answered[Answer] | Refused] = []
    for outcome in outcomes:
        if isinstance(outcome, ItemError):
            detail = ErrorDetail(kind=outcome.kind, message=outcome.message, request_id=request_id)
            results.append(Refused(error=detail))
        else:
            results.append(Answered(answer=outcome))
    return Predictions(model=ModelVersion(name=card.name, version=card.version), results=results)


def _add_probes(app: FastAPI) -> None:
    """What is open to everyone, whatever the token."""

    @app.get("/health", summary="The process answers.", tags=["probes"])
    async def health() -> Status:
        return Status(status="ok")

    @app.get(
        "/ready", summary="The model answers.", tags=["probes"], responses=document_errors("not_ready", "shutting_down")
    )
    async def ready() -> Status:
        _check_ready(app)
        return Status(status="ready")


def _add_page(app: FastAPI, page: str, model: ServedModel[Item, Answer]) -> None:
    @app.get("/", summary="A page to try it on.", tags=["page"], response_class=HTMLResponse)
    async def page_of_service() -> HTMLResponse:
        return page_response(page, below=app.state.below)

    @app.get("/v1/example", include_in_schema=False)
    async def example() -> Response:
        return Response(model.example, media_type="application/octet-stream")


def _check_ready(app: FastAPI) -> None:
    if app.state.draining:
        raise ServiceError("shutting_down")
    if app.state.example is None:
        raise ServiceError("not_ready")


def _protected(
    app: FastAPI,
    model: ServedModel[Item, Answer],
    settings: ServiceSettings,
    batcher: Batcher[Item, Answer],
    metrics: Metrics,
) -> APIRouter:
    """What asks for the token, where there is one."""

    async def authorize(request: Request) -> None:
        check_token(request, settings)

    refusals = document_errors("unauthorized") if settings.token else {}
    # HTTPBearer only tells the OpenAPI document; `authorize` checks.
    checks = [Depends(authorize), Depends(HTTPBearer(auto_error=False))] if settings.token else []
    router = APIRouter(dependencies=checks, responses=refusals)
    reader = BodyReader(settings, model.field, files=model.files)
    shape = Predictions[model.answer]  # type: ignore[name-defined]

    @router.post(
        model.path,
        summary=f"Answers 1 to {settings.max_items} {model.field}." if model.field else "Answers one question.",
        tags=["model"],
        response_model=shape,
        responses=document_errors(
            "malformed", "body_timeout", "body_too_large", "no_items", *(["unprocessable"] if model.question else []),
            *(["too_many_items", "unknown_field", "not_a_file"] if model.field else []),
            "internal", "overloaded", "not_ready", "shutting_down", "deadline",
        ),
        openapi_extra={"requestBody": _document_body(model, settings)},
    )  # fmt: skip
    async def predict(request: Request) -> Response:
        if app.state.example is None:
            raise ServiceError("not_ready")
        async with reader.read(request) as items:
            outcomes = await in_time(batcher.answer(items), request.receive, settings.deadline_s)
        for outcome in outcomes:
            if isinstance(outcome, ItemError):
                metrics.count_error(outcome.kind)
            else:
                for label in model.labels(outcome):
                    metrics.count_answer(label)
        predictions = _predictions(model.card, outcomes, request.state.request_id)
        return Response(predictions.model_dump_json(), media_type="application/json")

    @router.get("/v1/model", summary="The model card.", tags=["model"])
    async def model_card() -> ModelCard:
        return model.card

    @router.get(
        "/metrics",
        summary="Counters for Prometheus.",
        tags=["probes"],
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text format"}
        },
    )
    async def scrape() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


async def in_time(work: Coroutine[Any, Any, Result], receive: Receive, deadline_s: float) -> Result:
    """Await `work`, unless the deadline passes or the client goes away; then it is cancelled.

    Raises:
        ServiceError: kinds deadline and client_gone.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ServiceError("client_gone" if watching.done() else "deadline")
    finally:
        working.cancel()
        watching.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _document_body(model: ServedModel[Item, Answer], settings: ServiceSettings) -> dict[str, Any]:
    item = {"type": "string"} | ({"format": "binary"} if model.files else {})
    content: dict[str, Any] = {kind: {"schema": {**item, "minLength": 1}} for kind in model.media_types}
    if model.field:
        items = {"type": "array", "items": item, "minItems": 1, "maxItems": settings.max_items}
        form = {"type": "object", "required": [model.field], "additionalProperties": False}
        content = {"multipart/form-data": {"schema": form | {"properties": {model.field: items}}}} | content
    if model.question:
        content["application/json"] = {"schema": model.question.model_json_schema()}
    return {"required": True, "content": content}


def _with_example(document: dict[str, Any], path: str, example: Predictions[Answer] | None) -> dict[str, Any]:
    """Show what the model itself has answered."""
    if example is not None:
        content = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
        content["example"] = example.model_dump(mode="json")
    return document
