"""A database with two tenants and one worker."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.db.engine import Database
from tests.life import WORKER, Life


@pytest.fixture
async def life(database_url: str) -> AsyncIterator[Life]:
    database = Database(database_url)
    life = Life(database)
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a'), ('ten_b', 'b')")
        )
    await life.register(WORKER)
    yield life
    await database.close()
