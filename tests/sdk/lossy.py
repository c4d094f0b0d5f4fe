"""A proxy between a client and the API that loses replies, requests and connections."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx2

PASS = "pass"
LOSE_REPLY = "lose reply"
"""The server has sent all of it, and the client hears nothing."""
LEAVE = "leave"
"""Both sides are cut when the server has the request."""
LOSE_REQUEST = "lose request"
"""The server never hears of it."""
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}


@dataclass
class Lossy:
    """What becomes of the next requests, in order; afterwards all pass."""

    upstream: str
    plan: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    """(the client's count of retries, what became of the request)"""
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def next(self, tries: str) -> str:
        with self.lock:
            fate = self.plan.pop(0) if self.plan else PASS
            self.seen.append((tries, fate))
            return fate


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    lossy: Lossy

    def do_POST(self) -> None:
        """Pass on, or lose."""
        body = self.rfile.read(int(self.headers["content-length"]))
        fate = self.lossy.next(self.headers.get("x-stainless-retry-count", "-"))
        if fate == LEAVE:
            self._send_and_leave(body)
        if fate in {LOSE_REQUEST, LEAVE}:
            return self._hang_up()
        reply = self._ask(body)
        if fate == LOSE_REPLY:
            return self._hang_up()
        self.send_response(reply.status_code)
        for name, value in reply.headers.items():
            if name.lower() not in HOP_BY_HOP | {"content-encoding"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)
        return None

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _headers(self) -> dict[str, str]:
        return {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}

    def _ask(self, body: bytes) -> httpx2.Response:
        url = self.lossy.upstream + self.path
        return httpx2.post(url, content=body, headers=self._headers(), timeout=60)

    def _send_and_leave(self, body: bytes) -> None:
        to = urlsplit(self.lossy.upstream)
        head = [f"POST {self.path} HTTP/1.1", f"host: {to.netloc}", f"content-length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in self._headers().items()]
        with socket.create_connection((to.hostname, to.port)) as server:
            server.sendall("\r\n".join([*head, "", ""]).encode() + body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def lossy_proxy(upstream: str, *plan: str) -> Iterator[Lossy]:
    """A proxy before `upstream` until the end of the block."""
    lossy = Lossy(upstream, list(plan))
    handler = type("Handler", (Handler,), {"lossy": lossy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    lossy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield lossy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
