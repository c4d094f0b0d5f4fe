"""A TCP proxy before Postgres that can lose the reply to a COMMIT by cutting the connection."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

COMMIT: Final = (b"Q", b"COMMIT\0")
"""How psycopg ends a transaction: a simple query of the wire protocol."""
READY: Final = b"Z"
"""The server's last word about a query; after a COMMIT it stands in the log."""
HEAD: Final = 5
RESET: Final = struct.pack("ii", 1, 0)

KEPT: Final = "k"
LOST: Final = "l"
"""The connection is closed (FIN) in place of the reply."""
TORN: Final = "t"
"""The same, by a reset (RST)."""
EITHER_END: Final = pytest.mark.parametrize("reply", [LOST, TORN], ids=["closed", "reset"])


@dataclass
class Wire:
    """Passes everything on; each COMMIT takes the next letter of `replies`, or is kept."""

    socket_path: Path
    url: str = ""
    """Where clients connect; in SQLAlchemy's form."""
    replies: str = ""
    chance: Callable[[], bool] | None = None
    """Asked where no letter is left: whether this COMMIT's reply is lost."""
    commits: int = 0
    lost: int = 0
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        """One connection, until either side ends it or a reply is lost."""
        server, to_server = await asyncio.open_unix_connection(self.socket_path)
        line = _Line(self)
        pumps = {
            asyncio.create_task(line.upward(client, to_server)),
            asyncio.create_task(line.downward(server, to_client)),
        }
        self._pumps |= pumps
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self._pumps -= pumps
        for pump in pumps:
            pump.cancel()
        if line.reply == TORN:
            raw: socket.socket = to_client.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for writer in (to_client, to_server):
            writer.transport.abort()

    def fate(self) -> str:
        """What becomes of the reply to the COMMIT that comes now."""
        self.commits += 1
        if self.replies:
            letter, self.replies = self.replies[0], self.replies[1:]
        else:
            letter = LOST if self.chance and self.chance() else KEPT
        self.lost += letter != KEPT
        return letter

    def cut(self) -> None:
        """End every connection."""
        for pump in self._pumps:
            pump.cancel()


@dataclass
class _Line:
    """One connection's two directions."""

    wire: Wire
    reply: str = KEPT

    async def upward(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            server.write(await _greeting(client))
            while True:
                kind, body, raw = await _message(client)
                if (kind, body) == COMMIT:
                    self.reply = self.wire.fate()
                server.write(raw)
                await server.drain()

    async def downward(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, _, raw = await _message(server)
                if self.reply == KEPT:
                    client.write(raw)
                    await client.drain()
                elif kind == READY:
                    return


async def _greeting(client: asyncio.StreamReader) -> bytes:
    """The first message of a connection: the only one without a letter."""
    size = await client.readexactly(4)
    return size + await client.readexactly(int.from_bytes(size) - 4)


async def _message(stream: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """The letter, the body and the whole of a message."""
    head = await stream.readexactly(HEAD)
    body = await stream.readexactly(int.from_bytes(head[1:]) - 4)
    return head[:1], body, head + body


@asynccontextmanager
async def wire_to(database_url: str) -> AsyncIterator[Wire]:
    """A proxy on this machine to the Postgres of that URL, which names a socket's folder."""
    direct = make_url(database_url)
    folder, port = direct.query["host"], direct.query["port"]
    wire = Wire(Path(f"{folder}/.s.PGSQL.{port}"))
    listener = await asyncio.start_server(wire.connected, "127.0.0.1", 0)
    plain = direct.set(
        host="127.0.0.1",
        port=listener.sockets[0].getsockname()[1],
        query={"sslmode": "disable", "gssencmode": "disable"},
    )
    wire.url = plain.render_as_string(hide_password=False)
    try:
        yield wire
    finally:
        listener.close()
        wire.cut()
        await listener.wait_closed()


def now_and_then(dice: random.Random, share: float) -> Callable[[], bool]:
    """Whether a reply is lost, by those dice."""
    return lambda: dice.random() < share
