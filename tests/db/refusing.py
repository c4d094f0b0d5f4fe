"""A database that refuses transactions when told to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database


class Refusing(Database):
    """Without refusals it is an honest one."""

    refusals: Sequence[type[psycopg.Error]] = ()
    """Errors that the next transactions get instead of their commit."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with super().transaction() as connection:
            yield connection
            if self.refusals:
                refusal, *self.refusals = self.refusals
                raise OperationalError("UPDATE", {}, refusal("refused"))
