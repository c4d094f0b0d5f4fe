"""What an idle stack adds to one person's job, and what it costs to keep."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from time import monotonic
from typing import Final

import httpx2
import openai
from sqlalchemy import text

from bench.figures import Part
from bench.processes import cpu_seconds
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from tests.api.conftest import job_body, make_key
from tests.mill import MAX_TOKENS, MODEL

SLOTS: Final = 500
LATENCY: Final = {"latency-ms": 100, "latency-spread": 0}
MS: Final = 1000
WARM: Final = 5
PAUSE: Final = (0.02, 0.15)
"""Seconds between two jobs: no person is in step with anybody's timer."""
PATIENCE: Final = 30
SETTLE: Final = 2.0
STAGES: Final = {
    "accepted to released": "planned_at - created_at",
    "released to sent": "sent_at - planned_at",
    "sent to recorded": "ended_at - sent_at",
}


@dataclass(frozen=True, slots=True)
class House:
    """A whole idle stack, and the pids of its processes."""

    on: Stage
    api_url: str
    key: str
    pids: dict[str, int]


async def latency(servers: Servers, size: Size) -> Part:
    """One job through the API and one call of the simulator in turn."""
    dice = random.Random(7)
    direct: list[float] = []
    through: list[float] = []
    async with _idle_stack(servers) as house, _clients(house) as (api, provider):
        for number in range(-WARM, size.people):
            found = direct, through
            for times, work in zip(found, (_ask(provider), _job(api, number)), strict=True):
                seconds = await _timed(work)
                if number >= 0:
                    times.append(seconds * MS)
                await asyncio.sleep(dice.uniform(*PAUSE))
        stages = await _stages(house.on)
    base = median(direct)
    added = [each - base for each in through]
    part = Part(
        f"One interactive job on an idle stack, {size.people} times, ms",
        ["", "p50", "p99", "most"],
        [_spread("the simulator called directly", direct), _spread("added by the mill", added)],
    )
    part.rows += [_spread(f"  {name}", values) for name, values in stages.items()]
    part.figures["latency_p50"] = median(added)
    part.figures["latency_p99"] = quantiles(added, n=100, method="inclusive")[-1]
    return part


async def idle(servers: Servers, size: Size) -> Part:
    """The CPU that each process of a stack without work takes."""
    part = Part(f"Idle for {size.idle_seconds:.0f} s, per cent of a core", ["process", "per cent"])
    async with _idle_stack(servers) as house, _clients(house) as (api, _):
        for number in range(WARM):
            await _job(api, number)
        await asyncio.sleep(SETTLE)
        before = {name: cpu_seconds(pid) for name, pid in house.pids.items()}
        began = monotonic()
        await asyncio.sleep(size.idle_seconds)
        took = monotonic() - began
        used = {
            name: (cpu_seconds(pid) - before[name]) / took * 100 for name, pid in house.pids.items()
        }
    part.rows = [[name, f"{share:.2f}"] for name, share in used.items()]
    part.rows.append(["all", f"{sum(used.values()):.2f}"])
    part.figures["idle"] = used["worker"]
    return part


@asynccontextmanager
async def _idle_stack(servers: Servers) -> AsyncIterator[House]:
    """What `promptmill up --simulator` starts."""
    async with stage(servers) as on:
        await on.mill.start_simulator(**LATENCY)
        key = await make_key(on.mill.environ["DATABASE_URL"], "bench")
        (api, url), worker = await asyncio.gather(on.start_api(), on.start_worker(SLOTS))
        isolated = await on.start_worker(4, queues="isolated")
        pids = {"worker": worker.pid, "isolated worker": isolated.pid, "api": api.pid, **on.base}
        yield House(on, url, key, pids)


@asynccontextmanager
async def _clients(house: House) -> AsyncIterator[tuple[httpx2.AsyncClient, openai.AsyncOpenAI]]:
    headers = {"authorization": f"Bearer {house.key}"}
    base_url = f"{house.on.mill.simulator_url}/v1"
    async with (
        httpx2.AsyncClient(base_url=house.api_url, headers=headers, timeout=60.0) as api,
        openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0) as provider,
    ):
        yield api, provider


async def _timed(work: Awaitable[None]) -> float:
    began = monotonic()
    await work
    return monotonic() - began


async def _ask(provider: openai.AsyncOpenAI) -> None:
    await provider.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Why?"}],
        max_completion_tokens=MAX_TOKENS,
    )


async def _job(api: httpx2.AsyncClient, number: int) -> None:
    """Submit and wait, as one request."""
    body = job_body(f"Why {number}?", lane="interactive", rehearse=True)
    reply = await api.post("/api/v1/jobs", json=body, params={"wait": PATIENCE})
    reply.raise_for_status()
    state = reply.json()["state"]
    if state != "succeeded":
        message = f"a job of the latency part ended as {state}"
        raise RuntimeError(message)


async def _stages(on: Stage) -> dict[str, list[float]]:
    """Milliseconds of each step of the jobs, by the database's clock."""
    columns = ", ".join(f"extract(epoch FROM {span})::float8" for span in STAGES.values())
    statement = text(
        f"SELECT {columns} FROM attempts JOIN jobs ON jobs.id = job_id"
        " ORDER BY planned_at OFFSET :warm"
    )
    async with on.mill.database.transaction() as connection:
        rows = (await connection.execute(statement, {"warm": WARM})).all()
    columns_of = zip(*rows, strict=True)
    return {name: [s * MS for s in found] for name, found in zip(STAGES, columns_of, strict=True)}


def _spread(name: str, values: list[float]) -> list[str | float]:
    return [name, median(values), quantiles(values, n=100, method="inclusive")[-1], max(values)]
