"""One mill a test: a simulator without limits, workers as the test starts them."""

import os
from collections.abc import AsyncIterator

import pytest

from tests.mill import Mill, running_mill

ROUNDS = int(os.environ.get("PROMPTMILL_FAULT_ROUNDS", "2"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each fault: what happens in milliseconds is hit by chance."""
    if "fault_round" in metafunc.fixturenames:
        metafunc.parametrize("fault_round", range(ROUNDS))


@pytest.fixture
async def mill(database_url: str, redis_url: str, fault_round: int) -> AsyncIterator[Mill]:
    """`fault_round` only makes each test run ROUNDS times, each time with a seed of its own."""
    assert fault_round < ROUNDS
    async with running_mill(database_url, redis_url) as mill:
        await mill.start_simulator()
        yield mill
