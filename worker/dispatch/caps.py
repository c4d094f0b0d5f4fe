"""Tenants and keys that may have only so many calls in flight, over all routes and workers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.caps import Cap, hold_left, left, read_caps
from shared.db.release import DueJob
from shared.domain.budget import Payer, Scope


@dataclass(slots=True)
class Room:
    """How many more calls each capped tenant and key may start."""

    left: Mapping[str, int] = field(default_factory=dict)
    caps: Mapping[str, Cap] = field(default_factory=dict)
    refused: int = 0
    """Jobs that found no room."""

    @property
    def full(self) -> list[Payer]:
        """The keys that may start none."""
        return [
            Payer(self.caps[id_].tenant_id, Scope.KEY, id_)
            for id_, number in self.left.items()
            if not number
        ]

    def fitting(self, jobs: Iterable[DueJob]) -> list[DueJob]:
        """The first of the jobs, in their order, that there is room for."""
        room = dict(self.left)
        fitting = []
        for job in jobs:
            capped = [id_ for id_ in (job.tenant_id, job.key_id) if id_ in room]
            if all(room[id_] for id_ in capped):
                fitting.append(job)
                for id_ in capped:
                    room[id_] -= 1
            else:
                self.refused += 1
        return fitting


class Caps:
    """Who is capped, as of the dispatcher's last look; what is left is counted at each turn.

    Where nobody is capped nothing is asked and nothing is locked.
    """

    def __init__(self) -> None:
        self._caps: dict[str, Cap] = {}

    async def look(self, connection: AsyncConnection) -> None:
        """See who is capped."""
        self._caps = await read_caps(connection)

    async def room(self, connection: AsyncConnection) -> Room:
        """What is left at this moment; others may take it meanwhile."""
        return Room(await left(connection, self._caps), self._caps) if self._caps else Room()

    async def within(self, connection: AsyncConnection, jobs: Sequence[DueJob]) -> set[str]:
        """The ids of those that may go in this transaction, and no cap is passed by it."""
        concerned = {id_ for job in jobs for id_ in (job.tenant_id, job.key_id)}
        caps = {id_: cap for id_, cap in self._caps.items() if id_ in concerned}
        room = Room(await hold_left(connection, caps), caps) if caps else Room()
        return {job.id for job in room.fitting(jobs)}
