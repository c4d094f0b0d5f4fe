"""Let go of what was kept as long as the settings say."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from shared.db.engine import Database
from shared.db.prune import Batch, Part, prune
from shared.db.rollup import prune_minutes
from shared.domain.clock import Clock
from shared.settings import RetentionSettings

log = structlog.get_logger(__name__)

ROUNDS: Final = 100
"""Batches per visit; the next visit goes on."""
PAUSE: Final = 0.05
"""Seconds between two batches: jobs come first."""


class Pruner:
    """Prunes by the retention settings."""

    def __init__(self, database: Database, retention: RetentionSettings, clock: Clock) -> None:
        self._database = database
        self._days = {
            Part.JOBS: retention.job_days,
            Part.CONTENTS: retention.payload_days,
        }
        self._minute_days = retention.usage_minute_days
        self._clock = clock

    async def visit(self) -> None:
        """One round of everything. Raises database errors: the next round repeats it."""
        for part, days in self._days.items():
            if days is not None:
                await self._prune(part, timedelta(days=days))
        if self._minute_days is not None:
            await self._prune_minutes(timedelta(days=self._minute_days))

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

    async def _prune_minutes(self, age: timedelta) -> None:
        cutoff = self._clock.now() - age
        for _ in range(ROUNDS):
            async with self._database.transaction() as connection:
                if not await prune_minutes(connection, cutoff):
                    return
            await asyncio.sleep(PAUSE)
