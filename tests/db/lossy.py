"""A database at the wire: it commits and loses the reply, or is refused, when told to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database


class Lossy(Database):
    """Each transaction takes the next from `replies`; without any it is an honest one."""

    replies: str = ""
    """A letter a transaction: `k`ept or `l`ost after the commit."""
    refusals: Sequence[type[psycopg.Error]] = ()
    """Errors that the next transactions get instead of their commit."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with super().transaction() as connection:
            yield connection
            if self.refusals:
                refusal, *self.refusals = self.refusals
                raise OperationalError("UPDATE", {}, refusal("refused"))
        reply, self.replies = self.replies[:1], self.replies[1:]
        if reply == "l":
            gone = psycopg.OperationalError("consuming input failed: server closed the connection")
            raise OperationalError("COMMIT", {}, gone, connection_invalidated=True)
