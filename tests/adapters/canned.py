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
    url: str = ""
    heard: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def says(self, value: Any, status: int = 200, **headers: str) -> None:
        """This is the reply from now on; `retry_after` is the header `retry-after`."""
        self.body, self.status = json.dumps(value).encode(), status
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {name.lower(): text for name, text in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        self.heard.append((headers, json.loads(body)))
        own = {"content-type": "application/json", "content-length": str(len(self.body))}
        lines = (f"{name}: {text}\r\n" for name, text in {**own, **self.headers}.items())
        start = f"HTTP/1.1 {self.status} Said\r\nconnection: close\r\n"
        writer.write("".join([start, *lines, "\r\n"]).encode() + self.body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def canned() -> AsyncIterator[Canned]:
    """A server on a free port."""
    said = Canned()
    server = await asyncio.start_server(said.serve, "127.0.0.1", 0)
    said.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    async with server:
        yield said
