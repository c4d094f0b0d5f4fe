"""OpenAI's wire: its completions, its chunks, its errors and its headers."""

import math
from collections.abc import Iterator
from typing import Any, Final

import orjson

from simulator.answers import Answer
from simulator.http import Response
from simulator.limits import Refusal, SlidingWindow

DONE: Final = b"data: [DONE]\n\n"
WORDS_PER_CHUNK: Final = 4
ERROR_TYPE_OF_LIMIT: Final = {"concurrency": "requests"}
"""OpenAI tells requests and tokens apart; all else is requests."""


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
                "message": {
                    "role": "assistant",
                    "content": answer.text,
                    "refusal": None,
                    "annotations": [],
                },
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
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chunks(body: dict[str, Any], *, with_usage: bool, terminal: bool) -> Iterator[bytes]:
    """The same completion as server-sent events; without `terminal` it just ends."""
    choice = body["choices"][0]
    frame = {name: body[name] for name in ("id", "created", "model", "system_fingerprint")}
    frame |= {"object": "chat.completion.chunk"}
    if with_usage:
        frame |= {"usage": None}
    words = choice["message"]["content"].split(" ")
    yield _chunk(frame, {"role": "assistant", "content": "", "refusal": None}, None)
    for at in range(0, len(words), WORDS_PER_CHUNK):
        lead = " " if at else ""
        yield _chunk(frame, {"content": lead + " ".join(words[at : at + WORDS_PER_CHUNK])}, None)
    if not terminal:
        return
    yield _chunk(frame, {}, choice["finish_reason"])
    if with_usage:
        yield _event({**frame, "choices": [], "usage": body.get("usage")})
    yield DONE


def error(
    status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
) -> Response:
    """OpenAI's error shape."""
    detail = {"message": message, "type": kind, "param": param, "code": code}
    return Response(status=status, body=orjson.dumps({"error": detail}))


def invalid(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> Response:
    """A request that cannot be served as it stands."""
    return error(status, message, kind="invalid_request_error", code=code, param=param)


def refused(refusal: Refusal, model: str) -> Response:
    """A 429 with the wait."""
    message = (
        f"Rate limit reached for {model} on {refusal.what}: Limit {refusal.limit}, "
        f"Used {refusal.used}, Requested {refusal.requested}. "
        f"Please try again in {duration(refusal.retry_after)}."
    )
    kind = ERROR_TYPE_OF_LIMIT.get(refusal.what, refusal.what)
    response = error(429, message, kind=kind, code="rate_limit_exceeded")
    response.headers |= retry_headers(refusal.retry_after)
    return response


def retry_headers(seconds: float) -> dict[str, str]:
    """The wait in seconds and milliseconds, rounded up: who obeys is not refused again."""
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def rate_headers(window: SlidingWindow, now: float) -> dict[str, str]:
    """What is left at `now`, as OpenAI tells it; nothing about a limit that is not set."""
    limits = window.limits
    if not (limits.rpm or limits.tpm):
        return {}
    window.forget(now)
    headers: dict[str, str] = {}
    for what, limit, used in (
        ("requests", limits.rpm, window.requests),
        ("tokens", limits.tpm, window.tokens),
    ):
        if limit:
            headers[f"x-ratelimit-limit-{what}"] = str(limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(max(limit - used, 0))
            headers[f"x-ratelimit-reset-{what}"] = duration(window.until_empty(now))
    return headers


def duration(seconds: float) -> str:
    """Such as 120ms, 1.5s or 6m0s, rounded up to the millisecond."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"


def _chunk(frame: dict[str, Any], delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _event({**frame, "choices": [choice]})


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
