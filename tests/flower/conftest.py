"""A mill that Flower watches, and a client of Flower's own HTTP API."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.mill import Mill, eventually, running_mill

USER, PASSWORD = "promptmill", "a password for tests"
WORKER = "worker0@test"
SLOTS = 20


@dataclass(frozen=True, slots=True)
class Flower:
    """Flower as a person's browser reaches it."""

    mill: Mill
    url: str
    http: httpx2.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        return (await self.http.get(path, params=query)).raise_for_status().json()

    async def post(self, path: str, **query: Any) -> httpx2.Response:
        return (await self.http.post(path, params=query)).raise_for_status()

    async def shown(self, job_id: str, state: str) -> dict[str, Any]:
        """What it shows of a job, once that is in this state."""

        async def there() -> dict[str, Any] | None:
            reply = await self.http.get(f"/api/task/info/{job_id}")
            task: dict[str, Any] = reply.json() if reply.status_code == 200 else {}
            return task if task.get("state") == state else None

        found: dict[str, Any] = await eventually(f"{job_id} is shown {state}", there, within=20)
        return found


async def start_flower(mill: Mill) -> str:
    """Flower on a free port, with the broker's address alone; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mill.spawn(
        "flower",
        ["celery", "-A", "worker.flower", "flower"],
        DATABASE_URL="",
        PROMPTMILL_PEPPER="",
        FLOWER_PORT=str(port),
        FLOWER_BASIC_AUTH=f"{USER}:{PASSWORD}",
    )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        async with httpx2.AsyncClient() as client:
            try:
                return (await client.get(f"{url}/healthcheck")).status_code == 200
            except httpx2.TransportError:
                return False

    await eventually("Flower answers", answers)
    return url


@pytest.fixture
async def flower(database_url: str, redis_url: str) -> AsyncIterator[Flower]:
    """Calls take a second and a half; the worker has room for SLOTS of them."""
    async with running_mill(database_url, redis_url) as mill:
        await mill.start_simulator(**{"latency-ms": 1500, "latency-spread": 0})
        url, _ = await asyncio.gather(start_flower(mill), mill.start_worker(slots=SLOTS))
        async with httpx2.AsyncClient(base_url=url, auth=(USER, PASSWORD), timeout=10) as http:
            flower = Flower(mill, url, http)

            async def online() -> bool:
                return WORKER in await flower.get("/api/workers", refresh="true")

            await eventually("the worker is shown", online)
            yield flower
