"""One simulator for the tests of its wire; each finds it without limits, script and sums."""

from collections.abc import Iterator

import pytest

from tests.simulator.process import Simulator, running_simulator

UNLIMITED = {"rpm": 0, "tpm": 0, "output_tpm": 0, "rpd": 0, "concurrency": 0, "window": 60.0}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("simulator")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(running: Simulator) -> Simulator:
    await running.post("reset", {})
    await running.limit(**UNLIMITED)
    return running
