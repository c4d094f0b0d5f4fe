"""How OpenAI and those who copy it check keys, refuse and tell what is left."""

import math
from collections.abc import Mapping
from typing import Final

import orjson

from simulator.call import BadCallError, Problem
from simulator.gate import Gate
from simulator.http import Request, Response
from simulator.limits import Refusal
from simulator.wires.wire import Wire, bearer

SERVER_ERROR: Final = ("server_error", None)
INVALID: Final = "invalid_request_error"
ERROR_OF_STATUS: Final = {
    400: (INVALID, None),
    401: (INVALID, "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: (INVALID, None),
    404: (INVALID, "model_not_found"),
    413: (INVALID, None),
    422: (INVALID, None),
    429: ("requests", "rate_limit_exceeded"),
}
"""The type and code of a script's error that gives neither."""
ERROR_TYPE_OF_LIMIT: Final = {"tokens": "tokens"}
"""OpenAI tells requests and tokens apart; all else is requests."""
WORDS_OF_LIMIT: Final = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "requests_per_second": "requests per second (RPS)",
    "requests_per_day": "requests per day (RPD)",
}
SLOW_DOWN: Final = (
    "Slow down: your use has grown faster than the service can follow. Go back to your earlier "
    "rate, keep it for at least 15 minutes and then grow step by step."
)


class OpenAIErrors(Wire):
    """Keys, errors and rate headers as OpenAI has them."""

    def check_key(self, request: Request, api_key: str | None) -> None:
        """A bearer key is wanted."""
        key = bearer(request)
        if not key:
            message = "You didn't provide an API key. Send it as `Authorization: Bearer KEY`."
            raise BadCallError(Problem(401, message, type=INVALID))
        if api_key not in {None, key}:
            message = "Incorrect API key provided."
            raise BadCallError(Problem(401, message, INVALID, "invalid_api_key"))

    def error(self, problem: Problem, request_id: str) -> Response:  # noqa: ARG002 - a header tells it
        """OpenAI's error shape."""
        kind, code = problem.type, problem.code
        if kind is None:
            given = ERROR_OF_STATUS.get(problem.status, SERVER_ERROR)
            kind = given[0]
            code = code or given[1]
        detail = {"message": problem.message, "type": kind, "param": problem.param, "code": code}
        response = Response(status=problem.status, body=orjson.dumps({"error": detail}))
        if problem.retry_after is not None:
            response.headers |= retry_headers(problem.retry_after)
        return response

    def refused(self, refusal: Refusal, model: str, request_id: str) -> Response:
        """A 429 with the wait; who grows too fast gets a 503."""
        wait = refusal.retry_after
        if refusal.what == "ramp":
            problem = Problem(503, SLOW_DOWN, SERVER_ERROR[0], "slow_down", retry_after=wait)
            return self.error(problem, request_id)
        what = WORDS_OF_LIMIT.get(refusal.what, refusal.what)
        message = (
            f"Rate limit reached for {model} on {what}: Limit {refusal.limit}, "
            f"Used {refusal.used}, Requested {refusal.requested}. "
            f"Please try again in {duration(wait)}."
        )
        kind = ERROR_TYPE_OF_LIMIT.get(refusal.what, "requests")
        problem = Problem(429, message, kind, "rate_limit_exceeded", retry_after=wait)
        return self.error(problem, request_id)

    def rate_headers(self, gate: Gate, now: float) -> Mapping[str, str]:
        """What is left at `now`; nothing about a limit that is not set."""
        window, limits = gate.arrivals, gate.limits
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


def retry_headers(seconds: float) -> dict[str, str]:
    """The wait in seconds and milliseconds, rounded up: who obeys is not refused again."""
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def duration(seconds: float) -> str:
    """Such as 120ms, 1.5s or 6m0s, rounded up to the millisecond."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
