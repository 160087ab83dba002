"""Errors as RFC 9457 problem details: one format for every error response, with a field list and no stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from infra.errors import DependencyError, UsageError

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    408: "Request took too long to arrive",
    409: "Conflict",
    413: "Request body too large",
    422: "Request not valid",
    500: "Internal error",
    503: "Not available now",
}


class Problem(BaseModel):
    """The body of every 4xx and 5xx response (RFC 9457)."""

    type: str = Field("about:blank", description="kind of problem; about:blank: `status` is the only classification")
    title: str = Field(examples=["Request not valid"])
    status: int = Field(examples=[422])
    detail: str = Field("", examples=["k: Input should be greater than or equal to 1"])
    errors: list[dict[str, str]] = Field(default_factory=list, description="field and message of each invalid value")


class Overloaded(Exception):
    """All workers and queue slots are in use. The request was not started."""


def problem(
    status: int, detail: str = "", *, errors: Sequence[Mapping[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }
    return Response(orjson.dumps(body), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(exc: UsageError | Overloaded | DependencyError) -> Response:
    """The response to a request that is invalid or cannot be served now."""
    if isinstance(exc, UsageError):
        return problem(422, f"{exc}. {exc.hint}" if exc.hint else str(exc))
    return problem(503, str(exc), headers={"Retry-After": "1"})


def bug(path: str, exc: Exception) -> Response:
    """The 500 response to an unexpected exception. Logs the exception."""
    log.error("unhandled error in %s", path, exc_info=exc)
    return problem(500, "This is a bug. The log of the service has the traceback.")


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""

    async def on_http_error(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        return problem(exc.status_code, str(exc.detail), headers=exc.headers)

    async def on_invalid(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        # `input` is omitted: it may be large, or a NaN, which JSON cannot represent
        errors = [{"field": _field(item["loc"]), "message": str(item["msg"])[:200]} for item in exc.errors()[:20]]
        malformed = any(item["type"] == "json_invalid" for item in exc.errors())
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:3])
        return problem(400 if malformed else 422, detail, errors=errors)

    async def on_known(_: Request, exc: Exception) -> Response:
        assert isinstance(exc, UsageError | Overloaded | DependencyError)
        return problem_of(exc)

    async def on_bug(request: Request, exc: Exception) -> Response:
        return bug(request.url.path, exc)

    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    for kind in (UsageError, Overloaded, DependencyError):
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(Exception, on_bug)


def _field(location: Sequence[int | str]) -> str:
    """The path of the invalid field, such as `knobs.creator_cap` or `seen.3`; `body` for the whole body or malformed
    JSON."""
    parts = [str(part)[:60] for part in location if part not in ("body", "query", "path")]
    return "body" if not parts or parts[0].isdigit() else ".".join(parts)
