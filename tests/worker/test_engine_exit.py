"""A worker that is told to go goes in time, whatever is away, and hands over what waits."""

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic

import pytest

from cli.stack.servers import Servers
from tests.mill import Mill, running_mill

DRAIN = 1.0
GO = {"PROMPTMILL_WORKER__DRAIN": str(DRAIN)}
LIMIT = DRAIN + 5 + 10 + 10
"""Drain and its grace, the stop, and the interpreter's own end on a busy machine."""


@pytest.fixture
async def mill(database_url: str, redis_url: str) -> AsyncIterator[Mill]:
    async with running_mill(database_url, redis_url) as mill:
        yield mill


def seconds_to_exit(worker: subprocess.Popen[bytes]) -> float:
    began = monotonic()
    worker.terminate()
    with suppress(subprocess.TimeoutExpired):
        worker.wait(LIMIT + 20)
    assert worker.poll() is not None, "the worker does not go"
    return monotonic() - began


async def test_an_idle_worker_goes_at_once(mill: Mill) -> None:
    worker = await mill.start_worker()
    assert seconds_to_exit(worker) < 5
    assert (await mill.life.one("SELECT state FROM workers")).state == "stopped"


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (Servers.pause_postgres, Servers.resume_postgres),
        (Servers.kill_postgres, Servers.start_postgres),
        (Servers.pause_valkey, Servers.resume_valkey),
    ],
    ids=["postgres frozen", "postgres dead", "valkey frozen"],
)
async def test_a_worker_with_calls_in_flight_goes_in_time_without_its_servers(
    mill: Mill,
    servers: Servers,
    away: Callable[[Servers], None],
    back: Callable[[Servers], None],
) -> None:
    await mill.start_simulator(**{"latency-ms": 3000, "latency-spread": 0.1})
    worker = await mill.start_worker(slots=20, **GO)
    accepted = await mill.submit(60)
    await mill.in_state("running", 20)
    away(servers)
    try:
        took = seconds_to_exit(worker)
    finally:
        back(servers)
    assert took < LIMIT, mill.log("worker0")
    await mill.start_worker()
    await mill.all_final()
    await mill.check(accepted)


async def test_messages_that_wait_for_room_go_to_another_worker(mill: Mill) -> None:
    """Two workers' slots are granted together; one of them gets more messages than it has room."""
    await mill.start_simulator(**{"latency-ms": 1500, "latency-spread": 0.1})
    leaving = await mill.start_worker(slots=20, **GO)
    accepted = await mill.submit(20)
    await mill.in_state("running", 20)
    second = await mill.start_worker(slots=200)
    accepted += await mill.submit(200)
    took = seconds_to_exit(leaving)
    assert took < LIMIT, mill.log("worker0")
    await mill.all_final(within=25)
    assert second.poll() is None
    await mill.check(accepted)
