"""Anthropic's Messages: keys, reading, errors and rate headers."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import orjson

from simulator.call import BadCallError, Call, Problem, Reply
from simulator.gate import Gate
from simulator.http import Request, Response
from simulator.limits import Refusal, SlidingWindow
from simulator.prefixes import FEWEST
from simulator.shelf import Shelf
from simulator.wires.anthropic_blocks import events, message
from simulator.wires.anthropic_body import (
    MessagesBody,
    Segment,
    check_thinking,
    check_turns,
    prompt_tokens,
    said,
    segment_tokens,
    segments,
)
from simulator.wires.wire import (
    Json,
    Wire,
    bearer,
    invalid,
    named_event,
    parsed_plainly,
    tools_to_call,
)

NO_SAMPLING: Final = "2026-10-21"
"""From this version on, sampling parameters are gone."""
SAMPLING: Final = ("temperature", "top_p", "top_k")
TYPE_OF_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
API_ERROR: Final = "api_error"
TOO_STEEP: Final = (
    "This request would exceed your organization's maximum usage increase rate for input tokens "
    "per minute. Please scale up your input tokens usage more gradually to stay within the "
    "acceleration limit."
)
THOUSANDS: Final = 1000
"""What is left of tokens is rounded to them."""


class AnthropicMessages(Wire):
    """POST /v1/messages."""

    request_id_header: ClassVar[str] = "request-id"

    def check_key(self, request: Request, api_key: str | None) -> None:
        """A key is wanted, in either header, and the version."""
        key = request.headers.get("x-api-key") or bearer(request)
        if not key:
            raise BadCallError(Problem(401, "x-api-key header is required"))
        if api_key not in {None, key}:
            raise BadCallError(Problem(401, "invalid x-api-key"))
        if "anthropic-version" not in request.headers:
            raise invalid("anthropic-version: header is required")

    def read(self, request: Request, shelf: Shelf) -> Call:
        """The call."""
        body = _checked(request)
        if body.max_tokens is None:
            raise invalid("max_tokens: Field required")
        _price(body, shelf)
        check_thinking(body)
        parts = segments(body)
        tokens = segment_tokens(parts)
        text = said(body)
        call = Call(
            model=body.model,
            text=text,
            input_tokens=prompt_tokens(body, tokens),
            max_tokens=body.max_tokens,
            charge=0,
            stream=body.stream,
            client_request_id=request.headers.get("x-client-request-id", ""),
            thought=body.thought,
            stop=tuple(body.stop_sequences or ()),
            searches=int(body.searches),
        )
        if body.output_config and body.output_config.format:
            call.schema = body.output_config.format.schema_
        _choose_tools(call, body)
        _remember(call, shelf, parts, tokens)
        # Output counts as it is written, and what was cached counts nothing.
        call.charge = call.input_tokens - call.cached_tokens
        return call

    def document(self, reply: Reply) -> Json:
        """A message."""
        return message(reply)

    def stream(self, reply: Reply) -> tuple[list[bytes], list[bytes]]:
        """The message block by block."""
        return events(reply)

    def error(self, problem: Problem, request_id: str) -> Response:
        """Anthropic's error shape."""
        kind = problem.type or TYPE_OF_STATUS.get(problem.status, API_ERROR)
        detail: Json = {"type": kind, "message": problem.message}
        if problem.code is not None:
            detail["details"] = {"error_code": problem.code}
        body = {"type": "error", "error": detail, "request_id": request_id}
        response = Response(status=problem.status, body=orjson.dumps(body))
        if problem.retry_after is not None:
            response.headers["retry-after"] = str(math.ceil(problem.retry_after))
        return response

    def stream_error(self, problem: Problem, request_id: str) -> bytes:
        """An event of its own name."""
        return named_event("error", orjson.loads(self.error(problem, request_id).body))

    def refused(self, refusal: Refusal, model: str, request_id: str) -> Response:
        """A 429 with the wait."""
        wait = refusal.retry_after
        if refusal.what == "ramp":
            problem = Problem(429, TOO_STEEP, code="ramp_limit_exceeded", retry_after=wait)
            return self.error(problem, request_id)
        what = {"tokens": "input tokens", "output_tokens": "output tokens"}.get(refusal.what)
        words = f"{refusal.limit:,} {what or refusal.what} per minute"
        message = (
            f"This request would exceed your organization's rate limit of {words} (model: {model})."
        )
        return self.error(Problem(429, message, retry_after=wait), request_id)

    def rate_headers(self, gate: Gate, now: float) -> Mapping[str, str]:
        """What is left; nothing about a limit that is not set."""
        limits, headers = gate.limits, dict[str, str]()
        arrivals, output = gate.arrivals, gate.output
        arrivals.forget(now)
        output.forget(now)
        if limits.rpm:
            left = limits.rpm - arrivals.requests
            headers |= _left("requests", limits.rpm, left, _reset(arrivals, now))
        shown = []
        for what, limit, window in (
            ("input-tokens", limits.tpm, arrivals),
            ("output-tokens", limits.output_tpm, output),
        ):
            if limit:
                left = round((limit - window.tokens) / THOUSANDS) * THOUSANDS
                headers |= _left(what, limit, left, _reset(window, now))
                shown.append((left, limit, window))
        if shown:
            left, limit, window = min(shown, key=lambda each: each[0])
            headers |= _left("tokens", limit, left, _reset(window, now))
        return headers


def count_tokens(request: Request, shelf: Shelf) -> Json:
    """POST /v1/messages/count_tokens."""
    body = _checked(request)
    _price(body, shelf)
    return {"input_tokens": prompt_tokens(body, segment_tokens(segments(body)))}


def anthropic_models(_: Request, shelf: Shelf) -> Json:
    """GET /v1/models."""
    names = list(shelf.prices)
    data = [
        {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
        }
        for name in names
    ]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def _checked(request: Request) -> MessagesBody:
    body = parsed_plainly(MessagesBody, request.body)
    if request.headers.get("anthropic-version", "") >= NO_SAMPLING:
        for name in SAMPLING:
            if getattr(body, name) is not None:
                raise invalid(f"{name}: this parameter is not supported")
    check_turns(body)
    return body


def _price(body: MessagesBody, shelf: Shelf) -> None:
    try:
        shelf.price(body.model)
    except BadCallError:
        raise BadCallError(Problem(404, f"model: {body.model}")) from None


def _choose_tools(call: Call, body: MessagesBody) -> None:
    choice = body.tool_choice
    if choice is not None and choice.type == "none":
        return
    if body.messages[-1].of("tool_result"):
        return
    call.tools = tools_to_call(
        body.functions,
        only=choice.name if choice else None,
        parallel=not (choice and choice.disable_parallel_tool_use),
        prompt=call.text,
    )


def _remember(call: Call, shelf: Shelf, parts: list[Segment], tokens: list[int]) -> None:
    """Up to the last breakpoint: what is read from the cache, and what is written to it."""
    last = max((place for place, part in enumerate(parts, 1) if part.ttl), default=0)
    if sum(tokens[:last]) < FEWEST:
        return
    call.prefix = shelf.prefixes.chain(call.model, (part.text for part in parts[:last]))
    read = shelf.prefixes.shared(call.prefix)
    call.cached_tokens = sum(tokens[:read])
    ttl = None
    for part, count in zip(reversed(parts[read:last]), reversed(tokens[read:last]), strict=True):
        ttl = part.ttl or ttl
        if ttl == "1h":
            call.cache_write_1h_tokens += count
        else:
            call.cache_write_tokens += count


def _reset(window: SlidingWindow, now: float) -> str:
    at = datetime.now(UTC) + timedelta(seconds=window.until_empty(now))
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _left(what: str, limit: int, left: int, reset: str) -> dict[str, str]:
    name = f"anthropic-ratelimit-{what}"
    return {
        f"{name}-limit": str(limit),
        f"{name}-remaining": str(max(left, 0)),
        f"{name}-reset": reset,
    }
