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
STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


@dataclass(slots=True)
class Request:
    """One request, whole."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


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
    """The connection closes after so many bytes of the body."""


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
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        """The target of the request line."""
        self._request.path = url.decode("latin-1").partition("?")[0]

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > LARGEST_BODY:
            self._transport.close()
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._request.method = self._parser.get_method().decode()
        self._request.body = b"".join(self._parts)
        self._turns.put_nowait(self._request)
        self._request, self._parts, self._size = Request(), [], 0

    def close(self) -> None:
        """Close from our side."""
        self._transport.close()

    async def _serve(self) -> None:
        while True:
            response = await self._handler(await self._turns.get())
            if response.reset:
                self._reset()
                return
            await self._reply(response)

    async def _reply(self, response: Response) -> None:
        chunked = response.chunks is not None
        length = (
            "transfer-encoding: chunked" if chunked else f"content-length: {len(response.body)}"
        )
        headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        head = STATUS_LINES[response.status] + (
            f"content-type: {response.content_type}\r\n{length}\r\n{headers}\r\n"
        ).encode("latin-1")
        if response.cut_at is not None:
            self._transport.write(head + response.body[: response.cut_at])
            self._transport.close()
        elif not chunked:
            self._transport.write(head + response.body)
        else:
            self._transport.write(head)
            await self._stream(response)

    async def _stream(self, response: Response) -> None:
        for chunk in response.chunks or ():
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await asyncio.sleep(response.pause)
        self._transport.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_CLOSE)
        self._transport.abort()
