"""Let go of what was kept as long as the settings say."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.batches import drop_old_batches
from shared.db.engine import Database
from shared.db.files import drop_expired_files
from shared.db.prune import Batch, Part, prune, prune_events
from shared.db.rollup import prune_minutes
from shared.domain.clock import Clock
from shared.settings import RetentionSettings

log = structlog.get_logger(__name__)

ROUNDS: Final = 100
"""Batches per visit; the next visit goes on."""
PAUSE: Final = 0.05
"""Seconds between two batches: jobs come first."""

PruneRows = Callable[[AsyncConnection, datetime], Awaitable[int]]
"""Lets go of some rows that are older; how many."""


class Pruner:
    """Prunes by the retention settings."""

    def __init__(self, database: Database, retention: RetentionSettings, clock: Clock) -> None:
        self._database = database
        self._days = {
            Part.JOBS: retention.job_days,
            Part.CONTENTS: retention.payload_days,
        }
        self._rows = {
            prune_minutes: retention.usage_minute_days,
            prune_events: retention.event_days,
            drop_old_batches: retention.job_days,
            drop_expired_files: 0.0,
        }
        self._clock = clock

    async def visit(self) -> None:
        """One round of everything. Raises database errors: the next round repeats it."""
        for part, days in self._days.items():
            if days is not None:
                await self._prune(part, timedelta(days=days))
        for prune_rows, days in self._rows.items():
            if days is not None:
                await self._prune_rows(prune_rows, timedelta(days=days))

    async def _prune(self, part: Part, age: timedelta) -> None:
        cutoff, count, batch = self._clock.now() - age, 0, Batch(0, "")
        for _ in range(ROUNDS):
            async with self._database.transaction() as connection:
                found = await prune(connection, part, cutoff, after=batch.after)
            if found is None:
                break
            batch, count = found, count + found.count
            await asyncio.sleep(PAUSE)
        if count:
            log.info("pruned", what=part.value, count=count)

    async def _prune_rows(self, prune_rows: PruneRows, age: timedelta) -> None:
        cutoff = self._clock.now() - age
        for _ in range(ROUNDS):
            async with self._database.transaction() as connection:
                if not await prune_rows(connection, cutoff):
                    return
            await asyncio.sleep(PAUSE)
