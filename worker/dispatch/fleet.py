"""How many calls the living workers can hold, by queue, and whom they can call."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.deployments import Deployment
from shared.db import providers, workers


class Fleet:
    """The capacity of each queue and who is closed, as of the dispatcher's last look."""

    def __init__(self) -> None:
        self._capacity: dict[str, int] = {}
        self._closed: frozenset[str] = frozenset()

    async def count(self, connection: AsyncConnection) -> None:
        """Look who lives, and who is closed."""
        self._capacity = await workers.capacity(connection)
        self._closed = await providers.closed(connection)

    def open_of(self, plan: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        """Those that have a credential and whose provider is switched on."""
        if not self._closed:
            return plan
        return tuple(
            each
            for each in plan
            if each.id not in self._closed and each.provider.id not in self._closed
        )

    def capacity(self, queue: str) -> int:
        """Slots of all living workers that consume this queue."""
        return self._capacity.get(queue, 0)
