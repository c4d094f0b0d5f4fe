"""Redis may stop, freeze or forget under a quota: no try is spent, and nobody is sent too early."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import redis

from cli.stack.servers import Servers
from shared.domain.clock import SystemClock
from tests.databases import own_database
from tests.mill import Mill
from tests.quota.arrivals import arrivals, jitter
from tests.quota.limits import Limits, limited_mill
from tests.quota.stillness import Measured, missed_on_a_still_machine

LIMITS: Final = Limits(requests=300, tokens=12_000)
FORGIVEN: Final = (0.105, 0.21, 0.42)
"""Seconds of jitter: windows of 3, 6 and 12 s, of which they are the part that the margin is."""
WINDOWS: Final = 4
"""So many are filled."""
LATER: Final = 60
"""Jobs that are accepted while Redis is away."""
LONGER: Final = 1.0
"""Seconds by which an outage is longer than a window."""


async def stopped(mill: Mill, servers: Servers, outage: float) -> list[str]:
    """Killed; its memory is gone when it comes back."""
    servers.kill_valkey()
    accepted = await mill.submit(LATER)
    await asyncio.sleep(outage)  # the outage itself: its length is the fault, not a wait
    servers.start_valkey()
    return accepted


async def frozen(mill: Mill, servers: Servers, outage: float) -> list[str]:
    """It answers nobody, and then goes on where it was."""
    servers.pause_valkey()
    try:
        accepted = await mill.submit(LATER)
        await asyncio.sleep(outage)  # as above
    finally:
        servers.resume_valkey()
    return accepted


async def flushed(mill: Mill, _: Servers, __: float) -> list[str]:
    """It forgets everything in the middle of its work."""
    with redis.Redis.from_url(mill.environ["REDIS_URL"]) as client:
        client.flushall()
    return await mill.submit(LATER)


Fault = Callable[[Mill, Servers, float], Awaitable[list[str]]]


@pytest.mark.timeout(480)  # the longer windows of a second and third run
@pytest.mark.parametrize("fault", [stopped, frozen, flushed])
async def test_the_meters_memory_comes_back_before_the_first_grant(
    servers: Servers, redis_url: str, fault: Fault
) -> None:
    async def measure(forgiven: float) -> Measured:
        limits = LIMITS.forgiving(forgiven)
        with own_database(servers, f"without_{forgiven:.2f}") as database_url:
            async with limited_mill(database_url, redis_url, limits) as mill:
                return await _lose(mill, servers, limits, fault)

    assert await missed_on_a_still_machine(measure, FORGIVEN) == []


async def _lose(mill: Mill, servers: Servers, limits: Limits, fault: Fault) -> Measured:
    """Some windows' work, and the fault in its middle."""
    await mill.start_workers(2, slots=50)
    accepted = await mill.submit(WINDOWS * limits.requests)
    await mill.in_state("succeeded", len(accepted) // 3)
    away = SystemClock().now().timestamp()
    accepted += await fault(mill, servers, limits.window + LONGER)
    back = SystemClock().now().timestamp()
    assert (await mill.all_final(within=240))["succeeded"] == len(accepted)
    # None was lost, and none of it counted as a try.
    await mill.check(accepted, rejected=None)
    tried = await mill.life.one("SELECT count(*) AS n FROM jobs WHERE tries > 0")
    assert tried.n == 0
    rejected = (await mill.stats())["rejected"]
    # What the fault or the way back from it held up is the mill's own, and no word of the machine.
    calm = back + limits.window
    found = [a for a in await arrivals(mill) if a.at < away or a.at - a.on_the_way > calm]
    return Measured([f"{rejected} rejected"] if rejected else [], jitter(found))
