"""The timers beside the jobs: wake the scheduled, rescue, sum up, alert, prune, forget."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from shared.db import workers
from shared.db.cancel import wake_scheduled
from shared.db.deliveries import drop_orphans
from shared.db.engine import Database
from shared.domain.clock import SystemClock
from shared.doorbell import Bell, Doorbell
from shared.settings import Settings
from worker.delivery.rounds import one_round
from worker.upkeep.alerter import Alerter
from worker.upkeep.pruner import Pruner
from worker.upkeep.rescuer import Rescuer
from worker.upkeep.roller import Roller

log = structlog.get_logger(__name__)

WAKE_SECONDS: Final = 0.5
ROLL_SECONDS: Final = 5.0
ALERT_SECONDS: Final = 1.0
ORPHAN_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 3600.0
PRUNE_SECONDS: Final = 600.0


class Sweeper:
    """Runs each timer until cancelled; no error ends one."""

    def __init__(
        self, database: Database, doorbell: Doorbell, rescuer: Rescuer, settings: Settings
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._timers: dict[Callable[[], Awaitable[None]], float] = {
            self._wake: WAKE_SECONDS,
            rescuer.sweep: settings.lease.heartbeat,
            Roller(database).visit: ROLL_SECONDS,
            Alerter(database, settings).visit: ALERT_SECONDS,
            self._drop_orphans: ORPHAN_SECONDS,
            self._forget: FORGET_SECONDS,
            Pruner(database, settings.retention, SystemClock()).visit: PRUNE_SECONDS,
        }

    async def run(self) -> None:
        """All timers, side by side."""
        async with asyncio.TaskGroup() as group:
            for work, seconds in self._timers.items():
                group.create_task(_every(seconds, work))

    async def _wake(self) -> None:
        async with self._database.transaction() as connection:
            routes = await wake_scheduled(connection)
        if routes:
            await self._doorbell.ring(Bell.DUE, routes)

    async def _drop_orphans(self) -> None:
        async with self._database.transaction() as connection:
            await drop_orphans(connection)

    async def _forget(self) -> None:
        async with self._database.transaction() as connection:
            await workers.forget(connection)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        # Many processes carry the same timers: jitter keeps them from meeting.
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        await one_round(work)
