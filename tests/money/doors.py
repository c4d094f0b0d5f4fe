"""The API before a paying mill, and a client with a key."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from tests.api.conftest import make_key
from tests.mill import eventually
from tests.money.paying import Payments


@asynccontextmanager
async def api_of(payments: Payments) -> AsyncIterator[httpx2.AsyncClient]:
    """The API before the mill, and a client with a key of its first tenant."""
    mill = payments.mill
    key = await make_key(mill.environ["DATABASE_URL"], "a")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    server = mill.spawn("api", ["uvicorn", "api.main:create", "--factory", "--port", port])
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30
    ) as client:

        async def alive() -> bool:
            assert server.poll() is None, mill.log("api")
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx2.TransportError:
                return False

        try:
            await eventually("the API answers", alive)
            yield client
        finally:
            server.terminate()
            await asyncio.to_thread(server.wait, 30)
