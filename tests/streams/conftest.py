"""A teller of a worker without its jobs, and what a reader finds in its logs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.redis_client import connect_redis
from shared.settings import StreamSettings
from shared.streamlog import START, Entry, EntryKind, read_logs
from tests.mill import eventually
from tests.pipeline.attempts import attempt
from worker.pipeline.telling import Teller


@dataclass
class Log:
    """A running teller, and a reader of the log of job_1."""

    redis: Redis
    redis_url: str
    tellers: list[tuple[Teller, asyncio.Task[None]]] = field(default_factory=list)

    async def connect(self, redis_url: str) -> None:
        """Use this Redis from now on."""
        await self.redis.aclose()
        self.redis_url, self.redis = redis_url, connect_redis(redis_url)

    def teller(self, **settings: Any) -> Teller:
        """Another worker's."""
        teller = Teller(self.redis_url, StreamSettings(**settings))
        self.tellers.append((teller, asyncio.create_task(teller.run())))
        return teller

    async def entries(self) -> list[Entry]:
        """Everything in the log; nothing while Redis is away."""
        found: list[Entry] = []
        while True:
            after = found[-1].at if found else START
            try:
                [more] = await read_logs(self.redis, [("job_1", after)])
            except RedisError:
                return []
            if not more:
                return found
            found += more

    async def text(self) -> str:
        """The text of all that was told."""
        deltas = [orjson.loads(e.data) for e in await self.entries() if e.kind is EntryKind.DELTA]
        return "".join(delta.get("text", "") for delta in deltas)

    async def has(self, text: str) -> None:
        """Wait until the log tells this text."""

        async def told() -> bool:
            return await self.text() == text

        await eventually(f"the log tells {text[:80]!r}", told, within=15)

    async def ended(self) -> list[Entry]:
        """The entries, when the log has ended."""

        async def over() -> list[Entry]:
            entries = await self.entries()
            return entries if entries and entries[-1].kind is EntryKind.END else []

        found: list[Entry] = await eventually("the log ends", over, within=15)
        return found


@pytest.fixture
async def log(redis_url: str) -> AsyncIterator[Log]:
    """Tellers that end with the test."""
    redis = connect_redis(redis_url)
    log = Log(redis, redis_url)
    yield log
    for teller, running in log.tellers:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await teller.close()
    await log.redis.aclose()


def first_try(**changes: Any) -> Any:
    """An attempt of job_1."""
    return attempt(**{"epoch": 1, **changes})
