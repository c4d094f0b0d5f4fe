"""A mill to measure: its own database, a simulator, workers at the settings of production."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import httpx2
import redis
from sqlalchemy import text

from bench.processes import kill_family, parent_of
from cli.stack.servers import Servers
from shared.db.engine import Database
from shared.domain.job import Lane
from tests.databases import own_database
from tests.life import TENANT
from tests.mill import (
    MAX_TOKENS,
    MODEL,
    QUICK_LEASES,
    ROUTE,
    UNLIMITED,
    Mill,
    eventually,
    running_mill,
)

NUMBERS: Final = count()
POLL: Final = 0.05
LONGEST: Final = 600.0
"""Seconds that any one thing may take."""
INPUT_TOKENS: Final = 10

FILL: Final = text("""
WITH job AS (
    INSERT INTO jobs (id, tenant_id, route, lane, state, run_at, deadline, max_tries,
                      input_tokens, max_tokens)
    SELECT 'job_' || lpad(to_hex(n), 26, '0'), :tenant, :route, :lane, 'queued',
           clock_timestamp(), clock_timestamp() + interval '1 day', 5, :input_tokens, :max_tokens
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
)
INSERT INTO payloads (job_id, request)
SELECT 'job_' || lpad(to_hex(n), 26, '0'), jsonb_build_object(
    'model', CAST(:model AS text), 'max_tokens', CAST(:max_tokens AS int), 'messages',
    jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'question ' || n)))
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
""")


@dataclass
class Stage:
    """A mill on servers of its own, and the pids of what it stands on."""

    mill: Mill
    servers: Servers
    postgres: int
    valkey: int
    filled: int = 0

    @property
    def base(self) -> dict[str, int]:
        """The pids of what serves every worker."""
        return {"postgres": self.postgres, "valkey": self.valkey}

    async def start_worker(
        self, slots: int, queues: str = "openai,simulator,upkeep"
    ) -> subprocess.Popen[bytes]:
        """A worker of the product with its task events on; returns when it has a lease."""
        known = len(self.mill.workers)
        name = f"worker{known}"
        argv = ["celery", "-q", "-A", "worker.main", "worker", "-P", "custom", "-l", "WARNING"]
        worker = self.mill.spawn(
            name, [*argv, "-E", "-c", str(slots), "-Q", queues, "-n", f"{name}@bench"]
        )
        self.mill.workers.append(worker)

        async def registered() -> bool:
            assert worker.poll() is None, self.mill.log(name)
            rows = await self.mill.life.one("SELECT count(*) AS n FROM workers")
            return bool(rows.n > known)

        await eventually("the worker registers", registered)
        return worker

    async def start_workers(self, number: int, slots: int) -> None:
        """So many at once: while one reads its modules, another can."""
        await asyncio.gather(*(self.start_worker(slots) for _ in range(number)))

    async def start_api(self) -> tuple[subprocess.Popen[bytes], str]:
        """The API as a process, and its URL."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        argv = ["uvicorn", "api.main:create", "--factory", "--host", "127.0.0.1", "--port"]
        api = self.mill.spawn(
            "api", [*argv, str(port), "--no-access-log", "--log-level", "warning"]
        )
        url = f"http://127.0.0.1:{port}"

        async def answers() -> bool:
            assert api.poll() is None, self.mill.log("api")
            try:
                async with httpx2.AsyncClient() as client:
                    return bool((await client.get(f"{url}/healthz")).status_code == 200)
            except httpx2.TransportError:
                return False

        await eventually("the API answers", answers)
        return api, url

    async def fill(self, number: int, lane: Lane = Lane.STANDARD, tenant: str = TENANT) -> None:
        """Put so many jobs into the queue by one statement."""
        await self.fill_through(self.mill.database, number, lane, tenant)

    async def fill_through(
        self, database: Database, number: int, lane: Lane = Lane.STANDARD, tenant: str = TENANT
    ) -> None:
        """The same over other connections."""
        values = {
            "first": self.filled + 1,
            "last": self.filled + number,
            "tenant": tenant,
            "route": ROUTE,
            "lane": int(lane),
            "model": MODEL,
            "input_tokens": INPUT_TOKENS,
            "max_tokens": MAX_TOKENS,
        }
        self.filled += number
        async with database.transaction() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(FILL, values)

    async def settle(self) -> None:
        """Do now what a large load leaves to the background."""
        for table in ("jobs", "payloads"):
            async with self.mill.database.transaction() as connection:
                await connection.execute(text("SET LOCAL statement_timeout = 0"))
                await connection.execute(text(f"ANALYZE {table}"))
        async with self.mill.database.transaction() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("CHECKPOINT"))

    async def answered(self) -> int:
        """Calls that the simulator has answered."""
        return int((await self.mill.stats())["answered"])

    async def until(self, name: str, at_least: int) -> dict[str, Any]:
        """Wait until a counter of the simulator is there; all counters."""
        async with asyncio.timeout(LONGEST):
            while (stats := await self.mill.stats())[name] < at_least:
                self.refuse_the_dead()
                await asyncio.sleep(POLL)
        return stats

    def refuse_the_dead(self) -> None:
        """A measured process that ended makes every figure worthless."""
        for process in self.mill.processes:
            if process.poll() not in {None, 0}:
                message = f"a process ended ({process.returncode}): {process.args!r}"
                raise RuntimeError(message)

    def retire(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """End these with their children; they are not missed afterwards."""
        for process in processes:
            kill_family(process.pid)
            process.wait()
            self.mill.processes.remove(process)


@asynccontextmanager
async def stage(servers: Servers, catalog: str = UNLIMITED) -> AsyncIterator[Stage]:
    """An empty database and an empty broker; every process ends with the block."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
        valkey = int(client.info("server")["process_id"])
    with own_database(servers, f"bench_{next(NUMBERS)}") as url:
        async with running_mill(url, servers.redis_url, catalog=catalog) as mill:
            for name in QUICK_LEASES:
                del mill.environ[name]
            backend = (await mill.life.one("SELECT pg_backend_pid() AS pid")).pid
            try:
                yield Stage(mill, servers, parent_of(int(backend)), valkey)
            finally:
                for process in mill.processes:
                    if process.poll() is None:
                        kill_family(process.pid)
