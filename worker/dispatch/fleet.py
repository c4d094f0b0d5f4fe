"""How many calls the living workers can hold, by queue."""

from time import monotonic
from typing import Final

from shared.db import workers
from shared.db.engine import Database

FRESH_SECONDS: Final = 1.0


class Fleet:
    """The capacity of each queue, at most FRESH_SECONDS old."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._capacity: dict[str, int] = {}
        self._read_at = float("-inf")

    async def capacity(self, queue: str) -> int:
        """Slots of all living workers that consume this queue."""
        if monotonic() - self._read_at > FRESH_SECONDS:
            async with self._database.transaction() as connection:
                self._capacity = await workers.capacity(connection)
            self._read_at = monotonic()
        return self._capacity.get(queue, 0)
