"""A whole mill of real processes for fault tests, and the checker of its invariants."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import redis
from sqlalchemy import text

from shared.catalog.deployments import REHEARSAL_PREFIX, Model
from shared.catalog.tokens import count_input
from shared.db.accept import NewJob
from shared.db.engine import Database, is_connection_loss
from shared.domain.conversation import Message, Role
from shared.domain.generation import GenerationRequest
from tests.environment import environment
from tests.invariants import check_invariants
from tests.life import Life, new_job

ROOT = Path(__file__).parents[1]
MODEL = "gpt-4.1-mini"
MAX_TOKENS = 20
ROUTE = f"{REHEARSAL_PREFIX}{MODEL}"
QUICK_LEASES = {
    "PROMPTMILL_LEASE__TTL": "3",
    "PROMPTMILL_LEASE__HEARTBEAT": "0.5",
    "PROMPTMILL_LEASE__UNSTARTED": "3",
    "PROMPTMILL_DISPATCH__HOLDER_TTL": "1.5",
    "PROMPTMILL_DISPATCH__POLL": "0.5",
}
UNLIMITED = "[limits.simulator]\nrequests = 0\ntokens = 0\n"
OTHER_WIRES = ("xai", "perplexity", "responses", "azure", "anthropic", "gemini")
ONE_WIRE = "".join(f'[providers.simulator-{name}]\nadapter = "none"\n' for name in OTHER_WIRES)
"""Each start of a worker loads the clients of all stand-ins that it has: 1.5 s of CPU for these."""
PLAIN = UNLIMITED + ONE_WIRE


async def eventually(
    what: str, check: Callable[[], Awaitable[Any]], *, within: float = 60.0
) -> Any:
    """Ask again and again until the answer is true; a database that is away is no answer."""
    deadline = monotonic() + within
    while True:
        try:
            if answer := await check():
                return answer
        except Exception as error:
            if not is_connection_loss(error):
                raise
        assert monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.05)


@dataclass
class Mill:
    """Simulator and workers as processes; the test is the client and the nemesis."""

    database: Database
    environ: dict[str, str]
    folder: Path
    simulator_url: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def life(self) -> Life:
        return Life(self.database)

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger.jsonl"

    def spawn(self, name: str, argv: Sequence[str], **environ: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    async def start_simulator(self, **options: str | float) -> None:
        ready = self.folder / f"simulator{len(self.processes)}.url"
        options = {"latency-ms": 100, "latency-spread": 0.5, "seed": 7, **options}
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        files = ["--ready-file", str(ready), "--ledger", str(self.ledger_path)]
        self.spawn("simulator", ["simulator", "--port", "0", *files, *flags])

        async def up() -> bool:
            return ready.exists()

        await eventually("the simulator listens", up)
        self.simulator_url = ready.read_text().strip()
        self.environ["PROMPTMILL_SIMULATOR_URL"] = self.simulator_url

    async def start_worker(
        self, *, queues: str = "openai,simulator,upkeep", slots: int = 200, **environ: str
    ) -> subprocess.Popen[bytes]:
        name = f"worker{len(self.workers)}"
        argv = ["celery", "-q", "-A", "worker.main", "worker", "-P", "custom", "-l", "WARNING"]
        worker = self.spawn(
            name, [*argv, "-c", str(slots), "-Q", queues, "-n", f"{name}@test"], **environ
        )
        self.workers.append(worker)

        async def registered() -> bool:
            ended = worker.poll() is not None
            known = "SELECT count(*) AS n FROM workers WHERE pid = :pid"
            there = (await self.life.one(known, pid=worker.pid)).n > 0
            assert there or not ended, self.log(name)
            return bool(there)

        await eventually("the worker registers", registered)
        return worker

    async def start_workers(self, number: int, *, slots: int) -> None:
        """So many at once: while one reads its modules, another can."""
        await asyncio.gather(*(self.start_worker(slots=slots) for _ in range(number)))

    async def start_isolated(self) -> subprocess.Popen[bytes]:
        return await self.start_worker(queues="isolated", slots=4)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-4000:]

    async def submit(self, number: int, **changes: Any) -> list[str]:
        """Accept so many jobs, each with a prompt of its own; their ids."""
        ids: list[str] = []
        for first in range(0, number, 1000):
            jobs = [question(i, **changes) for i in range(first, min(first + 1000, number))]
            ids += [accepted.job_id for accepted in await self.life.accept(*jobs)]
        return ids

    async def states(self) -> Counter[str]:
        async with self.database.transaction() as connection:
            rows = await connection.execute(text("SELECT state, count(*) FROM jobs GROUP BY 1"))
            return Counter({row.state: row.count for row in rows})

    async def in_state(self, state: str, at_least: int, *, within: float = 60.0) -> None:
        async def reached() -> bool:
            return (await self.states())[state] >= at_least

        await eventually(f"{at_least} jobs {state}", reached, within=within)

    async def all_final(self, *, within: float = 90.0) -> Counter[str]:
        async def none_open() -> bool:
            states = await self.states()
            return not any(states[s] for s in ("scheduled", "queued", "running"))

        try:
            await eventually("every job is final", none_open, within=within)
        except AssertionError as error:
            states = await self.states()
            logs = "\n".join(self.log(f"worker{i}") for i in range(len(self.workers)))
            raise AssertionError(f"{error}: {states}\n{logs}") from None
        return await self.states()

    async def holder(self) -> int:
        """The pid of the worker that dispatches the only route."""

        async def held() -> str | None:
            with redis.Redis.from_url(self.environ["REDIS_URL"], decode_responses=True) as client:
                keys = list(client.scan_iter("pm:holder:*"))
                return client.get(keys[0]) if keys else None

        worker_id = await eventually("somebody holds the route", held)
        row = await self.life.one("SELECT pid FROM workers WHERE id = :id", id=worker_id)
        return int(row.pid)

    async def script(self, *rules: dict[str, Any]) -> None:
        async with httpx2.AsyncClient() as client:
            url = f"{self.simulator_url}/_sim/script"
            (await client.post(url, json=list(rules))).raise_for_status()

    async def stats(self) -> dict[str, Any]:
        async with httpx2.AsyncClient() as client:
            stats: dict[str, Any] = (await client.get(f"{self.simulator_url}/_sim/stats")).json()
            return stats

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ledger_path.read_text().splitlines()]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                process.kill()
            process.wait()

    async def check(self, accepted: Sequence[str], *, rejected: int | None = 0) -> None:
        """I1 to I5 and I8, from outside: SQL, the simulator's ledger and its own counters.

        `rejected` is how many 429s there were to be; None: the caller looks at them itself.
        """
        stats = await self.stats()
        assert rejected in {None, stats["rejected"]}, stats
        await check_invariants(self.life, self.ledger(), accepted)


def counted_input(prompt: Message) -> int:
    """The tokens that the API counts for a chat of this one message."""
    request = GenerationRequest(model=MODEL, messages=(prompt,))
    return count_input(request, Model(id=MODEL, context_window=1_000_000))


def question(number: int, **changes: Any) -> NewJob:
    """A job with a prompt of its own, counted as the API counts it."""
    prompt = Message(role=Role.USER, content=f"question {number}")
    messages = [{"role": prompt.role, "content": prompt.content}]
    body = {"model": MODEL, "messages": messages, "max_tokens": MAX_TOKENS}
    counted = {"input_tokens": counted_input(prompt), "max_tokens": MAX_TOKENS}
    return new_job(**{"route": ROUTE, "request": json.dumps(body), **counted, **changes})


def seeded() -> random.Random:
    """Dice whose seed stands in the output of a failing test."""
    seed = int(os.environ.get("PROMPTMILL_TEST_SEED") or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"PROMPTMILL_TEST_SEED={seed}\n")
    return random.Random(seed)


@asynccontextmanager
async def running_mill(
    database_url: str, redis_url: str, *, catalog: str = PLAIN, **environ: str
) -> AsyncIterator[Mill]:
    """A mill without workers yet; every process of it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="mill-") as name:
        folder = Path(name)
        (folder / "catalog.toml").write_text(catalog)
        process_environ = environment(
            database_url,
            redis_url,
            CELERY_CUSTOM_WORKER_POOL="worker.pool:AsyncioPool",
            PROMPTMILL_CATALOG=str(folder / "catalog.toml"),
            **QUICK_LEASES,
            **environ,
        )
        database = Database(database_url)
        mill = Mill(database, process_environ, folder)
        async with database.transaction() as connection:
            await connection.execute(
                text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a'), ('ten_b', 'b')")
            )
        try:
            yield mill
        finally:
            mill.stop()
            await database.close()
