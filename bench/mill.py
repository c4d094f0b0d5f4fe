"""The mill against a bare loop on the same simulator: jobs per second and CPU per job.

Run by `make bench`; `ARGS=--jobs 2000` for a quick look. Figures are ratios within one run.
"""

import argparse
import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

import httpx2
import openai
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from cli.stack.servers import Servers
from shared.db.migrate import migrate
from tests.mill import MODEL, Mill, running_mill

LATENCY_MS = 500
IN_FLIGHT = 1000
TICKS_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """What one way of calling reached."""

    name: str
    jobs_per_second: float
    cpu_ms_per_job: float


async def bare_loop(mill: Mill, jobs: int) -> Figure:
    """AsyncOpenAI.create() over aiohttp, as many in flight, no queue, no record."""
    client = openai.AsyncOpenAI(
        api_key="none",
        base_url=f"{mill.simulator_url}/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        ),
    )
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def call(number: int) -> None:
        async with gate:
            await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"question {number}"}],
                max_completion_tokens=20,
            )

    began, cpu = monotonic(), process_time()
    await asyncio.gather(*(call(number) for number in range(jobs)))
    took, cpu = monotonic() - began, process_time() - cpu
    await client.close()
    return Figure("bare loop", jobs / took, cpu / jobs * 1000)


async def mill_run(mill: Mill, jobs: int) -> Figure:
    """One worker: release, meter, start, call, finish, ledger."""
    worker = await mill.start_worker(slots=IN_FLIGHT)
    began, cpu = monotonic(), cpu_seconds(worker.pid)
    await mill.submit(jobs)
    await mill.all_final(within=600)
    took, cpu = monotonic() - began, cpu_seconds(worker.pid) - cpu
    return Figure("mill", jobs / took, cpu / jobs * 1000)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def measure(mills: AbstractAsyncContextManager[Mill], jobs: int) -> list[Figure]:
    """Both ways in turn against one simulator."""
    async with mills as mill:
        await mill.start_simulator(**{"latency-ms": LATENCY_MS, "latency-spread": 0})
        return [await bare_loop(mill, jobs), await mill_run(mill, jobs)]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    jobs = parser.parse_args().jobs
    with Servers.temporary() as servers:
        url = servers.create_database("bench")
        migrate(url)
        figures = uvloop.run(measure(running_mill(url, servers.redis_url), jobs))
    bare = figures[0]
    print(f"{jobs} jobs, {LATENCY_MS} ms, {IN_FLIGHT} in flight\n")
    print(f"{'':<12}{'jobs/s':>10}{'ratio':>8}{'CPU ms/job':>14}{'ratio':>8}")
    for figure in figures:
        print(
            f"{figure.name:<12}{figure.jobs_per_second:>10.0f}"
            f"{figure.jobs_per_second / bare.jobs_per_second:>8.2f}"
            f"{figure.cpu_ms_per_job:>14.2f}{figure.cpu_ms_per_job / bare.cpu_ms_per_job:>8.2f}"
        )


if __name__ == "__main__":
    main()
