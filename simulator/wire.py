"""OpenAI's wire: its completions, its chunks, its errors and its headers."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from simulator.answers import Answer
from simulator.http import Response
from simulator.limits import Refusal, SlidingWindow

DONE: Final = b"data: [DONE]\n\n"
WORDS_PER_CHUNK: Final = 4


def completion(request_id: str, model: str, created: int, answer: Answer) -> dict[str, Any]:
    """A chat.completion without its usage."""
    return {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": answer.finish_reason,
            }
        ],
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """The tokens as they are billed."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def chunks(body: dict[str, Any], *, with_usage: bool, terminal: bool) -> Iterator[bytes]:
    """The same completion as server-sent events; without `terminal` it just ends."""
    choice = body["choices"][0]
    frame = {name: body[name] for name in ("id", "created", "model", "system_fingerprint")}
    frame |= {"object": "chat.completion.chunk"}
    words = choice["message"]["content"].split(" ")
    yield _chunk(frame, {"role": "assistant", "content": ""}, None)
    for at in range(0, len(words), WORDS_PER_CHUNK):
        lead = " " if at else ""
        yield _chunk(frame, {"content": lead + " ".join(words[at : at + WORDS_PER_CHUNK])}, None)
    if not terminal:
        return
    yield _chunk(frame, {}, choice["finish_reason"])
    if with_usage:
        yield b"data: " + orjson.dumps({**frame, "choices": [], "usage": body["usage"]}) + b"\n\n"
    yield DONE


def error(
    status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
) -> Response:
    """OpenAI's error shape."""
    detail = {"message": message, "type": kind, "param": param, "code": code}
    return Response(status=status, body=orjson.dumps({"error": detail}))


def refused(refusal: Refusal, model: str) -> Response:
    """A 429 with the wait in seconds and milliseconds."""
    message = (
        f"Rate limit reached for {model} on {refusal.what}: Limit {refusal.limit}, "
        f"Used {refusal.used}, Requested {refusal.requested}. "
        f"Please try again in {refusal.retry_after:.3f}s."
    )
    response = error(429, message, kind=refusal.what, code="rate_limit_exceeded")
    response.headers["retry-after"] = str(max(round(refusal.retry_after), 1))
    response.headers["retry-after-ms"] = str(round(refusal.retry_after * 1000))
    return response


def rate_headers(window: SlidingWindow) -> dict[str, str]:
    """What is left, as OpenAI tells it."""
    limits = window.limits
    rows = (
        ("requests", limits.requests, window.requests),
        ("tokens", limits.tokens, window.tokens),
    )
    headers: dict[str, str] = {}
    for what, limit, used in rows:
        if limit:
            headers[f"x-ratelimit-limit-{what}"] = str(limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(limit - used)
            headers[f"x-ratelimit-reset-{what}"] = f"{limits.window:g}s"
    return headers


def _chunk(frame: dict[str, Any], delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return b"data: " + orjson.dumps({**frame, "choices": [choice]}) + b"\n\n"
