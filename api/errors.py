"""Errors to HTTP: the only place that knows statuses."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from shared.db.engine import is_connection_loss
from shared.domain import errors

log = structlog.get_logger(__name__)

STATUS: Final[Mapping[type[errors.PromptmillError], int]] = {
    errors.UnknownModelError: 400,
    errors.BodyTooLargeError: 413,
    errors.InvalidRequestError: 400,
    errors.NoDeploymentError: 409,
    errors.NotAuthenticatedError: 401,
    errors.BudgetExceededError: 402,
    errors.NotPermittedError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.IdempotencyMismatchError: 422,
    errors.AllQueuesFullError: 503,
    errors.LimitReachedError: 429,
    errors.UnavailableError: 503,
}
HEADERS: Final[Mapping[int, dict[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "2"},
}
CODE_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 415: "invalid_request"}


class ErrorDetail(BaseModel):
    """What went wrong and where."""

    code: str
    message: str
    field: str | None = None
    line: int | None = None
    request_id: str = ""


class ErrorBody(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says in OpenAPI about its errors."""
    return {status: {"model": ErrorBody} for status in (*statuses, 401, 403, 429, 503)}


def install(app: FastAPI) -> None:
    """Turn every error of the app into that shape."""
    app.exception_handler(errors.PromptmillError)(_domain)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(SQLAlchemyError)(_database)
    app.exception_handler(Exception)(_unexpected)


def reply(
    request: Request, status: int, detail: ErrorDetail, headers: Mapping[str, str] | None = None
) -> ORJSONResponse:
    """One error as a response."""
    detail.request_id = getattr(request.state, "request_id", "")
    known = {**HEADERS.get(status, {}), **(headers or {})}
    return ORJSONResponse(ErrorBody(error=detail).model_dump(), status_code=status, headers=known)


async def _domain(request: Request, error: errors.PromptmillError) -> ORJSONResponse:
    status = next((s for kind, s in STATUS.items() if isinstance(error, kind)), 500)
    line = getattr(error, "line", None)
    detail = ErrorDetail(code=error.code, message=error.message, field=error.field, line=line)
    wait = getattr(error, "retry_after", None)
    return reply(request, status, detail, {} if wait is None else {"Retry-After": str(wait)})


async def _validation(request: Request, error: RequestValidationError) -> ORJSONResponse:
    """Path and query parameters; bodies are validated in jobs/parse.py."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return reply(
        request,
        400,
        ErrorDetail(code="invalid_request", message=f"{field}: {first['msg']}", field=field),
    )


async def _http(request: Request, error: HTTPException) -> ORJSONResponse:
    code = CODE_OF_STATUS.get(error.status_code, "invalid_request")
    return reply(request, error.status_code, ErrorDetail(code=code, message=str(error.detail)))


async def _database(request: Request, error: Exception) -> ORJSONResponse:
    if is_connection_loss(error):
        log.warning("database_away", error=type(error).__name__)
        # The last COMMIT may have gone through and only its reply been lost.
        message = (
            "the database is away: try again; with the same Idempotency-Key, what may have been "
            "accepted all the same is found and not made twice"
        )
        return reply(request, 503, ErrorDetail(code="unavailable", message=message))
    return await _unexpected(request, error)


async def _unexpected(request: Request, error: Exception) -> ORJSONResponse:
    # What nobody foresaw comes by here after the request's own context is gone.
    request_id = getattr(request.state, "request_id", "")
    log.error("unexpected_error", path=request.url.path, request_id=request_id, exc_info=error)
    message = "an error of ours; the server's log has it under this request id"
    return reply(request, 500, ErrorDetail(code="internal", message=message))
