"""Processes are replaced one by one under load: no request fails, no call is billed twice."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from socket import socket
from subprocess import Popen
from time import monotonic
from typing import Any

import httpx2
import pytest

from tests.api.conftest import make_key
from tests.mill import MODEL, Mill, eventually, running_mill, seeded

RESTARTS = int(os.environ.get("PROMPTMILL_RESTARTS", "3"))
CLIENTS = 8
LATENCY_MS = 800
AT_ONCE = 0.3
GRACE_SECONDS = 5
"""What a local stack gives its API for requests on the way."""


@dataclass
class Fleet:
    """Two API processes at addresses of their own, and the workers of a mill."""

    mill: Mill
    key: str
    ports: tuple[int, int]
    apis: dict[int, Popen[bytes]] = field(default_factory=dict)
    workers: list[Popen[bytes]] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    """Seconds that each API took to go."""

    def address(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"

    async def start_api(self, number: int) -> None:
        argv = ["uvicorn", "api.main:create", "--factory", "--port", str(self.ports[number]),
                "--log-level", "warning", "--no-access-log",
                "--timeout-graceful-shutdown", str(GRACE_SECONDS)]  # fmt: skip
        process = self.mill.spawn(f"api{number}", argv)
        self.apis[number] = process

        async def answers() -> bool:
            assert process.poll() is None, self.mill.log(f"api{number}")
            try:
                async with httpx2.AsyncClient() as client:
                    reply = await client.get(f"{self.address(number)}/healthz")
            except httpx2.TransportError:
                return False
            return bool(reply.status_code == 200)

        await eventually("the API answers", answers)

    async def replace_api(self, number: int) -> None:
        began = monotonic()
        self.apis[number].terminate()
        await asyncio.to_thread(self.apis[number].wait, 30)
        self.stops.append(monotonic() - began)
        await self.start_api(number)

    async def replace_worker(self) -> None:
        """The new one first: there is always somebody to take work."""
        self.workers.append(await self.mill.start_worker(slots=50))
        leaving = self.workers.pop(0)
        leaving.terminate()
        assert await asyncio.to_thread(leaving.wait, 40) == 0, "a worker did not leave in order"


class Caller:
    """A client that tries every request once more, at the other address."""

    def __init__(self, fleet: Fleet) -> None:
        headers = {"authorization": f"Bearer {fleet.key}"}
        self._clients = [
            httpx2.AsyncClient(base_url=fleet.address(number), headers=headers, timeout=30)
            for number in (0, 1)
        ]
        self._turn = cycle((0, 1))
        self.requests = 0
        self.retried: list[str] = []
        self.failed: list[str] = []
        self.broken: list[str] = []
        """Requests that were taken and then not answered, or with an error of ours."""

    async def call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        first = next(self._turn)
        self.requests += 1
        for number, complaints in ((first, self.retried), (1 - first, self.failed)):
            began = monotonic()
            try:
                reply = await self._clients[number].request(method, path, **request)
                if reply.status_code < 500:
                    return dict(reply.raise_for_status().json())
                told = f"{method} {path}: {reply.status_code} {reply.text}"
                self.broken.append(told)
            except httpx2.TransportError as error:
                took = monotonic() - began
                told = f"{method} {path} after {took:.3f} s: {error!r}"
                # A request that meets the end of an idle connection is nobody's fault.
                if took > AT_ONCE and not isinstance(error, httpx2.ConnectError):
                    self.broken.append(told)
            complaints.append(told)
        return {}

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def load(caller: Caller, prompts: Iterator[int]) -> AsyncIterator[list[str]]:
    """Clients that submit a job and wait for it, one after the other; the accepted ids."""
    accepted: list[str] = []
    over = asyncio.Event()

    async def one_client() -> None:
        while not over.is_set():
            number = next(prompts)
            headers = {"idempotency-key": f"key {number}"}
            job = await caller.call("POST", "/api/v1/jobs", json=body(number), headers=headers)
            if not job:
                continue
            accepted.append(job["id"])
            state = job["state"]
            while not over.is_set() and state not in {"succeeded", "failed", "expired"}:
                path = f"/api/v1/jobs/{job['id']}"
                state = (await caller.call("GET", path, params={"wait": 20})).get("state")

    clients = [asyncio.create_task(one_client()) for _ in range(CLIENTS)]
    try:
        yield accepted
    finally:
        over.set()
        await asyncio.gather(*clients)


def body(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}]
    request = {"model": MODEL, "messages": messages, "max_tokens": 20}
    return {"request": request, "rehearse": True, "lane": "interactive"}


@asynccontextmanager
async def running_fleet(database_url: str, redis_url: str) -> AsyncIterator[Fleet]:
    async with running_mill(database_url, redis_url) as mill:
        yield Fleet(mill, await make_key(database_url, "a"), free_ports())


def free_ports() -> tuple[int, int]:
    with socket() as one, socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.mark.timeout(120 + 30 * RESTARTS)
async def test_a_rolling_restart_under_load_is_seen_by_nobody(
    database_url: str, redis_url: str
) -> None:
    seeded()
    async with running_fleet(database_url, redis_url) as fleet:
        mill = fleet.mill
        await mill.start_simulator(**{"latency-ms": LATENCY_MS})
        for number in (0, 1):
            await fleet.start_api(number)
        fleet.workers.append(await mill.start_worker(slots=50))
        caller = Caller(fleet)
        async with load(caller, count()) as accepted:
            for step in range(RESTARTS):
                before = len(accepted)
                if step % 3 == 1:
                    await fleet.replace_worker()
                else:
                    await fleet.replace_api(step % 3 // 2)

                async def goes_on(before: int = before) -> bool:
                    return len(accepted) >= before + CLIENTS

                await eventually("jobs go on", goes_on)
        await caller.close()
        states = await mill.all_final()
        assert caller.failed == []
        assert caller.broken == []
        assert states["succeeded"] == len(accepted) == len(set(accepted))
        assert max(fleet.stops) < GRACE_SECONDS, "a waiting request held an API up"
        attempts = (await mill.life.one("SELECT count(*) AS n FROM attempts")).n
        assert len(mill.ledger()) == attempts == len(accepted), "a call was billed twice"
        await mill.check(accepted)


async def test_who_waits_for_a_job_is_answered_before_the_api_goes(
    database_url: str, redis_url: str
) -> None:
    async with running_fleet(database_url, redis_url) as fleet:
        await fleet.start_api(0)
        headers = {"authorization": f"Bearer {fleet.key}"}
        async with httpx2.AsyncClient(
            base_url=fleet.address(0), headers=headers, timeout=30
        ) as client:
            job = (await client.post("/api/v1/jobs", json=body(1))).json()
            asked = client.get(f"/api/v1/jobs/{job['id']}", params={"wait": 25})
            waiting = asyncio.create_task(asked)
            await asyncio.sleep(0.5)  # nothing tells from outside that a request waits
            began = monotonic()
            fleet.apis[0].terminate()
            reply = await waiting
        assert (reply.status_code, reply.json()["state"]) == (200, "queued")
        assert reply.headers["connection"] == "close"
        assert monotonic() - began < GRACE_SECONDS / 2
        await asyncio.to_thread(fleet.apis[0].wait, GRACE_SECONDS)
        assert fleet.mill.log("api0") == ""
