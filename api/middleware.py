"""Request ids and the byte cap, as plain ASGI: bodies are counted while they stream in."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admission.creates import (
    CALLER_KEY,
    CREATE,
    FRESH,
    REFUSED,
    Creates,
    digest_of,
    named,
    tries_before,
)
from api.admission.requests import LIMIT_HEADERS
from api.error_shapes import Dialect, dialect_of
from shared.domain.errors import BodyTooLargeError
from shared.domain.ids import IdKind, new_id

log = structlog.get_logger(__name__)

REQUEST_ID: Final = "x-request-id"
REQUEST_ID_OF: Final[Mapping[Dialect, str]] = {Dialect.ANTHROPIC: "request-id"}
"""Where an API has another name for it: both are sent."""
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
                headers[REQUEST_ID_OF.get(dialect_of(scope), REQUEST_ID)] = request_id
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


class RefusedCreates:
    """Notes which creates of an SDK were refused for now: their retries begin anew."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a digest of the body; nothing of it is kept."""
        tries = _tries_of_create(scope)
        if tries is None:
            await self._app(scope, receive, send)
            return
        body = Digested(receive, scope["path"])

        async def send_noted(message: Message) -> None:
            state = scope["state"]
            if message["type"] == "http.response.start" and state.get(REFUSED):
                creates: Creates = scope["app"].state.parts.creates
                with suppress(BodyTooLargeError):
                    create = state.get(CREATE) or named(state[CALLER_KEY], await body.whole())
                    await creates.refused(create, tries, fresh=state.get(FRESH, False))
            await send(message)

        await self._app(scope, body, send_noted)


class Digested:
    """What a client sends, passed on and digested."""

    def __init__(self, receive: Receive, path: str) -> None:
        self._receive = receive
        self._digest = digest_of(path)
        self._more = True

    async def __call__(self) -> Message:
        """The next message, as ASGI gives it."""
        message = await self._receive()
        self._digest.update(message.get("body", b""))
        self._more = message.get("more_body", False)
        return message

    async def whole(self) -> "hashlib._Hash":
        """The digest of the body, of which nobody may have read anything yet."""
        while self._more:
            await self()
        return self._digest


def _tries_of_create(scope: Scope) -> int | None:
    """How often its SDK has tried before; None: this is no create of an SDK, or one of a file."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    headers = Headers(scope=scope)
    is_json = headers.get("content-type", "").startswith("application/json")
    return tries_before(headers) if is_json else None


def _tell(scope: Scope, status: int, seconds: float) -> None:
    tell = log.warning if status >= SERVER_ERROR else log.debug
    tell("replied", method=scope["method"], path=scope["path"], status=status,
         seconds=round(seconds, 4))  # fmt: skip
