"""Connections that end while they rest in a pool."""

import pytest
from sqlalchemy import text

from shared.db.engine import ANY_USE, Database, Use
from tests.life import Life

BACKEND = text("SELECT pg_backend_pid()")


@pytest.mark.parametrize("use", [ANY_USE, Use(by_ids=True, alone=True)])
async def test_a_connection_that_the_server_closed_is_made_anew_unnoticed(
    life: Life, database_url: str, use: Use
) -> None:
    database = Database(database_url, pool_size=1, use=use)

    async def backend() -> int:
        async with database.transaction() as connection:
            return int((await connection.execute(BACKEND)).scalar_one())

    first = await backend()
    assert await backend() == first
    ended = await life.one("SELECT pg_terminate_backend(:pid, 5000) AS it", pid=first)
    assert ended.it
    assert await backend() != first
    await database.close()
