"""A worker in the hands of the test: it starts a job, tells what it likes and ends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from shared.db.engine import Database
from shared.db.start import StartedAttempt
from shared.domain.generation import Delta
from shared.doorbell import Bell, Doorbell
from shared.redis_client import connect_redis
from shared.settings import StreamSettings
from shared.streamlog import START, Entry, read_logs
from tests.life import Life, answered, new_job
from tests.mill import eventually
from tests.streams.watching import Watcher
from worker.adapters.base import Told
from worker.pipeline.telling import Teller

STRANGE = "\u2028\u2029\u0085\x0b\x0c\x1c\r\n\r\ufeffé😀 "
"""What some take for the end of a line or of a text, and what takes several bytes."""
WORDS = [f"word{number} " if number % 50 else STRANGE for number in range(300)]
REQUEST = {"model": "gpt-4.1-mini", "messages": [], "max_tokens": 5}


@dataclass
class Stage:
    """One tenant's jobs, the worker that runs them, and the API that tells of them."""

    life: Life
    tenant_id: str
    client: httpx2.AsyncClient
    redis_url: str
    tellers: list[tuple[Teller, asyncio.Task[None]]] = field(default_factory=list)

    async def accept(self, *, stream: bool = True) -> str:
        """A job that waits."""
        request = json.dumps({**REQUEST, **({"stream": True} if stream else {})})
        job = new_job(tenant_id=self.tenant_id, request=request)
        await self.life.accept(job)
        return job.id

    async def start(self) -> StartedAttempt:
        """The one job that waits is running."""
        [attempt] = await self.life.start(await self.life.release())
        return attempt

    def opened(self, attempt: StartedAttempt, **settings: Any) -> Told:
        """A new worker process opens the attempt's log."""
        [told] = self.all_opened([attempt], **settings)
        return told

    def all_opened(self, attempts: Sequence[StartedAttempt], **settings: Any) -> list[Told]:
        """One new worker process opens the logs of all these."""
        teller = Teller(self.redis_url, StreamSettings(**settings))
        self.tellers.append((teller, asyncio.create_task(teller.run())))
        return [teller.open(attempt, 60) for attempt in attempts]

    async def kill(self) -> None:
        """The worker is no more: what it had not written is lost."""
        teller, running = self.tellers.pop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await teller._redis.aclose()  # noqa: SLF001 - as the kernel would

    async def finish(self, attempt: StartedAttempt, text: str) -> None:
        """The attempt is answered, as worker/pipeline/run.py does it."""
        await self.life.leave(answered(attempt, result=json.dumps({"content": text})))
        redis = connect_redis(self.redis_url)
        await Doorbell(redis).ring(Bell.DONE, [attempt.job_id])
        await redis.aclose()
        if self.tellers:
            self.tellers[-1][0].end(attempt.attempt_id)

    async def logs(self, *job_ids: str) -> list[list[Entry]]:
        """What stands in the logs of these jobs."""
        redis = connect_redis(self.redis_url)
        found = await read_logs(redis, [(job_id, START) for job_id in job_ids])
        await redis.aclose()
        return found

    def watcher(self, job_id: str, **options: Any) -> tuple[Watcher, asyncio.Task[None]]:
        """Somebody who watches the job."""
        watcher = Watcher(self.client, job_id, **options)
        return watcher, asyncio.create_task(watcher.watch())

    async def close(self) -> None:
        """Everything ends."""
        for teller, running in self.tellers:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await teller.close()


@asynccontextmanager
async def staged(url: str, database_url: str, key: str, redis_url: str) -> AsyncIterator[Stage]:
    """A stage before the API at `url`, for the tenant of this key."""
    database = Database(database_url)
    life = Life(database)
    if not (await life.one("SELECT count(*) AS n FROM workers")).n:
        await life.register("wrk_a")
    whose = await life.one("SELECT tenant_id FROM api_keys ORDER BY created_at LIMIT 1")
    headers = {"authorization": f"Bearer {key}"}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=30, limits=limits
    ) as client:
        stage = Stage(life, whose.tenant_id, client, redis_url)
        try:
            yield stage
        finally:
            await stage.close()
            await database.close()


async def tell_slowly(told: Told, words: list[str], seconds: float = 0.002) -> None:
    """Word by word, as a model would."""
    for word in words:
        told(Delta(text=word))
        await asyncio.sleep(seconds)


async def has_heard(watcher: Watcher, text: str, *, within: float = 15.0) -> None:
    """Wait until the watcher has so much of the answer."""

    async def heard() -> bool:
        return len(watcher.text) >= len(text)

    await eventually("the watcher hears", heard, within=within)
