"""How many calls the living workers can hold, whom they can call, and how those do."""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db import workers
from shared.db.reach import Reach, read_reach
from shared.db.vitals import read_habits, read_vitals
from shared.routing.costs import Habits
from shared.routing.strategies import Vitals

WATCHED_SECONDS: Final = 60.0
"""So long after somebody asked for them the vitals are read at each look."""
HABITS_SECONDS: Final = 10.0
"""So long the habits are believed that were read."""
NEVER: Final = float("-inf")


class Fleet:
    """The capacity of each queue, who is closed and how they do, as of the last look."""

    def __init__(self) -> None:
        self._capacity: dict[str, int] = {}
        self._reach = Reach(living=(), off={})
        self._in_flight: dict[str, int] = {}
        self._watched_at = NEVER
        self.vitals = Vitals(in_flight=self._in_flight)
        self._compared_at = self._habits_at = NEVER
        self.habits = Habits()

    async def count(self, connection: AsyncConnection) -> None:
        """Look who lives, and who is closed."""
        self._capacity = await workers.capacity(connection)
        self._reach = await read_reach(connection)
        if monotonic() - self._watched_at < WATCHED_SECONDS:
            seen = await read_vitals(connection)
            self._in_flight = dict(seen.in_flight)
            self.vitals = replace(seen, in_flight=self._in_flight)
        now = monotonic()
        if now - self._compared_at < WATCHED_SECONDS and now - self._habits_at > HABITS_SECONDS:
            self.habits, self._habits_at = await read_habits(connection), now

    def open_of(self, plan: Sequence[Deployment]) -> tuple[Deployment, ...]:
        """Those for which a worker is ready and whose provider is switched on."""
        return tuple(each for each in plan if self._reach.open(each.provider))

    def capacity(self, queue: str) -> int:
        """Slots of all living workers that consume this queue."""
        return self._capacity.get(queue, 0)

    def watch_vitals(self) -> None:
        """Somebody chooses by them: read them from now on, for a while."""
        self._watched_at = monotonic()

    def watch_habits(self) -> None:
        """Somebody compares costs: read what answers are like from now on, for a while."""
        self._compared_at = monotonic()

    def placed(self, deployment_id: str) -> None:
        """One more call goes there, before the next look sees it."""
        self._in_flight[deployment_id] = self._in_flight.get(deployment_id, 0) + 1
