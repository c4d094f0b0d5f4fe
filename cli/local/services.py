"""The processes of a local stack above its databases, as services of the supervisor."""

import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2
from sqlalchemy import text

from cli.local.environment import Surroundings
from cli.stack.child import Command
from cli.stack.service import Service
from shared.broker.messages import ISOLATED_QUEUE, UPKEEP_QUEUE
from shared.catalog.limits import Limits
from shared.db.engine import Database

SLOTS: Final = 500
ISOLATED_SLOTS: Final = 4
REHEARSAL_LATENCY_MS: Final = 300
START_TIMEOUT: Final = 60.0
FLOWER_USER: Final = "promptmill"
HIDDEN_FROM_FLOWER: Final = {"DATABASE_URL", "PROMPTMILL_PEPPER"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What shall run."""

    workers: int = 1
    api_port: int
    simulator_port: int | None = None
    """None: no simulator."""
    flower_port: int | None = None
    """None: no Flower."""

    @property
    def api_url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def simulator_url(self) -> str | None:
        """Where the simulator listens, if it runs."""
        return f"http://127.0.0.1:{self.simulator_port}" if self.simulator_port else None

    @property
    def flower_url(self) -> str | None:
        """Where Flower listens, if it runs."""
        return f"http://127.0.0.1:{self.flower_port}" if self.flower_port else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What the services stand on: the databases' addresses and this installation's secrets."""

    database: Database
    surroundings: Surroundings
    settings: dict[str, str]
    """DATABASE_URL, REDIS_URL, the pepper."""
    flower_password: str
    since: str
    """The database's time before any worker of ours was started."""
    ledger: Path


def services(plan: Plan, foundation: Foundation) -> tuple[Service, ...]:
    """The API, the workers and the isolated one, side by side; simulator and Flower if wanted."""
    queues = ",".join([*foundation.surroundings.catalog().queues(), UPKEEP_QUEUE])
    settings = dict(foundation.settings)
    if plan.simulator_url:
        settings["PROMPTMILL_SIMULATOR_URL"] = plan.simulator_url
    plain = foundation.surroundings.for_child(keys=False, **settings)
    with_keys = foundation.surroundings.for_child(keys=True, **settings)
    workers = [
        _worker(f"worker{number}", queues, SLOTS, number, foundation, with_keys)
        for number in range(1, plan.workers + 1)
    ]
    workers.append(_worker("isolated", ISOLATED_QUEUE, ISOLATED_SLOTS, 1, foundation, with_keys))
    upper = [_api(plan, plain)]
    if plan.flower_port:
        flower = _flower(plan.flower_port, foundation, plain)
        # It asks the workers at its start who they are, and complains when nobody answers.
        upper.append(replace(flower, after=tuple(worker.name for worker in workers)))
    if plan.simulator_port is None:
        return (*upper, *workers)
    simulator = _simulator(plan.simulator_port, foundation, plain)
    # It stops after the workers: a call that they drain still gets its answer.
    drained = [replace(worker, after=(simulator.name,)) for worker in workers]
    return (*upper, simulator, *drained)


def _api(plan: Plan, env: dict[str, str]) -> Service:
    argv = [
        sys.executable, "-m", "uvicorn", "api.main:create", "--factory", "--host", "127.0.0.1",
        "--port", str(plan.api_port), "--no-access-log", "--log-level", "warning",
        "--timeout-graceful-shutdown", "5",
    ]  # fmt: skip
    return Service(
        name="api",
        command=Command(argv=argv, env=env),
        ready=_answers(f"{plan.api_url}/healthz"),
        start_timeout=START_TIMEOUT,
    )


def _flower(port: int, foundation: Foundation, env: dict[str, str]) -> Service:
    """Flower sees the broker; neither the database nor the pepper is its business."""
    own = {name: value for name, value in env.items() if name not in HIDDEN_FROM_FLOWER}
    own |= {
        "FLOWER_ADDRESS": "127.0.0.1",
        "FLOWER_PORT": str(port),
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{foundation.flower_password}",
    }
    argv = [sys.executable, "-m", "celery", "-q", "-A", "worker.flower", "flower"]
    return Service(
        name="flower",
        command=Command(argv=argv, env=own),
        ready=_answers(f"http://127.0.0.1:{port}/healthcheck"),
        start_timeout=START_TIMEOUT,
        vital=False,
    )


def _simulator(port: int, foundation: Foundation, env: dict[str, str]) -> Service:
    catalog = foundation.surroundings.catalog()
    limits = catalog.limits.get("simulator", Limits())
    flags = {
        "--port": port,
        "--ledger": foundation.ledger,
        "--rpm": limits.requests,
        "--tpm": limits.tokens,
        "--concurrency": limits.concurrency,
        "--window": limits.window,
        "--latency-ms": REHEARSAL_LATENCY_MS,
    }
    options = [str(part) for flag in flags.items() for part in flag]
    return Service(
        name="simulator",
        command=Command(argv=[sys.executable, "-m", "simulator", *options], env=env),
        ready=_answers(f"http://127.0.0.1:{port}/_sim/stats"),
        start_timeout=START_TIMEOUT,
    )


def _worker(
    name: str, queues: str, slots: int, number: int, foundation: Foundation, env: dict[str, str]
) -> Service:
    argv = [
        sys.executable, "-m", "celery", "-q", "-A", "worker.main", "worker", "-P", "custom",
        "-c", str(slots), "-Q", queues, "-n", f"{name}@%h", "-l", "WARNING",
    ]  # fmt: skip
    # A worker takes no queue of which it can call nobody; the last is no provider's.
    own_queue = queues.rpartition(",")[2]
    return Service(
        name=name,
        command=Command(argv=argv, env=env),
        ready=_registered(foundation, own_queue, number),
        start_timeout=START_TIMEOUT,
    )


def _answers(url: str) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def ready() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2.0) as client:
                return bool((await client.get(url)).status_code == 200)
        except httpx2.TransportError:
            return False

    return ready


def _registered(
    foundation: Foundation, queue: str, number: int
) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Whether so many workers of that queue have taken a lease since we began."""
    statement = text("""
        SELECT count(*) FROM workers WHERE state = 'alive' AND :queue = ANY(queues)
          AND started_at >= CAST(:since AS timestamptz)
    """)

    async def ready() -> bool:
        values = {"queue": queue, "since": foundation.since}
        async with foundation.database.transaction() as connection:
            return bool((await connection.execute(statement, values)).scalar_one() >= number)

    return ready
