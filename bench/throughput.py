"""Jobs per second and CPU per job: the mill, a bare loop, and Celery as a user would run it."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import Final

from celery import Celery

from bench.figures import Part
from bench.processes import cpu_seconds, memory
from bench.sizes import Size
from bench.stage import Stage, stage
from cli.stack.servers import Servers

LATENCY: Final = {"latency-ms": 500, "latency-spread": 0}
IN_FLIGHT: Final = 1000
COUNTED: Final = (0.25, 0.85)
"""The part of the answers that is measured: the start and the tail are not the steady state."""
CELERY: Final = {
    "prefork": ["-P", "prefork", "-c", "32"],
    "threads": ["-P", "threads", "-c", "500"],
}
TITLES: Final = {
    "bare": "bare loop",
    "mill": "mill",
    "prefork": "Celery prefork -c 32",
    "threads": "Celery threads -c 500",
}
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """One way of calling, measured from outside."""

    way: str
    """A key of TITLES."""
    jobs_per_second: float
    own_cpu: float
    """Milliseconds a job of the calling processes."""
    base_cpu: dict[str, float]
    """The same of Postgres and Valkey."""
    memory: int
    """Bytes of the calling processes while they are busy."""


async def throughput(servers: Servers, size: Size) -> Part:
    """All ways in turn; the mill and the bare loop alternate."""
    rates: list[Rate] = []
    for _ in range(size.rounds):
        rates.append(await _measured(servers, "bare", size.jobs, bare_loop))
        rates.append(await _measured(servers, "mill", size.jobs, the_mill))
    for kind, jobs in (("threads", size.threads_jobs), ("prefork", size.prefork_jobs)):
        rates.append(await _measured(servers, kind, jobs, celery_of(kind)))
    part = Part(
        f"{size.jobs} jobs of 500 ms, {IN_FLIGHT} in flight (Celery: its own -c); CPU in ms a job",
        ["way", "jobs/s", "CPU", "Postgres", "Valkey", "memory, MB"],
    )
    for rate in rates:
        base = [rate.base_cpu["postgres"], rate.base_cpu["valkey"]]
        part.rows.append(
            [TITLES[rate.way], rate.jobs_per_second, rate.own_cpu, *base, rate.memory / MB]
        )
    part.figures = _figures(rates)
    return part


Start = Callable[[Stage, int], Awaitable[subprocess.Popen[bytes]]]


async def bare_loop(on: Stage, jobs: int) -> subprocess.Popen[bytes]:
    """A process that calls and does nothing else."""
    argv = ["bench.bare", on.mill.simulator_url, str(jobs), str(IN_FLIGHT)]
    return on.mill.spawn("bare", argv)


async def the_mill(on: Stage, jobs: int) -> subprocess.Popen[bytes]:
    """One worker with everything on."""
    worker = await on.start_worker(IN_FLIGHT)
    await on.fill(jobs)
    return worker


def celery_of(kind: str) -> Start:
    """A Celery worker of one pool, its tasks queued before it starts."""

    async def start(on: Stage, jobs: int) -> subprocess.Popen[bytes]:
        await asyncio.to_thread(_send, on.servers.redis_url, jobs)
        argv = ["celery", "-q", "-A", "bench.baseline", "worker", "-E", "-l", "WARNING"]
        return on.mill.spawn(kind, [*argv, *CELERY[kind], "-n", f"{kind}@bench"])

    return start


def _send(redis_url: str, jobs: int) -> None:
    with Celery("sender", broker=redis_url) as app, app.producer_or_acquire() as producer:
        for number in range(jobs):
            app.send_task("bench.baseline.complete", (number,), producer=producer)


async def _measured(servers: Servers, way: str, jobs: int, start: Start) -> Rate:
    async with stage(servers) as on:
        await on.mill.start_simulator(**LATENCY)
        process = await start(on, jobs)
        pids = {**on.base, "own": process.pid}
        first = await _mark(on, round(jobs * COUNTED[0]), pids)
        busy = memory(process.pid)
        last = await _mark(on, round(jobs * COUNTED[1]), pids)
        on.retire([process])
    answered = last[1] - first[1]
    cpu = {name: (last[2][name] - first[2][name]) / answered * 1000 for name in pids}
    return Rate(way, answered / (last[0] - first[0]), cpu.pop("own"), cpu, busy)


async def _mark(
    on: Stage, answers: int, pids: dict[str, int]
) -> tuple[float, int, dict[str, float]]:
    """When so many were answered: the time, the exact number, everybody's CPU seconds."""
    stats = await on.until("answered", answers)
    used = {name: cpu_seconds(pid) for name, pid in pids.items()}
    return monotonic(), int(stats["answered"]), used


def _figures(rates: list[Rate]) -> dict[str, float]:
    """The mill's median against the median of each other way."""
    speeds: dict[str, list[float]] = {}
    for rate in rates:
        speeds.setdefault(rate.way, []).append(rate.jobs_per_second)
    mill = median(speeds.pop("mill"))
    return {way: mill / median(found) for way, found in speeds.items()}
