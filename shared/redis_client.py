"""Connections to Redis, with timeouts short enough that a frozen Redis stops nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

COMMAND_TIMEOUT: Final = 2.0
"""Seconds for any command but a blocking one."""


class _Heeding(AbstractConnection):
    """A connection whose commands can be cancelled.

    The library sends by `asyncio.wait_for`, which before Python 3.12 loses a cancellation that
    comes in the instant of its success: whoever awaits the cancelled task then waits for ever.
    """

    async def send_packed_command(self, *command: Any, **how: Any) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(*command, **how)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


class _HeedingTcp(_Heeding, Connection):
    """To a host and a port."""


class _HeedingTls(_Heeding, SSLConnection):
    """The same, encrypted."""


class _HeedingUnix(_Heeding, UnixDomainSocketConnection):
    """To a socket of this machine."""


HEEDING: Final[Mapping[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: _HeedingTcp,
    SSLConnection: _HeedingTls,
    UnixDomainSocketConnection: _HeedingUnix,
}
"""By the library's own, which it chooses by the address."""


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
    pool.connection_class = HEEDING[pool.connection_class]
    return Redis.from_pool(pool)


def _greeting(met: Callable[[], None]) -> Callable[[Connection], Awaitable[None]]:
    async def greet(connection: Connection) -> None:
        await connection.on_connect()
        met()

    return greet
