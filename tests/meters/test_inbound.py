"""Requests a minute of callers: a bucket of as many, refilled evenly, all of several or none."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.meters.inbound import Inbound
from shared.redis_client import connect_redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


async def test_a_minutes_requests_may_come_at_once_and_no_more(redis: Redis) -> None:
    inbound = Inbound(redis)
    taken = [await inbound.take({"key_a": 5}) for _ in range(6)]
    assert [each.granted for each in taken] == [True] * 5 + [False]
    assert [each.remaining for each in taken] == [4, 3, 2, 1, 0, 0]
    assert taken[0].limit == 5
    assert taken[4].reset == pytest.approx(60, abs=1)
    assert taken[5].wait == pytest.approx(12, abs=1)


async def test_a_bucket_refills_evenly_and_a_full_one_is_forgotten(redis: Redis) -> None:
    inbound = Inbound(redis)
    each_second = {"key_a": 60}
    while (refused := await inbound.take(each_second)).granted:
        pass
    assert 0 < refused.wait <= 1
    await asyncio.sleep(refused.wait)
    assert (await inbound.take(each_second)).granted
    await inbound.take({"key_b": 60_000})
    await asyncio.sleep(0.01)
    assert await redis.keys("pm:inbound:*") == ["pm:inbound:key_a"]


async def test_a_request_is_taken_from_tenant_and_key_or_from_neither(redis: Redis) -> None:
    inbound = Inbound(redis)
    both = {"ten_a": 3, "key_a": 2}
    assert [(await inbound.take(both)).granted for _ in range(3)] == [True, True, False]
    other = [await inbound.take({"ten_a": 3, "key_b": 2}) for _ in range(2)]
    # The refused one took nothing of the tenant's.
    assert [each.granted for each in other] == [True, False]
    assert (other[1].limit, other[1].remaining) == (3, 0)


async def test_many_at_once_get_exactly_the_limit(redis: Redis) -> None:
    inbound = Inbound(redis)
    taken = await asyncio.gather(*(inbound.take({"ten_a": 6}) for _ in range(60)))
    assert sum(each.granted for each in taken) == 6
