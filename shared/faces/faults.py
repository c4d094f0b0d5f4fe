"""What other APIs say of a failure: one table from our words to statuses, types and codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.failure import FailureKind
from shared.domain.job import GiveUp, JobState

CALLER: Final = "invalid_request_error"
"""OpenAI's type of what the caller has to change."""
SERVER: Final = "server_error"
LIMIT: Final = "rate_limit_error"
QUOTA: Final = "insufficient_quota"
"""OpenAI's type and code of money that is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How one kind of failure is told over HTTP."""

    status: int
    """Of the other APIs' faces."""
    native: int | None = None
    """Of the native routes, where it is another."""
    type: str = SERVER
    """In OpenAI's words."""
    code: str | None = None
    """OpenAI's, where it has one for this; else ours."""
    again: bool = True
    """Whether the same call may succeed soon: without it, SDKs are told not to retry."""


def _ended(status: int, type_: str = SERVER, code: str | None = None, **more: Any) -> Fault:
    """Of a job that has ended: it had all its tries, and the same call would begin anew."""
    return Fault(status=status, type=type_, code=code, again=False, **more)


SPENT: Final = _ended(429, QUOTA, QUOTA, native=402)
NOBODY: Final = _ended(404, CALLER, "model_not_found", native=409)
"""The model is known, but nobody can be asked for it."""
# A provider's own limit is never passed on: 429 is for the caller's.
OF_A_JOB: Final[Mapping[str, Fault]] = {
    FailureKind.RATE_LIMITED: _ended(503),
    FailureKind.SLOW_DOWN: _ended(503),
    FailureKind.QUOTA: _ended(502),
    FailureKind.AUTH: _ended(502),
    FailureKind.NOT_FOUND: _ended(502),
    FailureKind.CONTEXT_LENGTH: _ended(400, CALLER, "context_length_exceeded"),
    FailureKind.TOO_LARGE: _ended(413, CALLER),
    FailureKind.CONTENT_FILTERED: _ended(400, CALLER, "content_filter"),
    FailureKind.OVERLOADED: _ended(503),
    FailureKind.SERVER: _ended(502),
    FailureKind.BAD_REQUEST: _ended(400, CALLER),
    FailureKind.TIMEOUT: _ended(504),
    FailureKind.CONNECTION: _ended(502),
    FailureKind.UNREACHABLE: _ended(502),
    FailureKind.BAD_RESPONSE: _ended(502),
    FailureKind.UNFETCHED: _ended(400, CALLER),
    FailureKind.INVALID_OUTPUT: _ended(502),
    FailureKind.INTERRUPTED: _ended(503),
    FailureKind.INTERNAL: _ended(500),
    GiveUp.MAX_COST: SPENT,
    GiveUp.BUDGET: SPENT,
    GiveUp.NO_DEPLOYMENT: NOBODY,
    GiveUp.EXHAUSTED: _ended(502),
    JobState.CANCELLED: _ended(409, CALLER),
    JobState.EXPIRED: _ended(504),
}
"""By the kind of a job's error, or by the state that it ended in."""
UNKNOWN: Final = _ended(500)

ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Anthropic has one type a status."""


def fault_of(kind: str) -> Fault:
    """How a job is told of that ended without an answer."""
    return OF_A_JOB.get(kind, UNKNOWN)


def openai_error(fault: Fault, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The body of an error in OpenAI's shape; `code`: our own word, where OpenAI has none."""
    told = {"message": message, "type": fault.type, "param": param, "code": fault.code or code}
    return {"error": told}


def anthropic_error(fault: Fault, message: str) -> dict[str, Any]:
    """The body of an error in Anthropic's shape, as in a stream; a reply adds its request id."""
    kind = "billing_error" if fault.type == QUOTA else ANTHROPIC_TYPES.get(fault.status)
    return {"type": "error", "error": {"type": kind or "api_error", "message": message}}
