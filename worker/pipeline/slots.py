"""Concurrency slots on their way back: what Redis did not hear is told again."""

from collections.abc import Iterable

import structlog
from redis.exceptions import RedisError

from shared.meters.meter import Meter, Slot

log = structlog.get_logger(__name__)


class Slots:
    """Frees the slots of ended calls; those that an outage kept wait for the next chance.

    Without that they would count as taken until they expire, a minute later.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._owed: list[Slot] = []

    async def free(self, slots: Iterable[Slot]) -> None:
        """These calls have ended. Never raises for a Redis that is away."""
        self._owed += slots
        await self.settle()

    async def settle(self) -> None:
        """Tell Redis what it has not heard yet."""
        if not self._owed:
            return
        telling, self._owed = self._owed, []
        try:
            await self._meter.free(telling)
        except (RedisError, OSError) as error:
            self._owed += telling
            log.debug("slots_not_freed", count=len(telling), error=type(error).__name__)

    async def renew(self, in_flight: Iterable[Slot]) -> None:
        """These calls go on: their slots stay taken. Never raises for a Redis that is away."""
        await self.settle()
        try:
            await self._meter.renew(in_flight)
        except (RedisError, OSError) as error:
            log.debug("slots_not_renewed", error=type(error).__name__)
