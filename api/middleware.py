"""Request ids and the byte cap, as plain ASGI: bodies are counted while they stream in."""

from collections.abc import Mapping
from time import monotonic
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admission.requests import LIMIT_HEADERS
from shared.domain.errors import BodyTooLargeError
from shared.domain.ids import IdKind, new_id

log = structlog.get_logger(__name__)

REQUEST_ID: Final = "x-request-id"
SERVER_ERROR: Final = 500


class RequestIds:
    """Gives every request an id, in its state, in the reply's headers and in each log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the id; tell of the reply, loudly if the fault is ours."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id(IdKind.REQUEST)
        scope.setdefault("state", {})["request_id"] = request_id
        began = monotonic()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers.update(scope["state"].get(LIMIT_HEADERS, {}))
                if scope["app"].state.leaving:
                    # The next request over this connection would meet its end.
                    headers["connection"] = "close"
                _tell(scope, message["status"], monotonic() - began)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class ByteCap:
    """Refuses a body as soon as it is longer than its route allows."""

    def __init__(self, app: ASGIApp, *, caps: Mapping[str, int], otherwise: int) -> None:
        """`caps` in bytes by path; `otherwise` for every other path."""
        self._app = app
        self._caps = caps
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit, seen = self._caps.get(scope["path"], self._otherwise), 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                reason = f"the body is larger than {limit} bytes; send less, or in parts"
                raise BodyTooLargeError(reason, field="body")
            return message

        await self._app(scope, receive_counted, send)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    tell = log.warning if status >= SERVER_ERROR else log.debug
    tell("replied", method=scope["method"], path=scope["path"], status=status,
         seconds=round(seconds, 4))  # fmt: skip
