"""A misbehaving provider, and the real adapter that calls it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from tests.adapters.canned import Canned, canned
from tests.simulator.process import Simulator, running_simulator
from worker.adapters.openai import OpenAIAdapter
from worker.adapters.openai_client import FamilyAdapter
from worker.adapters.transport import Connections

Open = Callable[..., FamilyAdapter]


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
async def provider() -> AsyncIterator[Canned]:
    """A server that answers as it is told."""
    async with canned() as said:
        yield said


@pytest.fixture
async def open_adapter() -> AsyncIterator[Open]:
    """Makes adapters; each is closed with the test."""
    adapters: list[FamilyAdapter] = []

    def make(
        url: str,
        *,
        adapter_class: Callable[..., FamilyAdapter] = OpenAIAdapter,
        path: str = "/v1",
        key: str | None = "sk-ours",
        connect: float = 5.0,
        **more: Any,
    ) -> FamilyAdapter:
        adapter = adapter_class(
            base_url=url + path,
            key=SecretStr(key) if key else None,
            connections=Connections(10),
            connect_timeout=connect,
            clock=Noon(),
            **more,
        )
        adapters.append(adapter)
        return adapter

    yield make
    for adapter in adapters:
        await adapter.close()
