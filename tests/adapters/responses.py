"""Responses as OpenAI gives them, to be changed by tests."""

from typing import Any

MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Fine.", "annotations": []}],
}
THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAAA",
}
USAGE: dict[str, Any] = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 16,
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "gpt-5.4-mini",
    "output": [MESSAGE],
    "service_tier": None,
    "usage": USAGE,
}


def response(**changes: Any) -> dict[str, Any]:
    """A response that says this instead."""
    return {**RESPONSE, **changes}


def said(text: Any, annotations: Any = ()) -> dict[str, Any]:
    """A message."""
    part = {"type": "output_text", "text": text, "annotations": list(annotations)}
    return {**MESSAGE, "content": [part]}


def calling(number: str) -> dict[str, Any]:
    """A call of a tool."""
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": "f",
        "arguments": '{"a":1}',
        "status": "completed",
    }
