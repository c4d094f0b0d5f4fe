"""A misbehaving provider, and the real adapter that calls it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from tests.simulator.process import Simulator, running_simulator
from worker.adapters.openai import OpenAIAdapter

Open = Callable[..., OpenAIAdapter]


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("provider")) as simulator:
        yield simulator


@pytest.fixture
async def simulator(running: Simulator) -> Simulator:
    await running.post("reset", {})
    return running


@pytest.fixture
async def open_adapter() -> AsyncIterator[Open]:
    """Makes adapters; each is closed with the test."""
    adapters: list[OpenAIAdapter] = []

    def make(url: str, *, key: str | None = "sk-ours", connect: float = 5.0) -> OpenAIAdapter:
        adapter = OpenAIAdapter(
            base_url=f"{url}/v1",
            key=SecretStr(key) if key else None,
            connections=10,
            connect_timeout=connect,
            clock=Noon(),
        )
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        await adapter.close()
