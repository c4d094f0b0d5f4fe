"""Real servers for every test: one Postgres and one Valkey a session, a database a test."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest
import redis
from sqlalchemy import text

from cli.stack.servers import Servers
from shared.db.engine import Database
from shared.db.migrate import migrate
from tests.databases import TEMPLATE, own_database
from tests.environment import environment
from tests.life import WORKER, Life

NUMBERS = count()
LONGEST = (
    "tests/walk/",
    "tests/faults/",
    "tests/money/",
    "tests/deploy/",
    "tests/sdk/test_old_openai.py",
)
"""What takes minutes a file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest go first: of several processes none is left alone with them in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Both servers, started once by the same launcher as `promptmill up`."""
    with Servers.temporary() as servers:
        migrate(servers.create_database(TEMPLATE))
        yield servers


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """A migrated database of the test's own, in SQLAlchemy's form."""
    with own_database(servers, f"test_{next(NUMBERS)}") as url:
        yield url


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """The session's Valkey, emptied."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture
def environ(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of a process that serves this test."""
    return environment(database_url, redis_url)


@pytest.fixture
async def life(database_url: str) -> AsyncIterator[Life]:
    """A database with two tenants and one worker."""
    database = Database(database_url)
    life = Life(database)
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO tenants (id, name) VALUES ('ten_a', 'a'), ('ten_b', 'b')")
        )
    await life.register(WORKER)
    yield life
    await database.close()
