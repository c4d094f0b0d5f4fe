"""One simulator for the tests of its wire; each finds it without limits, script and sums."""

from collections.abc import Iterator

import pytest

from simulator.limits import Limits
from tests.simulator.process import Simulator, running_simulator

UNLIMITED = Limits().model_dump()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(running: Simulator) -> Simulator:
    await running.post("reset", {})
    await running.limit(**UNLIMITED)
    return running
