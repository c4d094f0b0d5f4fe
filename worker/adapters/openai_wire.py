"""OpenAI's chat dialect as pure functions: to the wire, from the wire, and its errors."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Final

from shared.domain.failure import FailureKind
from shared.domain.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    Usage,
)

FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}
MAX_RETRY_AFTER: Final = 24 * 3600.0
MAX_TOKENS: Final = 10**9
"""What is above any model's reach is a fault of the server, and its cost fits no column."""

# Type and code are asked before the status: a 429 may mean "slower" or "never again".
KIND_OF_CODE: Final = {
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "slow_down": FailureKind.RATE_LIMITED,
    "insufficient_quota": FailureKind.QUOTA,
    "credit_balance_exhausted": FailureKind.QUOTA,
    "organization_spend_limit_exceeded": FailureKind.QUOTA,
    "project_spend_limit_exceeded": FailureKind.QUOTA,
    "organization_usage_limit_exceeded": FailureKind.QUOTA,
    "invalid_api_key": FailureKind.AUTH,
    "model_not_found": FailureKind.NOT_FOUND,
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "string_above_max_length": FailureKind.TOO_LARGE,
    "content_filter": FailureKind.CONTENT_FILTERED,
    "content_policy_violation": FailureKind.CONTENT_FILTERED,
    "server_is_overloaded": FailureKind.OVERLOADED,
    "overloaded_error": FailureKind.OVERLOADED,
    "server_error": FailureKind.SERVER,
}
KIND_OF_STATUS: Final = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    413: FailureKind.TOO_LARGE,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
}
# Compatible servers say it in prose only.
CONTEXT_PROSE: Final = re.compile(r"maximum context length", re.IGNORECASE)


class WireError(ValueError):
    """A reply with status 200 that is no answer."""


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /chat/completions; absent parameters stay absent."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "stop": list(request.stop) or None,
        "seed": request.seed,
    }
    return {name: value for name, value in body.items() if value is not None}


def from_wire(body: Any) -> GenerationResult:
    """The normal form of a chat completion; WireError when it is none."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        finish_reason = FINISH_REASONS[choice["finish_reason"]]
        content, refusal = message.get("content"), message.get("refusal")
        usage = usage_from_wire(body.get("usage"))
        model = str(body["model"])
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        message = f"the reply is not a chat completion ({type(error).__name__}: {error})"
        raise WireError(message) from None
    if not isinstance(content, str) and not isinstance(refusal, str):
        message = "the reply has neither content nor a refusal"
        raise WireError(message)
    return GenerationResult(
        content=content or "",
        finish_reason=finish_reason,
        model=model,
        usage=usage,
        refusal=refusal,
    )


def usage_from_wire(usage: Any) -> Usage | None:
    """Tokens as billed; None where the server reports none."""
    if not usage:
        return None
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=_tokens(usage["prompt_tokens"]),
        cached_tokens=_tokens(prompt_details.get("cached_tokens") or 0),
        output_tokens=_tokens(usage["completion_tokens"]),
        reasoning_tokens=_tokens(completion_details.get("reasoning_tokens") or 0),
    )


def classify(status: int, error: Any) -> FailureKind:
    """The failure kind of an error reply: its code, then its type, its prose, its status."""
    details = error if isinstance(error, Mapping) else {}
    for name in ("code", "type"):
        if kind := KIND_OF_CODE.get(str(details.get(name))):
            return kind
    if CONTEXT_PROSE.search(str(details.get("message", error))):
        return FailureKind.CONTEXT_LENGTH
    if status >= 500:
        return KIND_OF_STATUS.get(status, FailureKind.SERVER)
    return KIND_OF_STATUS.get(status, FailureKind.BAD_REQUEST)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that the reply asks to wait: as milliseconds, seconds or a date; None if silent."""
    forms: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: _until(headers["retry-after"], now),
    )
    for form in forms:
        with suppress(KeyError, ValueError, OverflowError):
            seconds = form()
            if isfinite(seconds):
                return min(max(seconds, 0.0), MAX_RETRY_AFTER)
    return None


def _until(date: str, now: datetime) -> float:
    at = parsedate_to_datetime(date)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()


def _tokens(count: Any) -> int:
    """A count that can be billed. Raises ValueError for any other."""
    tokens = int(count)
    if not 0 <= tokens <= MAX_TOKENS:
        raise ValueError(f"{tokens} tokens")
    return tokens
