"""The control routes of a test: counters, script, limits, reset."""

from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from simulator.http import Request, Response
from simulator.limits import Limits
from simulator.provider import Provider
from simulator.strict import sentence

OBJECT: Final = TypeAdapter(dict[str, Any])
ANYTHING: Final = TypeAdapter(Any)


class Control:
    """What a test may ask and set while the provider runs."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def stats(self, _: Request) -> Response:
        """GET /_sim/stats."""
        window = self._provider.window
        return _reply(
            {
                **self._provider.counters.snapshot(),
                "max_requests_in_window": window.most_requests,
                "max_tokens_in_window": window.most_tokens,
            }
        )

    async def script(self, request: Request) -> Response:
        """POST /_sim/script: replace the script."""
        try:
            self._provider.script.load(ANYTHING.validate_json(request.body))
        except ValidationError as error:
            return _reply({"error": sentence(error)}, status=400)
        return _reply({"ok": True})

    async def limits(self, request: Request) -> Response:
        """POST /_sim/limits: change those that are named; what was admitted still counts.

        A window that grows does not bring back what the shorter one forgot.
        """
        window = self._provider.window
        try:
            changes = OBJECT.validate_json(request.body)
            window.limits = Limits.model_validate({**window.limits.model_dump(), **changes})
        except ValidationError as error:
            return _reply({"error": sentence(error)}, status=400)
        return _reply(window.limits.model_dump())

    async def reset(self, _: Request) -> Response:
        """POST /_sim/reset: forget counters, script and what the window holds; not the limits."""
        self._provider.counters.clear()
        self._provider.script.load([])
        self._provider.window.clear()
        return _reply({"ok": True})


def _reply(value: Any, status: int = 200) -> Response:
    return Response(status=status, body=orjson.dumps(value))
