"""A batch that this process works on, for as long as it says so in time."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.batch_work import let_go, renew
from shared.db.engine import Database


class LostError(RuntimeError):
    """The batch has ended, or another process may have it: nothing more is done to it here."""


class Lease:
    """What one claim gave; every change to the batch goes by it."""

    def __init__(self, database: Database, row: Row[Any]) -> None:
        self._database = database
        self.row = row
        """The batch as it was seen last; `now` is the clock of Postgres then."""

    @property
    def held(self) -> Mapping[str, Any]:
        """What statements compare."""
        return {"id": self.row.id, "lease": self.row.lease_until}

    async def renew(self) -> Row[Any]:
        """Hold it anew; the batch as it stands. Raises LostError."""
        async with self.transaction() as connection:
            row = await renew(connection, self.row.id, self.row.lease_until)
        if row is None:
            raise LostError
        self.row = row
        return row

    async def let_go(self, seconds: float = 0.0) -> None:
        """Somebody may claim it, in so many seconds."""
        async with self.transaction() as connection:
            await let_go(connection, self.row.id, self.row.lease_until, seconds)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """For one step."""
        async with self._database.transaction() as connection:
            yield connection
