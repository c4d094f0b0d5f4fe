"""The list of budgets as this process knows it."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.book import Book
from shared.db.budgets import read_budgets, read_version
from shared.db.engine import Database


class OtherBudgetsError(RuntimeError):
    """Since jobs were made, other budgets send them elsewhere: they are made anew."""


class BudgetBook:
    """The list that this process read last; every submission asks whether it still holds."""

    def __init__(self) -> None:
        self._book = Book()

    async def known(self, database: Database) -> Book:
        """As it was read last."""
        if self._book.version is None:
            async with database.transaction() as connection:
                self._book = Book.of(await read_budgets(connection))
        return self._book

    async def still(self, connection: AsyncConnection, book: Book, tenant_id: str) -> Book:
        """As `of_now`. Raises OtherBudgetsError where jobs made by `book` would be other ones."""
        now = await self.of_now(connection)
        if now is not book and now.downgrades(tenant_id) != book.downgrades(tenant_id):
            raise OtherBudgetsError
        return now

    async def of_now(self, connection: AsyncConnection) -> Book:
        """As this transaction sees it, with what it has written itself."""
        if await read_version(connection) == self._book.version:
            return self._book
        # It may hold what is never committed, and is not kept: `known` reads it anew.
        self._book = Book()
        return Book.of(await read_budgets(connection))
