"""How many calls the living workers can hold, by queue."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import workers


class Fleet:
    """The capacity of each queue, as of the dispatcher's last look."""

    def __init__(self) -> None:
        self._capacity: dict[str, int] = {}

    async def count(self, connection: AsyncConnection) -> None:
        """Look who lives."""
        self._capacity = await workers.capacity(connection)

    def capacity(self, queue: str) -> int:
        """Slots of all living workers that consume this queue."""
        return self._capacity.get(queue, 0)
