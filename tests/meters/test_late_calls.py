"""A call that is sent long after its grant counts from when it is sent."""

import asyncio
from time import monotonic
from typing import Final

import pytest
from redis.asyncio import Redis

from shared.catalog.deployments import Deployment
from shared.meters.counting import Want
from shared.meters.meter import SENTINEL, Meter
from tests.meters.asking import PLENTY, QUEUE, deployment, wants

WINDOW: Final = 1.0
LATE: Final = 0.5


@pytest.fixture
def place() -> Deployment:
    """One call in any second."""
    return deployment(requests=1, window=WINDOW, margin=0.05)


async def granted(meter: Meter, place: Deployment) -> Want:
    """Wait for a permit; what asked for it."""
    [want] = wants(1)
    while not (grant := await meter.acquire(place, QUEUE, PLENTY, [want])).granted:
        await asyncio.sleep(max(grant.wait, 0.001))
    return want


async def test_nobody_follows_a_late_call_before_a_whole_window(
    meter: Meter, place: Deployment
) -> None:
    late = await granted(meter, place)
    await asyncio.sleep(LATE)
    assert await meter.recount(place, late, LATE) == 0.0
    sent = monotonic()
    await granted(meter, place)
    assert monotonic() - sent >= WINDOW


async def test_a_call_in_time_stays_where_it_was_granted(meter: Meter, place: Deployment) -> None:
    early = await granted(meter, place)
    at = monotonic()
    assert await meter.recount(place, early, 0.001) == 0.0
    # Redis has the last word: whoever cannot tell the age asks.
    assert await meter.recount(place, early, 10.0) == 0.0
    await asyncio.sleep(LATE)
    await granted(meter, place)
    assert WINDOW <= monotonic() - at < WINDOW + LATE


async def test_a_question_about_a_young_call_leaves_the_count_as_it_is(
    meter: Meter, redis: Redis
) -> None:
    place = deployment(requests=100, window=0.2, margin=0.5)
    await redis.set(SENTINEL, 1)
    await meter.acquire(place, QUEUE, PLENTY, wants(3))
    await asyncio.sleep(0.35)
    [young] = wants(1)
    await meter.acquire(place, QUEUE, PLENTY, [young])
    await asyncio.sleep(0.1)  # the first three have left the window
    assert await meter.recount(place, young, 10.0) == 0.0
    await meter.acquire(place, QUEUE, 0, wants(1))
    assert await redis.hget(f"pm:gauge:{place.id}:requests", "used") == "1"


async def test_a_call_whose_place_another_has_waits_for_one_of_its_own(
    meter: Meter, place: Deployment
) -> None:
    late = await granted(meter, place)
    await granted(meter, place)
    sent = monotonic()
    wait = await meter.recount(place, late, 1.0)
    assert 0 < wait < WINDOW / 0.94
    while wait:
        await asyncio.sleep(wait)
        wait = await meter.recount(place, late, 2.0)
    assert monotonic() - sent >= WINDOW - LATE / 10


async def test_a_call_that_redis_forgot_waits_as_if_the_window_were_used_up(
    meter: Meter, place: Deployment, redis: Redis
) -> None:
    late = await granted(meter, place)
    await redis.flushall()
    forgot = monotonic()
    wait = await meter.recount(place, late, LATE)
    assert 0 < wait < WINDOW / 0.94
    while wait:
        await asyncio.sleep(wait)
        wait = await meter.recount(place, late, LATE)
    assert monotonic() - forgot >= WINDOW
    assert await meter.recount(place, wants(1)[0], LATE) > 0
