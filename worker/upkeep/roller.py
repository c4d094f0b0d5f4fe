"""Sum up usage a few seconds after the calls end; of all workers one does it."""

import asyncio
from typing import Final

from shared.db.engine import Database
from shared.db.rollup import roll_up

BATCH: Final = 2000
ROUNDS: Final = 50
"""Batches per visit; the next visit goes on."""
PAUSE: Final = 0.05
"""Seconds between two batches: jobs come first."""


class Roller:
    """Adds the calls that closed to the sums of their minute and day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visit(self) -> None:
        """All that is there. Raises database errors: the next round repeats it."""
        for _ in range(ROUNDS):
            async with self._database.transaction() as connection:
                if not await roll_up(connection, limit=BATCH):
                    return
            await asyncio.sleep(PAUSE)
