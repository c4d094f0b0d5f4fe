"""Redis may stop, freeze or forget under a quota: no try is spent, and nobody is sent too early."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import redis

from cli.stack.servers import Servers
from tests.mill import Mill
from tests.quota.limits import Limits, limited_mill

LIMITS: Final = Limits(requests=300, tokens=12_000)
JOBS: Final = 1200
LATER: Final = 60
"""Jobs that are accepted while Redis is away."""
OUTAGE: Final = 4.0
"""Seconds: longer than a window, and than any of the pauses on the way."""


async def stopped(mill: Mill, servers: Servers, _: str) -> list[str]:
    """Killed; its memory is gone when it comes back."""
    servers.kill_valkey()
    accepted = await mill.submit(LATER)
    await asyncio.sleep(OUTAGE)  # the outage itself: its length is the fault, not a wait
    servers.start_valkey()
    return accepted


async def frozen(mill: Mill, servers: Servers, _: str) -> list[str]:
    """It answers nobody, and then goes on where it was."""
    servers.pause_valkey()
    try:
        accepted = await mill.submit(LATER)
        await asyncio.sleep(OUTAGE)  # as above
    finally:
        servers.resume_valkey()
    return accepted


async def flushed(mill: Mill, _: Servers, redis_url: str) -> list[str]:
    """It forgets everything in the middle of its work."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return await mill.submit(LATER)


Fault = Callable[[Mill, Servers, str], Awaitable[list[str]]]


@pytest.mark.parametrize("fault", [stopped, frozen, flushed])
async def test_the_meters_memory_comes_back_before_the_first_grant(
    servers: Servers, database_url: str, redis_url: str, fault: Fault
) -> None:
    async with limited_mill(database_url, redis_url, LIMITS) as mill:
        await mill.start_workers(2, slots=50)
        accepted = await mill.submit(JOBS)
        await mill.in_state("succeeded", JOBS // 3)
        accepted += await fault(mill, servers, redis_url)
        assert (await mill.all_final(within=120))["succeeded"] == len(accepted)
        # None was refused, none was lost, and none of it counted as a try.
        await mill.check(accepted)
        tried = await mill.life.one("SELECT count(*) AS n FROM jobs WHERE tries > 0")
        assert tried.n == 0
