"""Errors to HTTP: the only place that knows statuses."""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import ORJSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from api.admission.creates import REFUSED
from api.error_shapes import BODIES, SHAPES, Dialect, Told, dialect_of
from api.jobs.schemas import status_url_of
from shared.db.engine import is_connection_loss, is_crowded
from shared.domain import errors
from shared.faces.faults import CALLER, LIMIT, NOBODY, SPENT, Fault, fault_of

log = structlog.get_logger(__name__)

INTERNAL: Final = Fault(status=500)
AWAY: Final = Fault(status=503)
FAULTS: Final[Mapping[type, Fault]] = {
    errors.UnknownModelError: Fault(status=404, native=400, type=CALLER, code="model_not_found"),
    errors.ContextLengthError: Fault(status=400, type=CALLER, code="context_length_exceeded"),
    errors.BodyTooLargeError: Fault(status=413, type=CALLER),
    errors.InvalidRequestError: Fault(status=400, type=CALLER),
    errors.NoDeploymentError: NOBODY,
    errors.NotAuthenticatedError: Fault(status=401, type=CALLER, code="invalid_api_key"),
    errors.BudgetExceededError: SPENT,
    errors.NotPermittedError: Fault(status=403, type=CALLER),
    errors.NotFoundError: Fault(status=404, type=CALLER),
    errors.ConflictError: Fault(status=409, type=CALLER, again=False),
    errors.IdempotencyMismatchError: Fault(status=409, native=422, type=CALLER, again=False),
    errors.AllQueuesFullError: AWAY,
    errors.RateLimitedError: Fault(status=429, type="requests", code="rate_limit_exceeded"),
    errors.LimitReachedError: Fault(status=429, type=LIMIT),
    errors.CutShortError: AWAY,
    errors.NotYetError: Fault(status=504, again=False),
    errors.UnavailableError: AWAY,
}
"""By the nearest class that an error is of."""
HEADERS: Final[Mapping[int, dict[str, str]]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": "2"},
}
NO_CONNECTION: Final[Mapping[bool, tuple[str, str]]] = {
    True: ("crowded", "more requests come than this server can take at one time"),
    False: ("database_away", "the database is away"),
}
"""By whether only none was free: what the log and the caller are told."""
CODE_OF_STATUS: Final = {404: "not_found", 405: "method_not_allowed", 415: "invalid_request"}
NOTHING_MADE: Final = (errors.RateLimitedError, errors.QueueFullError)
"""Whoever reads one of these has made nothing, and may come again."""
ALWAYS: Final = (401, 403, 429, 500, 503)
WAITING: Final = (400, 404, 409, 413, 502, 504)
"""What a form that waits for its answer may say beside those."""


def error_responses(
    *statuses: int, dialect: Dialect = Dialect.NATIVE
) -> dict[int | str, dict[str, Any]]:
    """What a route says in OpenAPI about its errors."""
    return {status: {"model": BODIES[dialect]} for status in (*statuses, *ALWAYS)}


def install(app: FastAPI) -> None:
    """Turn every error of the app into the shape of its face."""
    app.exception_handler(errors.PromptmillError)(_domain)
    app.exception_handler(RequestValidationError)(_validation)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(SQLAlchemyError)(_database)
    app.exception_handler(Exception)(_unexpected)


def told_of(error: errors.PromptmillError) -> Told:
    """What is told of this error, in whatever shape."""
    line, retry_after = getattr(error, "line", None), getattr(error, "retry_after", None)
    fault, code, status_url = _fault_of(error), error.code, None
    if isinstance(error, errors.GenerationFailedError):
        fault, code = fault_of(error.kind), error.kind
        status_url = status_url_of(error.job_id)
    elif isinstance(error, errors.NotYetError):
        status_url = error.status_url
    return Told(
        fault=fault,
        code=code,
        message=error.message,
        field=error.field,
        line=line,
        status_url=status_url,
        retry_after=retry_after,
    )


def _fault_of(error: errors.PromptmillError) -> Fault:
    return next((FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS), INTERNAL)


def reply(request: Request, told: Told) -> ORJSONResponse:
    """One error as a response, in the shape of the request's face."""
    dialect, fault = dialect_of(request.scope), told.fault
    native = dialect is Dialect.NATIVE
    status = fault.native if native and fault.native else fault.status
    headers = dict(HEADERS.get(status, {})) if fault.again else {}
    if told.retry_after is not None:
        headers["Retry-After"] = str(told.retry_after)
    if told.status_url is not None:
        headers["Location"] = told.status_url
    if not fault.again:
        headers["x-should-retry"] = "false"
    body = SHAPES[dialect](told, getattr(request.state, "request_id", ""))
    return ORJSONResponse(body, status_code=status, headers=headers)


async def _domain(request: Request, error: errors.PromptmillError) -> ORJSONResponse:
    if isinstance(error, NOTHING_MADE):
        setattr(request.state, REFUSED, True)
    return reply(request, told_of(error))


async def _validation(request: Request, error: RequestValidationError) -> ORJSONResponse:
    """Path and query parameters; bodies are validated in jobs/parse.py."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    message = f"{field}: {first['msg']}"
    fault = FAULTS[errors.InvalidRequestError]
    return reply(request, Told(fault=fault, code="invalid_request", message=message, field=field))


async def _http(request: Request, error: HTTPException) -> ORJSONResponse:
    code = CODE_OF_STATUS.get(error.status_code, "invalid_request")
    fault = Fault(status=error.status_code, type=CALLER)
    return reply(request, Told(fault=fault, code=code, message=str(error.detail)))


async def _database(request: Request, error: Exception) -> ORJSONResponse:
    if not is_connection_loss(error):
        return await _unexpected(request, error)
    event, why = NO_CONNECTION[is_crowded(error)]
    log.warning(event, error=type(error).__name__)
    # The last COMMIT may have gone through and only its reply been lost.
    message = (
        f"{why}: try again; with the same Idempotency-Key, what may have been accepted all the "
        "same is found and not made twice"
    )
    return reply(request, Told(fault=AWAY, code="unavailable", message=message))


async def _unexpected(request: Request, error: Exception) -> ORJSONResponse:
    # What nobody foresaw comes by here after the request's own context is gone.
    request_id = getattr(request.state, "request_id", "")
    log.error("unexpected_error", path=request.url.path, request_id=request_id, exc_info=error)
    message = "an error of ours; the server's log has it under this request id"
    return reply(request, Told(fault=INTERNAL, code="internal", message=message))
