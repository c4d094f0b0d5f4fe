"""Take back what the silent left behind; runs on every worker's timer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from shared.catalog.current import CurrentCatalog
from shared.db import workers
from shared.db.cancel import expire_overdue
from shared.db.engine import Database
from shared.db.give_back import GivenBack, give_back_unstarted
from shared.db.leave import Left
from shared.meters.meter import Meter, Want
from shared.settings import LeaseSettings

log = structlog.get_logger(__name__)

ROUNDS: Final = 50
"""Batches per sweep, so that one sweep ends; the next goes on."""


class Rescuer:
    """Silent workers' attempts become unknown, unstarted ones go back, overdue jobs expire."""

    def __init__(
        self,
        database: Database,
        current: CurrentCatalog,
        meter: Meter,
        lease: LeaseSettings,
        told: Callable[[Sequence[Left]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._current = current
        self._meter = meter
        self._lease = lease
        self._told = told

    async def sweep(self) -> None:
        """One round of everything. Raises database and Redis errors: the next round repeats it."""
        await self._rescue()
        async with self._database.transaction() as connection:
            given = await give_back_unstarted(connection, older_than_seconds=self._lease.unstarted)
        await self._return_permits(given)
        async with self._database.transaction() as connection:
            given = await expire_overdue(connection)
        await self._return_permits(given)

    async def _rescue(self) -> None:
        async with self._database.transaction() as connection:
            lost = await workers.lose_silent(connection, self._lease.ttl)
        if lost:
            log.warning("workers_lost", workers=lost)
        for _ in range(ROUNDS):
            async with self._database.transaction() as connection:
                left = await workers.rescue(connection)
            if not left:
                return
            log.warning("attempts_rescued", count=len(left))
            await self._told(left)

    async def _return_permits(self, given: Sequence[GivenBack]) -> None:
        for permit in given:
            deployment = self._current.catalog.known(permit.deployment)
            if deployment is None:
                # Nobody asks the meter of a deployment that the catalog has no more.
                continue
            want = Want(permit.attempt_id, permit.permit_tokens, 0)
            await self._meter.give_back(deployment, permit.queue, [want])
