"""Mills to which their providers are real: one for a module's tests, or one for a test alone."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from cli.stack.servers import Servers
from tests.databases import own_database
from tests.money.paying import Payments, paying_mill

NUMBERS = count()


@pytest.fixture
async def payments(database_url: str, redis_url: str) -> AsyncIterator[Payments]:
    """Six providers, and no worker yet."""
    async with paying_mill(database_url, redis_url) as payments:
        yield payments


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_payments(servers: Servers) -> AsyncIterator[Payments]:
    """The same for all tests of a module; each ends the workers that it starts."""
    with own_database(servers, f"money_{next(NUMBERS)}") as url:
        async with paying_mill(url, servers.redis_url) as payments:
            yield payments
