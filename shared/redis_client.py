"""Connections to Redis, with timeouts short enough that a frozen Redis stops nobody."""

from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

COMMAND_TIMEOUT: Final = 2.0
"""Seconds for any command but a blocking one."""


def connect_redis(
    url: str,
    *,
    max_connections: int = 16,
    timeout: float = COMMAND_TIMEOUT,
    met: Callable[[], None] | None = None,
) -> Redis:
    """A client that fails after `timeout` seconds and never retries by itself.

    `met` hears of every new connection: what the server had before may be lost.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        # What is no text comes as it can: one strange value must not fail a pipeline of others.
        encoding_errors="replace",
        redis_connect_func=_greeting(met) if met else None,
    )
    return Redis.from_pool(pool)


def _greeting(met: Callable[[], None]) -> Callable[[Connection], Awaitable[None]]:
    async def greet(connection: Connection) -> None:
        await connection.on_connect()
        met()

    return greet
