"""HTTP/1.1 with keep-alive, by hand: a stand-in must cost less than what it stands in for."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httptools

HARD_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero: closing sends RST, as a crashed server's kernel would."""
LARGEST_BODY: Final = 64 * 1024 * 1024
PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True)
class Request:
    """One request, whole."""

    method: str = ""
    path: str = ""
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = True


@dataclass(slots=True, kw_only=True)
class Response:
    """What goes back; `chunks` instead of `body` streams."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    body: bytes = b""
    chunks: list[bytes] | None = None
    pause: float = 0.0
    """Seconds between chunks."""
    reset: bool = False
    """No reply: the connection is cut hard."""
    cut_at: int | None = None
    """The connection closes after so many bytes of the body, or so many chunks."""
    over: Callable[[], None] | None = None
    """Called after the last byte, or when the client has hung up before it."""


Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One client's connection; its requests are served in turn."""

    def __init__(self, handler: Handler, connections: set["Connection"]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._request = Request()
        self._parts: list[bytes] = []
        self._size = 0
        self._turns: asyncio.Queue[Request] = asyncio.Queue()
        self._server: asyncio.Task[None] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = transport
        self._connections.add(self)
        self._server = asyncio.create_task(self._serve())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client went; what it asked for is broken off."""
        self._connections.discard(self)
        if self._server is not None:
            self._server.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_url(self, url: bytes) -> None:
        """The target of the request line."""
        self._request.path, _, self._request.query = url.decode("latin-1").partition("?")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """A client that asks first may go on."""
        if "expect" in self._request.headers:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size <= LARGEST_BODY:
            self._parts.append(body)
        else:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._transport.is_closing():
            return
        self._request.method = self._parser.get_method().decode()
        self._request.body = b"".join(self._parts)
        self._request.keep_alive = self._parser.should_keep_alive()
        self._turns.put_nowait(self._request)
        self._request, self._parts, self._size = Request(), [], 0

    def close(self) -> asyncio.Task[None] | None:
        """Close from our side; the task ends when what was under way is broken off."""
        if self._server is not None:
            self._server.cancel()
        self._transport.close()
        return self._server

    async def _serve(self) -> None:
        keep_alive = True
        while keep_alive:
            request = await self._turns.get()
            response = await self._handler(request)
            keep_alive = request.keep_alive and response.cut_at is None and not response.reset
            try:
                await self._reply(response, keep_alive=keep_alive)
            finally:
                if response.over is not None:
                    response.over()
        self._transport.close()

    async def _reply(self, response: Response, *, keep_alive: bool) -> None:
        if response.reset:
            self._reset()
            return
        if response.chunks is None:
            length = f"content-length: {len(response.body)}"
            self._transport.write(
                _head(response, length, keep_alive=keep_alive) + response.body[: response.cut_at]
            )
            return
        self._transport.write(_head(response, "transfer-encoding: chunked", keep_alive=keep_alive))
        for chunk in response.chunks[: response.cut_at]:
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await asyncio.sleep(response.pause)
        if response.cut_at is None:
            self._transport.write(b"0\r\n\r\n")

    def _refuse(self, status: HTTPStatus) -> None:
        """A request that no handler can be asked about."""
        self._transport.write(_head(Response(status=status), "content-length: 0", keep_alive=False))
        self._transport.close()

    def _reset(self) -> None:
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_CLOSE)
        self._transport.abort()


def _head(response: Response, length: str, *, keep_alive: bool) -> bytes:
    """The status line and the headers; `length` is the header that frames the body."""
    phrase = PHRASES.get(response.status, "Unknown")
    lines = [
        f"HTTP/1.1 {response.status} {phrase}",
        f"content-type: {response.content_type}",
        length,
        *(f"{name}: {value}" for name, value in response.headers.items()),
        *(() if keep_alive else ("connection: close",)),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
