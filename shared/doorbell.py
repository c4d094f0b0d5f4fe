"""Doorbells over Redis: hints that something happened; polling is the floor below them."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from enum import StrEnum
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

RECONNECT_SECONDS: Final = 0.5
RING_SECONDS: Final = 0.25
"""The longest that a caller is held up by a bell that does not answer."""


class Bell(StrEnum):
    """What happened; a ring names the routes or jobs that it happened to."""

    DUE = "pm:bell:due"
    """These routes have new work."""
    DONE = "pm:bell:done"
    """These interactive jobs have ended."""
    CANCEL = "pm:bell:cancel"
    """These jobs shall stop, or were stopped before they ran."""
    LOG = "pm:bell:log"
    """More was written to the logs of these jobs."""
    CREATE = "pm:bell:create"
    """A retry looks for its first try: who asks, the create, how often it was tried before."""


class Doorbell:
    """Ring and listen; a ring that is lost costs only the wait for the next poll."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ringing: set[asyncio.Task[None]] = set()

    def ring_soon(self, bell: Bell, names: Iterable[str]) -> None:
        """Ring without waiting for it: for whoever must not be held up at all."""
        task = asyncio.create_task(self.ring(bell, names))
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    async def ring(self, bell: Bell, names: Iterable[str]) -> None:
        """Tell whoever listens; never raises, never takes longer than RING_SECONDS."""
        try:
            async with asyncio.timeout(RING_SECONDS):
                await self._redis.publish(bell, "\n".join(names))
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("doorbell_silent", bell=bell.name, error=type(error).__name__)

    async def answers(self) -> bool:
        """Whether Redis is there. Raises RedisError or OSError when it is not."""
        return bool(await self._redis.ping())

    async def listen(self, *bells: Bell) -> AsyncGenerator[tuple[Bell, list[str]]]:
        """Every ring from now on; a lost connection is made anew for ever."""
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(*bells)
                    while True:
                        # The timeout only frees the socket read; no message is lost by it.
                        message = await subscription.get_message(
                            ignore_subscribe_messages=True, timeout=30.0
                        )
                        if message is not None:
                            yield Bell(message["channel"]), message["data"].split("\n")
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("doorbell_lost", error=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)


async def rings(bell: asyncio.Event, seconds: float) -> bool:
    """Wait for the bell; whether it rang in this time."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True
