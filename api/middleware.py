"""Request ids and the byte cap, as plain ASGI: bodies are counted while they stream in."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.domain.errors import BodyTooLargeError
from shared.domain.ids import IdKind, new_id

REQUEST_ID: Final = "x-request-id"


class RequestIds:
    """Gives every request an id, in its state and in the reply's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id(IdKind.REQUEST)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

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
