"""A mill whose jobs have a policy: two stand-ins that do not know each other."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from shared.routing.stored import StoredPolicy
from tests.mill import Mill, running_mill

PRIMARY: Final = "simulator/gpt-4.1-mini"
FALLBACK: Final = "simulator-anthropic/claude-sonnet-5-5"
CATALOG: Final = """
[limits.simulator]
requests = 0
tokens = 0
[limits.simulator-anthropic]
requests = 0
tokens = 0
"""


@pytest.fixture
async def mill(database_url: str, redis_url: str) -> AsyncIterator[Mill]:
    async with running_mill(database_url, redis_url, catalog=CATALOG) as mill:
        await mill.start_simulator()
        yield mill


def policy(*candidates: str, **more: object) -> StoredPolicy:
    """As a job's row keeps it; the primary and then the fallback where none is named."""
    return StoredPolicy(candidates=candidates or (PRIMARY, FALLBACK), **more)  # type: ignore[arg-type]
