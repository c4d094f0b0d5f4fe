"""Many jobs with Flower open: `python -m bench.flower [JOBS]`.

None may be lost, Flower must have counted all, and no process may grow with their number.
"""

import asyncio
import socket
import subprocess
import sys
from dataclasses import dataclass
from time import monotonic
from typing import Final

import httpx2
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from bench import machine
from bench.processes import cpu_seconds, memory
from bench.stage import Stage, stage
from cli.stack.servers import Servers
from shared.db.migrate import migrate
from tests.databases import TEMPLATE
from tests.mill import eventually

JOBS: Final = 100_000
QUARTERS: Final = 4
IN_FLIGHT: Final = 300
LATENCY: Final = {"latency-ms": 50, "latency-spread": 0.2}
CREDENTIALS: Final = ("promptmill", "a password for one run")
WORKER: Final = "worker0@bench"
LOOK_SECONDS: Final = 2.0
"""Between two looks of the person who has Flower open."""
MB: Final = 1_000_000
MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Look:
    """Every process at one moment."""

    answered: int
    seconds: float
    memory: dict[str, int]
    """Bytes, by process."""
    cpu: dict[str, float]
    """Seconds so far, by process."""


def main() -> None:
    """Run once and tell; exit code 1 when something was lost or miscounted."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    console = Console()
    console.print(machine.describe(), highlight=False)
    with Servers.temporary(fsync=True) as servers:
        migrate(servers.create_database(TEMPLATE))
        sys.exit(asyncio.run(watched(servers, jobs, console)))


async def watched(servers: Servers, jobs: int, console: Console) -> int:
    """Let them run, look at each quarter, and compare Flower's counts with the database's."""
    async with stage(servers) as here:
        await here.mill.start_simulator(**LATENCY)
        simulator = here.mill.processes[-1]
        flower, url = await start_flower(here)
        worker = await here.start_worker(IN_FLIGHT)
        pids = {
            "worker": worker.pid,
            "flower": flower.pid,
            "simulator": simulator.pid,
            **here.base,
        }
        async with httpx2.AsyncClient(base_url=url, auth=CREDENTIALS, timeout=30) as http:
            person = asyncio.create_task(_look_now_and_then(http))
            looks = await _run(here, jobs, pids)
            person.cancel()
            await here.mill.all_final(within=60)
            events = await _settled(http, jobs)
            problems = await _problems(here, jobs, events)
    _show(looks, console)
    console.print(f"Flower's events: {events}", highlight=False)
    for problem in problems:
        console.print(f"wrong: {problem}", highlight=False)
    return bool(problems)


async def start_flower(here: Stage) -> tuple[subprocess.Popen[bytes], str]:
    """Flower as the local stack starts it, and its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flower = here.mill.spawn(
        "flower",
        ["celery", "-A", "worker.flower", "flower"],
        FLOWER_PORT=str(port),
        FLOWER_BASIC_AUTH=":".join(CREDENTIALS),
    )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        async with httpx2.AsyncClient() as client:
            try:
                return bool((await client.get(f"{url}/healthcheck")).status_code == 200)
            except httpx2.TransportError:
                return False

    await eventually("Flower answers", answers)
    return flower, url


async def _look_now_and_then(http: httpx2.AsyncClient) -> None:
    """A person with the list of tasks and the workers' page open."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await http.get("/workers", params={"json": "1"})
        await http.get("/api/tasks", params={"limit": "50", "sort_by": "-received"})


async def _run(here: Stage, jobs: int, pids: dict[str, int]) -> list[Look]:
    began = monotonic()

    def look(answered: int) -> Look:
        return Look(
            answered,
            monotonic() - began,
            {name: memory(pid) for name, pid in pids.items()},
            {name: cpu_seconds(pid) for name, pid in pids.items()},
        )

    looks = [look(0)]
    await here.fill(jobs)
    await here.settle()
    for quarter in range(1, QUARTERS + 1):
        stats = await here.until("answered", jobs * quarter // QUARTERS)
        looks.append(look(int(stats["answered"])))
    return looks


async def _settled(http: httpx2.AsyncClient, jobs: int) -> dict[str, int]:
    """Flower's counters once it has heard of the last job, or after ten seconds."""
    deadline = monotonic() + 10
    while True:
        counted = await _events(http)
        if counted.get("task-succeeded", 0) >= jobs or monotonic() > deadline:
            return counted
        await asyncio.sleep(0.5)


async def _events(http: httpx2.AsyncClient) -> dict[str, int]:
    rows = (await http.get("/workers", params={"json": "1"})).json()["data"]
    [row] = [row for row in rows if row["hostname"] == WORKER]
    return {name: count for name, count in row.items() if name.startswith("task-")}


async def _problems(here: Stage, jobs: int, events: dict[str, int]) -> list[str]:
    """What does not agree: the database, the simulator and Flower."""
    statement = text("SELECT count(*) FILTER (WHERE state = 'succeeded') FROM jobs")
    async with here.mill.database.transaction() as connection:
        succeeded = (await connection.execute(statement)).scalar_one()
    counts = {
        "jobs that succeeded": succeeded,
        "answers of the simulator": await here.answered(),
        **{f"Flower's {name}": count for name, count in events.items() if name != "task-sent"},
    }
    return [f"{count} {name}, not {jobs}" for name, count in counts.items() if count != jobs]


def _show(looks: list[Look], console: Console) -> None:
    table = Table("jobs", "jobs/s", *looks[0].memory, title="memory in MB")
    for before, now in zip([looks[0], *looks], looks, strict=False):
        done, seconds = now.answered - before.answered, now.seconds - before.seconds
        rate = f"{done / seconds:.0f}" if done else ""
        table.add_row(str(now.answered), rate, *(f"{b / MB:.0f}" for b in now.memory.values()))
    console.print(table)
    first, last = looks[0], looks[-1]
    costs = (
        f"{name} {(last.cpu[name] - first.cpu[name]) * MS / last.answered:.2f}" for name in last.cpu
    )
    console.print(f"CPU in ms a job: {', '.join(costs)}", highlight=False)


if __name__ == "__main__":
    main()
