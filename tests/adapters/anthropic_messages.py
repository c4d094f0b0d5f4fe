"""Replies of Anthropic's API as it documents them."""

import json
from typing import Any

USAGE: dict[str, Any] = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 35},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    "service_tier": "standard",
    "inference_geo": "us",
}
THINKING = {"type": "thinking", "thinking": "Tea, then.", "signature": "c2lnbmF0dXJl"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5-20260801",
    "content": [{"type": "text", "text": "Fine."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {"input_tokens": 9, "output_tokens": 7},
}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        **MESSAGE,
        "content": [],
        "stop_reason": None,
        "usage": {**USAGE, "output_tokens": 1, "output_tokens_details": None},
    },
}
STOP = {"type": "message_stop"}


def error(kind: str, message: str = "no", code: str | None = None) -> dict[str, Any]:
    """The body of an error reply, which is an event of a stream, too."""
    said: dict[str, Any] = {"type": kind, "message": message}
    if code:
        said["details"] = {"error_code": code}
    return {"type": "error", "error": said, "request_id": "req_body"}


def opens(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, **delta: Any) -> dict[str, Any]:
    """A piece of a block; the field tells its kind."""
    kinds = {"partial_json": "input_json_delta", "citation": "citations_delta"}
    [field] = delta
    kind = kinds.get(field, f"{field}_delta")
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def closes(stop_reason: str, **usage: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": 50, "input_tokens": None, **usage},
    }


TALK: list[dict[str, Any]] = [
    START,
    opens(0, {"type": "text", "text": ""}),
    {"type": "ping"},
    grows(0, text="Fi"),
    grows(0, text="ne."),
    {"type": "content_block_stop", "index": 0},
    closes("end_turn"),
    STOP,
]


def streamed(*events: dict[str, Any]) -> bytes:
    """Events as they stand on the wire."""
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )
