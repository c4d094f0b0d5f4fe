"""Whoever is cancelled while it talks to Redis ends at the first word."""

import asyncio
import random

from shared.redis_client import connect_redis

TIMES = 1000
A_COMMAND = 0.002
"""Seconds that some take: a cancellation comes before, in and after each step of one."""


async def test_a_cancellation_is_heard_at_any_moment_of_a_command(redis_url: str) -> None:
    redis = connect_redis(redis_url, max_connections=1)

    async def ask_for_ever() -> None:
        while True:
            await redis.ping()

    for _ in range(TIMES):
        asking = asyncio.create_task(ask_for_ever())
        await asyncio.sleep(random.uniform(0, A_COMMAND))
        asking.cancel()
        heard, _ = await asyncio.wait({asking}, timeout=5)
        assert heard, "asyncio.wait_for of Python 3.11 lost it"
    assert await redis.ping()
    await redis.aclose()
