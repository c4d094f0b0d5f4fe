"""When each key was last used: noted after the fact, in no request's way."""

import asyncio
from time import monotonic
from typing import Final

import structlog

from shared.db.engine import Database
from shared.db.keys import note_uses

log = structlog.get_logger(__name__)

EACH_SECONDS: Final = 60.0
"""A key is written down at most so often."""
GATHER_SECONDS: Final = 1.0
"""Others that are used meanwhile go into the same statement."""
MOST_KEYS: Final = 10_000


class KeyUses:
    """The keys that were used since they were last written down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._news = asyncio.Event()

    def note(self, key_id: str) -> None:
        """The key is used now."""
        now = monotonic()
        if now - self._noted.get(key_id, float("-inf")) <= EACH_SECONDS + GATHER_SECONDS:
            return
        if len(self._noted) >= MOST_KEYS:
            self._noted.clear()
        self._noted[key_id] = now
        self._waiting.add(key_id)
        self._news.set()

    async def run(self) -> None:
        """Write them down until cancelled; what cannot be written is noted at its next use."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            keys, self._waiting = self._waiting, set()
            try:
                async with self._database.transaction() as connection:
                    await note_uses(connection, keys, seconds=EACH_SECONDS)
            except Exception as error:  # noqa: BLE001 - the next use may be written
                for key_id in keys:
                    self._noted.pop(key_id, None)
                log.warning("key_uses_missed", error=type(error).__name__)
