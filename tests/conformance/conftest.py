"""The simulator, and the real adapter of each target."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from google.auth.credentials import Credentials

from shared.catalog.deployments import Provider
from shared.domain.clock import SystemClock
from shared.domain.generation import Delta, GenerationRequest, GenerationResult
from shared.domain.ids import IdKind, new_id
from shared.settings import WorkerSettings
from simulator.ledger import LedgerLine
from tests.conformance.targets import Target
from tests.simulator.process import Simulator, running_simulator
from worker.adapters.base import Adapter, Answer, CallError
from worker.adapters.registry import DIALECTS

KEY = "CONFORMANCE_KEY"
SECONDS = 10.0


class Granted(Credentials):
    """What the machine's default credential is where there is one: a token."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = "a-token"

    def refresh(self, _: object) -> None:
        """It never ends."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One target's adapter and the simulator that it calls."""

    target: Target
    adapter: Adapter
    simulator: Simulator
    attempt_ids: list[str] = field(default_factory=list)
    """Of the calls so far."""

    async def answer(
        self,
        request: GenerationRequest,
        told: list[Delta] | None = None,
        *,
        seconds: float = SECONDS,
    ) -> Answer:
        """What it answers within so many seconds; with `told`, by a stream."""
        self.attempt_ids.append(new_id(IdKind.ATTEMPT))
        return await self.adapter.complete(
            replace(request, model=request.model or self.target.model),
            model=request.model or self.target.model,
            attempt_id=self.attempt_ids[-1],
            timeout=seconds,
            told=None if told is None else told.append,
        )

    async def result(self, request: GenerationRequest) -> GenerationResult:
        """The same without the provider's own words about it."""
        return (await self.answer(request)).result

    async def failure(
        self,
        request: GenerationRequest,
        told: list[Delta] | None = None,
        *,
        seconds: float = SECONDS,
    ) -> CallError:
        """How it fails; that it fails is the promise."""
        with pytest.raises(CallError) as failed:
            await self.answer(request, told, seconds=seconds)
        return failed.value

    async def idle(self) -> None:
        """Wait until the simulator has nothing of ours under way."""
        async with asyncio.timeout(SECONDS):
            while (await self.simulator.stats())["in_flight"]:
                await asyncio.sleep(0.02)

    def billed(self) -> list[LedgerLine]:
        """What the simulator would charge for the calls so far, in their order."""
        lines = {line.client_request_id: line for line in self.simulator.ledger()}
        return [lines[attempt_id] for attempt_id in self.attempt_ids if attempt_id in lines]


Open = Callable[[Target, str], Awaitable[Adapter]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running_simulator(tmp_path_factory.mktemp("providers")) as simulator:
        yield simulator


@pytest.fixture
async def open_target(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Makes the adapter of a target as a worker does; closed with the test."""
    monkeypatch.setenv(KEY, "sk-conformance")
    monkeypatch.setattr("google.auth.default", lambda **_: (Granted(), None))
    opened: list[Adapter] = []

    async def make(target: Target, base_url: str) -> Adapter:
        row = Provider(
            id="conformance",
            adapter=target.adapter,
            base_url=base_url,
            api_version=target.api_version,
            legacy_max_tokens=target.legacy_max_tokens,
            key_variables=(KEY,),
        )
        adapter = DIALECTS[target.adapter](row, 10, WorkerSettings(), SystemClock())
        opened.append(adapter)
        return adapter

    yield make
    for adapter in opened:
        await adapter.close()


@pytest.fixture
async def caller(target: Target, running: Simulator, open_target: Open) -> Caller:
    """The target of this test, on a simulator that has forgotten the test before."""
    await running.post("reset", {})
    return Caller(target, await open_target(target, running.url + target.path), running)
