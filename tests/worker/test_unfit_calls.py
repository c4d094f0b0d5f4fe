"""A deployment that has no place for a request is never sent it, however the job came to it."""

import asyncio
from types import SimpleNamespace
from typing import Any

from shared.catalog.load import load_catalog
from shared.db.leave import Leaving
from shared.domain.clock import SystemClock
from shared.domain.failure import FailureKind
from shared.settings import WorkerSettings
from tests.pipeline.attempts import attempt
from worker.pipeline.flights import Flight
from worker.pipeline.run import run

SEARCHING = {
    "model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], "web_search": True,
}  # fmt: skip


async def test_what_an_adapter_would_leave_unsaid_goes_on_to_another_deployment() -> None:
    reports: list[Leaving] = []

    async def finish(leaving: Leaving) -> None:
        reports.append(leaving)

    flight = Flight(attempt(deployment="openai/gpt-4.1", request=SEARCHING, seconds_left=60.0))
    steps: Any = SimpleNamespace(
        catalog=load_catalog(),
        adapters=SimpleNamespace(ready={"openai": object()}, missing={}),
        heartbeat=SimpleNamespace(sure=True),
        finisher=SimpleNamespace(finish=finish),
        teller=SimpleNamespace(ear=lambda _: None, end=lambda _: None),
        slots=SimpleNamespace(ended=lambda *_, **__: None, forget=lambda _: None),
        meter=None,
        clock=SystemClock(),
        settings=WorkerSettings(),
    )
    async with asyncio.timeout(5):
        await run(flight, steps)
    [report] = reports
    assert (report.failure_kind, report.cost_nano) == (FailureKind.UNREACHABLE, 0)
    assert report.error == "openai/gpt-4.1 has no place for web_search"
    assert not flight.sent
