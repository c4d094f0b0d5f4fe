"""Anthropic's messages, inwards: a message becomes a result."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from shared.domain.conversation import OpaquePart, Part, TextPart, ToolCall
from shared.domain.failure import FailureKind
from shared.domain.generation import FinishReason, GenerationResult, Usage
from worker.adapters.anthropic_request import WIRE
from worker.adapters.base import CallError, WireError
from worker.adapters.counts import billable, if_sound, stated

STOP_REASONS: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
    # A long turn with searches was cut; `message_of` the result goes on from there.
    "pause_turn": FinishReason.LENGTH,
}
CONTEXT_EXCEEDED: Final = "model_context_window_exceeded"
UNREADABLE: Final = (LookupError, TypeError, AttributeError, ValueError, OverflowError)


def from_wire(body: Any) -> GenerationResult:
    """The normal form of a message.

    Raises WireError when it is none, and CallError CONTEXT_LENGTH with the usage when the
    model's context window was full before the answer was.
    """
    try:
        usage = usage_from_wire(body.get("usage"))
        if body["stop_reason"] == CONTEXT_EXCEEDED:
            message = "the answer does not fit the model's context window"
            raise CallError(FailureKind.CONTEXT_LENGTH, message, usage=usage)
        return _result(body, usage)
    except UNREADABLE as error:
        message = f"the reply is not a message ({type(error).__name__}: {error})"
        raise WireError(message) from None


def refusal_of(stopped: Any) -> str | None:
    """Why the model would not answer; None when it did. `stopped`: what has the stop reason."""
    if stopped["stop_reason"] != "refusal":
        return None
    details = stopped.get("stop_details") or {}
    return _text_or_none(details.get("explanation")) or f"category: {details.get('category')}"


@if_sound
def usage_from_wire(usage: Any) -> Usage | None:
    """Tokens as billed; None where the server reports none, or what no bill can hold."""
    if not usage:
        return None
    by_age = usage.get("cache_creation") or {}
    of_minutes, of_an_hour = (
        billable(by_age.get(f"ephemeral_{age}_input_tokens")) for age in ("5m", "1h")
    )
    # A stream's last word has the total only, and it may have grown since the first.
    written = max(billable(usage.get("cache_creation_input_tokens")), of_minutes + of_an_hour)
    read = billable(usage.get("cache_read_input_tokens"))
    return Usage(
        input_tokens=stated(usage["input_tokens"]) + read + written,
        cached_tokens=read,
        cache_write_tokens=written - of_an_hour,
        cache_write_1h_tokens=of_an_hour,
        output_tokens=stated(usage["output_tokens"]),
        reasoning_tokens=billable(
            (usage.get("output_tokens_details") or {}).get("thinking_tokens")
        ),
        searches=billable((usage.get("server_tool_use") or {}).get("web_search_requests")),
        service_tier=_text_or_none(usage.get("service_tier")),
    )


def text_of(value: Any) -> str:
    """The value, which must be text. Raises TypeError for any other."""
    if not isinstance(value, str):
        message = f"{value!r:.40} is no text"
        raise TypeError(message)
    return value


def _result(body: Any, usage: Usage | None) -> GenerationResult:
    blocks: list[dict[str, Any]] = [dict(block) for block in body["content"]]
    parts = tuple(_part(block) for block in blocks if block["type"] != "tool_use")
    return GenerationResult(
        content="".join(part.text for part in parts if isinstance(part, TextPart)),
        parts=parts if any(isinstance(part, OpaquePart) for part in parts) else (),
        tool_calls=tuple(_tool_call(block) for block in blocks if block["type"] == "tool_use"),
        refusal=refusal_of(body),
        finish_reason=STOP_REASONS[body["stop_reason"]],
        model=text_of(body["model"]),
        usage=usage,
        citations=tuple(dict.fromkeys(_cited(blocks))),
    )


def _part(block: dict[str, Any]) -> Part:
    """Text, or what only this wire understands: thinking, searches and their results."""
    if block["type"] == "text":
        return TextPart(text=text_of(block["text"]))
    return OpaquePart(wire=WIRE, data=block)


def _tool_call(block: dict[str, Any]) -> ToolCall:
    """A stream gives the arguments as the model wrote them, a whole message as an object."""
    arguments = block["input"]
    written = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(id=text_of(block["id"]), name=text_of(block["name"]), arguments=written)


def _cited(blocks: list[dict[str, Any]]) -> Iterator[str]:
    for block in blocks:
        for citation in block.get("citations") or ():
            if url := citation.get("url"):
                yield text_of(url)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
