"""Receivers of the tests' own, and the way of an event from a job's end to them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from pydantic import SecretStr
from sqlalchemy import text
from standardwebhooks import Webhook

from shared.db.endpoints import Wanted, create_endpoint
from shared.domain.event import OF_JOBS, EventType
from shared.security.webhooks import endpoint_secret
from shared.settings import DeliverySettings, EgressSettings, Settings
from tests.environment import PEPPER
from tests.life import TENANT, Life, answered, new_job
from tests.mill import eventually
from worker.delivery.deliverer import Deliverer
from worker.pipeline.patience import end
from worker.upkeep.publisher import EventBus

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def fine(_: web.Request) -> web.StreamResponse:
    """What a receiver in good health says."""
    return web.Response(status=204)


def says(status: int, **headers: str) -> Answer:
    """An answer of that status; underscores in the names of headers stand for hyphens."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers=named)

    return answer


@dataclass(slots=True)
class Receiver:
    """A server that is told of events."""

    url: str
    answer: Answer = fine
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({**request.headers}, await request.read()))
        return await self.answer(request)

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@asynccontextmanager
async def receiver(port: int | None = None, *, tls: Any = None) -> AsyncIterator[Receiver]:
    """One that listens on this machine while the block runs."""
    port = port or unused_port()
    hook, app = Receiver(f"http{'s' if tls else ''}://127.0.0.1:{port}/hook"), web.Application()
    app.add_routes([web.post("/hook", hook.take)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    try:
        yield hook
    finally:
        await runner.cleanup()


def settings(*, allow_loopback: bool = True, **room: int) -> Settings:
    values: dict[str, Any] = {
        "DATABASE_URL": SecretStr("postgresql://nobody"),
        "REDIS_URL": SecretStr("redis://nobody"),
        "pepper": SecretStr(PEPPER),
        "egress": EgressSettings(allow_loopback=allow_loopback),
        "delivery": DeliverySettings(**room),
    }
    return Settings(**values)


@dataclass(frozen=True, slots=True)
class Post:
    """Jobs end, the bus tells of it, and endpoints are told."""

    life: Life

    async def endpoint(self, url: str, *types: EventType, tenant_id: str = TENANT) -> str:
        """A new one; its id."""
        wanted = Wanted(name="test", url=url, event_types=tuple(sorted(types or OF_JOBS)))
        async with self.life.database.transaction() as connection:
            made = await create_endpoint(connection, tenant_id, wanted)
        assert made is not None
        return made.id

    async def end_jobs(self, number: int = 1, **changes: Any) -> list[str]:
        """So many jobs that succeed; their ids."""
        jobs = [new_job(**changes) for _ in range(number)]
        started = await self.life.started(*jobs)
        await self.life.leave(*(answered(each) for each in started))
        return [each.job_id for each in started]

    async def publish(self) -> None:
        await EventBus(self.life.database, lambda: None).visit()

    async def tell(self, number: int = 1, **changes: Any) -> list[str]:
        """As `end_jobs`, with the deliveries written."""
        ids = await self.end_jobs(number, **changes)
        await self.publish()
        return ids

    @asynccontextmanager
    async def delivering(self, **options: Any) -> AsyncIterator[Deliverer]:
        """While a worker delivers."""
        deliverer = Deliverer(self.life.database, settings(**options))
        task = asyncio.create_task(deliverer.run())
        try:
            yield deliverer
        finally:
            await end([task])

    async def states(self) -> list[str]:
        rows = await self.life.all("SELECT state FROM deliveries ORDER BY id")
        return [row.state for row in rows]

    async def tries(self) -> list[Any]:
        return await self.life.all("SELECT * FROM delivery_tries ORDER BY at, number")

    async def tried(self, number: int, *, within: float = 20.0) -> list[Any]:
        """Wait until so many tries are written down; these."""

        async def reached() -> bool:
            return len(await self.tries()) >= number

        await eventually(f"{number} tries", reached, within=within)
        return await self.tries()

    async def why_disabled(self, endpoint_id: str) -> str | None:
        asked = "SELECT disabled_reason FROM webhook_endpoints WHERE id = :id"
        row = await self.life.one(asked, id=endpoint_id)
        return row.disabled_reason  # type: ignore[no-any-return]

    async def run(self, statement: str, **values: Any) -> None:
        async with self.life.database.transaction() as connection:
            await connection.execute(text(statement), values)

    async def hurry(self, deliverer: Deliverer) -> None:
        """Let the time pass until the next try, for the database alone; not of one under way."""
        await self.run("UPDATE webhook_endpoints SET paused_until = now()")
        await self.run(
            "UPDATE deliveries SET next_at = now() WHERE state = 'pending' AND tries ="
            " (SELECT count(*) FROM delivery_tries WHERE delivery_id = deliveries.id)"
        )
        deliverer.ring()


@pytest.fixture
def post(life: Life) -> Post:
    return Post(life)


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as hook:
        yield hook


def verified(endpoint_id: str, number: int, headers: dict[str, str], body: bytes) -> Any:
    """What an independent verifier reads out of a delivery; it raises for a wrong signature."""
    secret = endpoint_secret(SecretStr(PEPPER), endpoint_id, number).get_secret_value()
    return Webhook(secret).verify(body, headers)
