"""Cost and memory as the backlog grows, and memory as the calls in flight do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from sqlalchemy import text

from bench.figures import Part
from bench.processes import cpu_seconds, memory
from bench.sizes import Size
from bench.stage import POLL, Stage, stage
from cli.stack.servers import Servers
from shared.db.engine import Database
from shared.domain.job import Lane

SLOTS: Final = 500
SHORT: Final = {"latency-ms": 20, "latency-spread": 0}
TOP_UP: Final = 250
PROBES: Final = 4
"""Interactive jobs in each window."""
KB: Final = 1000
MB: Final = 1_000_000
MS: Final = 1000
FEW: Final = 100
MANY: Final = 1000
LONG: Final = {"latency-ms": 30_000, "latency-spread": 0}


@dataclass(frozen=True, slots=True)
class Cost:
    """One window of a backlog: milliseconds of CPU a job."""

    worker: float
    postgres: float
    valkey: float

    @property
    def total(self) -> float:
        """What must stay flat: the worker and Postgres."""
        return self.worker + self.postgres


async def backlog(servers: Servers, size: Size) -> Part:
    """The same work in front of ever longer queues, each kept at its length."""
    part = Part(
        f"CPU in ms a job while the queue is kept at a length ({size.sample} jobs a window)",
        ["queued", "total", "worker", "Postgres", "Valkey", "overtakes in, ms", "memory, MB"],
    )
    totals: list[float] = []
    memories: dict[int, int] = {}
    for queued in size.backlogs:
        async with stage(servers) as on:
            costs, overtaking = await _costs(on, queued, size, memories)
        middle = sorted(costs, key=lambda cost: cost.total)[len(costs) // 2]
        totals.append(middle.total)
        cells = [middle.total, middle.worker, middle.postgres, middle.valkey, overtaking]
        part.rows.append([f"{queued:,}", *cells, memories[queued] / MB])
    lowest = [memories[queued] for queued in size.backlogs if queued <= 10_000][-1]
    part.figures["backlog_cost"] = max(totals) / totals[0]
    part.figures["backlog_memory"] = memories[size.backlogs[-1]] / lowest
    return part


async def in_flight(servers: Servers, _: Size) -> Part:
    """What a worker's memory grows by with each call in flight."""
    async with stage(servers) as on:
        await on.mill.start_simulator(**LONG)
        worker = await on.start_worker(MANY)
        found = {}
        for number in (FEW, MANY):
            await on.fill(number - on.filled)
            await on.until("in_flight", number)
            found[number] = memory(worker.pid)
    each = (found[MANY] - found[FEW]) / (MANY - FEW)
    part = Part("Memory of a worker by calls in flight", ["in flight", "memory, MB"])
    part.rows = [[f"{number:,}", kept / MB] for number, kept in found.items()]
    part.figures["in_flight"] = each / KB
    return part


async def _costs(
    on: Stage, queued: int, size: Size, memories: dict[int, int]
) -> tuple[list[Cost], float]:
    """Each window's cost, and the median milliseconds until an interactive job is released."""
    await on.mill.start_simulator(**SHORT)
    await on.fill(queued)
    await on.settle()
    costs = []
    async with _topped_up(on) as filler:
        worker = await on.start_worker(SLOTS)
        pids = {"worker": worker.pid, **on.base, "filler": filler}
        mark = await on.until("answered", size.sample // 2)
        for _ in range(size.windows):
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            step = size.sample // (PROBES + 1)
            for _ in range(PROBES):
                now = await on.until("answered", mark["answered"] + step)
                step += size.sample // (PROBES + 1)
                await on.fill(1, Lane.INTERACTIVE)
            now = await on.until("answered", mark["answered"] + size.sample)
            jobs = now["answered"] - mark["answered"]
            used = {n: (cpu_seconds(pid) - before[n]) / jobs * MS for n, pid in pids.items()}
            costs.append(Cost(used["worker"], used["postgres"] - used["filler"], used["valkey"]))
            mark = now
        memories[queued] = memory(worker.pid)
    return costs, await _overtaking(on)


@asynccontextmanager
async def _topped_up(on: Stage) -> AsyncIterator[int]:
    """Keep the queue as long as it was; the pid of the backend that does it."""
    url = on.mill.environ["DATABASE_URL"]
    database = Database(url, pool_size=1, name="filler")
    async with database.transaction() as connection:
        backend = int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    async def top_up() -> None:
        added = 0
        while True:
            while await on.answered() >= added + TOP_UP:
                await on.fill_through(database, TOP_UP)
                added += TOP_UP
            await asyncio.sleep(POLL)

    filling = asyncio.create_task(top_up())
    try:
        yield backend
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        await database.close()


async def _overtaking(on: Stage) -> float:
    statement = text("""
        SELECT extract(epoch FROM attempts.planned_at - jobs.created_at)::float8
        FROM jobs JOIN attempts ON attempts.job_id = jobs.id WHERE jobs.lane = :lane
    """)
    async with on.mill.database.transaction() as connection:
        rows = await connection.execute(statement, {"lane": int(Lane.INTERACTIVE)})
        waits = [float(seconds) for seconds in rows.scalars()]
    return median(waits) * MS
