"""How long the jobs of a killed worker wait until they are under way again."""

import asyncio
import random
from statistics import median, quantiles
from typing import Final

from sqlalchemy import text

from bench.figures import Part
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.mill import eventually

JOBS: Final = 200
LATENCY: Final = {"latency-ms": 8000, "latency-spread": 0.1}
LONGEST: Final = 60.0
HEARTBEAT: Final = 5.0
"""Seconds: kills fall anywhere between two heartbeats."""
AGAIN: Final = text("""
SELECT extract(epoch FROM next.sent_at - CAST(:killed AS timestamptz))::float8 AS seconds
FROM attempts AS lost
LEFT JOIN attempts AS next ON next.job_id = lost.job_id AND next.epoch = lost.epoch + 1
    AND next.sent_at IS NOT NULL
JOIN workers ON workers.id = lost.worker_id
WHERE workers.pid = :pid AND lost.sent_at IS NOT NULL
  AND (lost.ended_at IS NULL OR lost.ended_at > CAST(:killed AS timestamptz))
""")


async def rescue(servers: Servers, size: Size) -> Part:
    """Again and again kill -9; each job of the dead counts until its next call is sent."""
    dice = random.Random(7)
    part = Part(
        f"{size.rescues} kills of a worker with calls in flight; seconds until they go on",
        ["jobs", "p50", "p99", "most"],
    )
    waits: list[float] = []
    async with stage(servers) as on:
        await on.mill.start_simulator(**LATENCY)
        await on.start_worker(JOBS)
        for _ in range(size.rescues):
            waits += await _round(on, dice)
    worst = quantiles(waits, n=100, method="inclusive")[-1]
    part.rows = [[f"{len(waits):,}", median(waits), worst, max(waits)]]
    part.figures["rescue"] = worst
    return part


async def _round(on: Stage, dice: random.Random) -> list[float]:
    """Kill the older of two workers and wait for its jobs."""
    await on.start_worker(JOBS)
    doomed = on.mill.workers[-2]
    await on.fill(JOBS)
    await on.until("in_flight", JOBS)
    await asyncio.sleep(dice.uniform(0, HEARTBEAT))
    killed = (await on.mill.life.one("SELECT clock_timestamp()::text AS now")).now
    on.retire([doomed])
    values = {"pid": doomed.pid, "killed": killed}

    async def under_way() -> list[float]:
        async with on.mill.database.transaction() as connection:
            seconds = list((await connection.execute(AGAIN, values)).scalars())
        return [] if None in seconds else seconds

    waits: list[float] = await eventually("the jobs go on", under_way, within=LONGEST)
    await on.mill.all_final()
    return waits
