"""A server that says what it was told to say, and keeps what it heard."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4.1-mini-2025-04-14",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Fine.", "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}


@dataclass
class Canned:
    """One reply for everybody; each request as its headers and its body."""

    body: bytes = field(default_factory=lambda: json.dumps(COMPLETION).encode())
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[bytes, ...] = ()
    """The reply as a stream instead."""
    holds: bool = False
    """The connection stays open behind the reply's last byte, until the caller leaves it."""
    url: str = ""
    heard: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """The first line of each request."""

    def says(self, value: Any, status: int = 200, **headers: str) -> None:
        """This is the reply from now on; `retry_after` is the header `retry-after`."""
        self.body, self.status, self.pieces = json.dumps(value).encode(), status, ()
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}

    def streams(self, *events: Any, end: str = "\n") -> None:
        """Each event is a piece of its own from now on: JSON as data, text as it stands."""
        lines = (
            event if isinstance(event, str) else f"data: {json.dumps(event)}\n\n"
            for event in events
        )
        self.pieces = tuple(line.replace("\n", end).encode() for line in lines)
        self.headers = {"content-type": "text/event-stream"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): text for name, text in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.heard.append((headers, json.loads(body or b"{}")))
        self.asked.append(head.split("\r\n")[0])
        own = {"content-type": "application/json"}
        if not self.pieces:
            own["content-length"] = str(len(self.body))
        lines = (f"{name}: {text}\r\n" for name, text in {**own, **self.headers}.items())
        start = f"HTTP/1.1 {self.status} Said\r\nconnection: close\r\n"
        writer.write("".join([start, *lines, "\r\n"]).encode())
        for piece in self.pieces or (self.body,):
            writer.write(piece)
            await writer.drain()
        if self.holds:
            await reader.read()
        writer.close()


@asynccontextmanager
async def canned() -> AsyncIterator[Canned]:
    """A server on a free port."""
    said = Canned()
    server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
    said.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    async with server:
        yield said
