"""The database as it is seen through a wire that loses replies."""

from collections.abc import AsyncIterator

import pytest

from shared.db.engine import Database
from tests.wire import Wire, wire_to


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with wire_to(database_url) as wire:
        yield wire
        assert not wire.replies, "every loss that the test ordered has happened"


@pytest.fixture
async def lossy(wire: Wire) -> AsyncIterator[Database]:
    """The database as it is seen through the wire."""
    database = Database(wire.url)
    yield database
    await database.close()
