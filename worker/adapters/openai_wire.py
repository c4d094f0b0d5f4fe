"""OpenAI's chat dialect as pure functions: to the wire, from the wire, and its errors."""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.domain.failure import FailureKind
from shared.domain.generation import (
    FinishReason,
    GenerationRequest,
    GenerationResult,
    Usage,
)
from worker.adapters.base import WireError
from worker.adapters.refusals import kind_of_status

FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALLS,
}
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
# Compatible servers say it in prose only.
CONTEXT_PROSE: Final = re.compile(r"maximum context length", re.IGNORECASE)


def to_wire(request: GenerationRequest, model: str) -> dict[str, Any]:
    """The body of POST /chat/completions; absent parameters stay absent."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": turn.role, "content": turn.text} for turn in request.messages],
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
    return kind_of_status(status)


def _tokens(count: Any) -> int:
    """A count that can be billed. Raises ValueError for any other."""
    tokens = int(count)
    if not 0 <= tokens <= MAX_TOKENS:
        raise ValueError(f"{tokens} tokens")
    return tokens
