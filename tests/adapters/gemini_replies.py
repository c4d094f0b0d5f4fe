"""Replies as Gemini words them."""

from typing import Any

REPLY: dict[str, Any] = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "Fine."}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 9,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 16,
    },
    "modelVersion": "gemini-3.8-flash-001",
    "responseId": "resp_1",
}
CALL: dict[str, Any] = {"functionCall": {"name": "get_time", "args": {"city": "Oslo"}}}


def reply(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    """A reply whose candidate has these parts and says this instead."""
    said = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}
    return {**REPLY, "candidates": [{**said, **candidate}]}


def piece(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    """A chunk in the middle of a stream."""
    said = {"content": {"role": "model", "parts": list(parts)}}
    return {"candidates": [{**said, **candidate}], "responseId": "resp_1"}


def error(status: int, googles: str, message: str = "no", *details: dict[str, Any]) -> Any:
    """An error's body."""
    said = {"code": status, "status": googles, "message": message, "details": list(details)}
    return {"error": said}


def quota(*ids: str, **violation: Any) -> dict[str, Any]:
    """The detail that names the limits which were hit."""
    violations = [{"quotaId": each, **violation} for each in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def retry(delay: str) -> dict[str, Any]:
    """The detail that asks to wait."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def reason(word: str) -> dict[str, Any]:
    """The detail that names the reason."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}
