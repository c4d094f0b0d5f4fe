"""Answers of the normal form as messages of Anthropic's API."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from shared.domain.ids import renamed
from shared.faces.anthropic_carried import carried
from shared.faces.anthropic_messages import WIRE
from shared.faces.openai_messages import Json

STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}
NOTHING_YET: Final = {"input_tokens": 0, "output_tokens": 0}


def message_of(job_id: str, result: Mapping[str, Any]) -> Json:
    """The message that this result is, the JSON of a GenerationResult."""
    return {
        **begun(job_id, result["model"]),
        "content": blocks_of(result),
        **ending_of(result),
        "usage": usage_of(result.get("usage")),
    }


def begun(job_id: str, model: str) -> Json:
    """A message that says nothing yet."""
    return {
        "id": renamed(job_id, "msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": NOTHING_YET,
    }


def ending_of(result: Mapping[str, Any]) -> Json:
    """Why it stopped."""
    reason = STOP_REASONS[result["finish_reason"]]
    declined = {"type": "refusal", "category": None, "explanation": result.get("refusal")}
    return {
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": declined if reason == "refusal" else None,
    }


def blocks_of(result: Mapping[str, Any]) -> list[Json]:
    """The content: what is said, the calls of tools, and what only goes back."""
    kept = carried(result, native=WIRE)
    calls = [_call(call) for call in result.get("tool_calls", ())]
    return [*_said(result), *calls, *([kept] if kept else ())]


def citations_of(result: Mapping[str, Any]) -> list[Json]:
    """The pages that an answer leant on; where they were cited nobody has kept."""
    return [
        {
            "type": "web_search_result_location",
            "url": url,
            "title": None,
            "cited_text": "",
            "encrypted_index": "",
        }
        for url in result.get("citations", ())
    ]


def usage_of(usage: Mapping[str, Any] | None) -> Json:
    """Tokens in Anthropic's names: its input is what no cache gave or took."""
    known = usage or {}
    read, of_minutes, of_an_hour = (
        known.get(name, 0)
        for name in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    )
    searches = known.get("searches", 0)
    return {
        "input_tokens": max(known.get("input_tokens", 0) - read - of_minutes - of_an_hour, 0),
        "cache_creation_input_tokens": of_minutes + of_an_hour,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": of_minutes,
            "ephemeral_1h_input_tokens": of_an_hour,
        },
        "output_tokens": known.get("output_tokens", 0),
        "output_tokens_details": {"thinking_tokens": known.get("reasoning_tokens", 0)},
        "server_tool_use": (
            {"web_search_requests": searches, "web_fetch_requests": 0} if searches else None
        ),
        "service_tier": "standard",
    }


def _said(result: Mapping[str, Any]) -> Iterator[Json]:
    """Its parts in their order, where Anthropic made them; else its text."""
    parts = result.get("parts", ())
    own = any(part["type"] == "opaque" and part["wire"] == WIRE for part in parts)
    texts = [part["text"] for part in parts if part["type"] == "text"] if own else []
    left = len(texts) or 1
    for part in parts if own else ({"type": "text", "text": result.get("content", "")},):
        if part["type"] == "text":
            left -= 1
            # The last text bears the citations.
            yield from _text(part["text"], [] if left else citations_of(result))
        elif part["type"] == "opaque" and part["wire"] == WIRE:
            yield part["data"]


def _text(text: str, citations: list[Json]) -> Iterator[Json]:
    if text:
        yield {"type": "text", "text": text, "citations": citations or None}


def _call(call: Mapping[str, Any]) -> Json:
    try:
        arguments = orjson.loads(call["arguments"] or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    # A model that was cut off has left half an object; Anthropic's shape takes whole ones only.
    given = arguments if isinstance(arguments, dict) else {}
    return {"type": "tool_use", "id": call["id"], "name": call["name"], "input": given}
