"""Every error a client can see, in one shape: {"error": {"kind", "message", "request_id"}}."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "The request is not well-formed."),
    "unauthorized": (401, "The bearer token is missing or wrong."),
    "not_found": (404, "There is nothing at this path."),
    "method_not_allowed": (405, "This path has no such method."),
    "header_timeout": (408, "The request's headers took too long to arrive."),
    "body_timeout": (408, "The body took too long to arrive."),
    "body_too_large": (413, "The body is larger than the limit."),
    "too_many_items": (413, "The form has more parts than one request may hold."),
    "no_items": (422, "The request holds nothing to answer: its file, form or body is empty."),
    "unknown_field": (422, "The form has a part of another name."),
    "not_a_file": (422, "The form has a part that is no file."),
    "unprocessable": (422, "The question cannot be answered as it is."),
    "client_gone": (499, "The client closed the connection before the answer."),
    "internal": (500, "The service failed; the request id finds the reason in its log."),
    "not_ready": (503, "The model has not answered its warm-up yet."),
    "overloaded": (503, "Too much is waiting; try again after Retry-After seconds."),
    "shutting_down": (503, "The service is stopping; another instance may answer."),
    "deadline": (504, "The answer was not ready in time."),
}
"""Kind -> HTTP status, and what it means."""
RETRY_AFTER_S: Final = 1


class ErrorDetail(BaseModel):
    """What went wrong."""

    kind: str = Field(description="For programs.")
    message: str = Field(description="For people.")
    request_id: str = Field(description="Finds the request in the service's log.")


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


class ServiceError(Exception):
    """Ends a request with an error of one of the `KINDS`; without a message it says what the kind means."""

    def __init__(self, kind: str, message: str | None = None) -> None:
        self.kind = kind
        self.status, meaning = KINDS[kind]
        self.message = message or meaning
        super().__init__(self.message)


class ItemError(Exception):
    """Refuses one item of a request and no other; the message is told to the client."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(message)


def error_body(kind: str, message: str, request_id: str) -> bytes:
    """The JSON of an error."""
    detail = ErrorDetail(kind=kind, message=message, request_id=request_id)
    return ErrorBody(error=detail).model_dump_json().encode()


def error_headers(kind: str) -> dict[str, str]:
    """The headers that belong to a kind of error."""
    if KINDS[kind][0] == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {"WWW-Authenticate": "Bearer"} if kind == "unauthorized" else {}


def install_handlers(app: FastAPI) -> None:
    """Make the application, and the framework beneath it, answer errors in the one shape."""

    def answer(request: Request, error: ServiceError, headers: Mapping[str, str]) -> Response:
        request.state.error_kind = error.kind
        body = error_body(error.kind, error.message, request.state.request_id)
        return Response(body, error.status, dict(headers), "application/json")

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return answer(request, error, error_headers(error.kind))

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "malformed")
        return answer(request, ServiceError(kind), error.headers or {})

    async def invalid(request: Request, _: Exception) -> Response:
        return answer(request, ServiceError("malformed"), {})

    app.add_exception_handler(ServiceError, ours)
    app.add_exception_handler(HTTPException, frameworks)
    app.add_exception_handler(RequestValidationError, invalid)


def document_errors(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of these kinds, for the `responses` of a route."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, meaning = KINDS[kind]
        known = found.setdefault(status, {"model": ErrorBody, "description": "", "content": {"application/json": {}}})
        known["description"] = f"{known['description']} {meaning} (`{kind}`)".strip()
        example = ErrorBody(error=ErrorDetail(kind=kind, message=meaning, request_id="8c1a4e0f2b7d4c55"))
        known["content"]["application/json"].setdefault("examples", {})[kind] = {"value": example.model_dump()}
        names = error_headers(kind)
        if names:
            known["headers"] = {name: {"schema": {"type": "string"}} for name in names}
    return found
