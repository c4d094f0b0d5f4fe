"""A meter on a real Valkey that has been alive for a while."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.meters.meter import SENTINEL, Meter
from shared.redis_client import connect_redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def meter(redis: Redis) -> Meter:
    """Just after a loss of memory: its rates start empty."""
    meter = Meter(redis)
    await meter.rebuild([])
    return meter


@pytest.fixture
async def rested(redis: Redis, meter: Meter) -> Meter:
    """Redis remembers a long time in which nobody asked: its buckets are full."""
    seconds, _ = await redis.time()
    await redis.set(SENTINEL, (seconds - 1000) * 1_000_000)
    return meter
