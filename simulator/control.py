"""The control routes of a test: counters, script, limits, reset."""

from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from simulator.http import Request, Response
from simulator.limits import Limits, SlidingWindow
from simulator.provider import Counters, Provider

LIMITS = TypeAdapter(Limits)


class Control:
    """What a test may ask and set while the provider runs."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def stats(self, _: Request) -> Response:
        """GET /_sim/stats."""
        provider, counters = self._provider, self._provider.counters
        return _reply(
            {
                "accepted": counters.accepted,
                "rejected": counters.rejected,
                "answered": counters.answered,
                "in_flight": counters.in_flight,
                "max_in_flight": counters.max_in_flight,
                "billed_nano": provider.ledger.billed_nano,
                "billed_requests": provider.ledger.lines,
                "max_requests_in_window": provider.window.most_requests,
                "max_tokens_in_window": provider.window.most_tokens,
                "per_second": [
                    [second, counts["accepted"], counts["rejected"]]
                    for second, counts in counters.per_second
                ],
                "first_at": counters.first_at,
                "last_at": counters.last_at,
            }
        )

    async def script(self, request: Request) -> Response:
        """POST /_sim/script: replace the script."""
        try:
            self._provider.script.load(orjson.loads(request.body))
        except (orjson.JSONDecodeError, ValidationError) as error:
            return _reply({"error": str(error)}, status=400)
        return _reply({"ok": True})

    async def limits(self, request: Request) -> Response:
        """POST /_sim/limits: start a window with other limits."""
        try:
            limits = LIMITS.validate_json(request.body)
        except ValidationError as error:
            return _reply({"error": str(error)}, status=400)
        self._provider.window = SlidingWindow(limits)
        return _reply({"ok": True})

    async def reset(self, _: Request) -> Response:
        """POST /_sim/reset: forget counters and script."""
        in_flight = self._provider.counters.in_flight
        self._provider.counters = Counters(in_flight=in_flight)
        self._provider.script.load([])
        self._provider.window = SlidingWindow(self._provider.window.limits)
        return _reply({"ok": True})


def _reply(value: Any, status: int = 200) -> Response:
    return Response(status=status, body=orjson.dumps(value))
