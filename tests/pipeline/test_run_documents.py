"""A call whose request names documents: who is sent what, and what follows when there is none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from shared.catalog.load import load_catalog
from shared.domain.attempt import AttemptState
from shared.domain.clock import SystemClock
from shared.domain.failure import FailureKind
from shared.domain.generation import Delta, FinishReason, GenerationRequest, GenerationResult
from shared.domain.job import JobState
from shared.security.egress import Egress
from shared.settings import WorkerSettings
from tests.pipeline.attempts import attempt
from worker.adapters.base import Answer
from worker.pipeline.documents import Documents
from worker.pipeline.flights import Flight
from worker.pipeline.run import Steps, _decide

OURS = """
[providers.ours]
adapter = "openai"
base_url = "http://10.0.0.7:8000/v1"
models = ["gpt-4.1-mini"]
[providers.ours.prices]
"""
ANSWER = GenerationResult(content="A tree.", finish_reason=FinishReason.STOP, model="m", usage=None)


class Heard:
    """An adapter, a teller and all else that a call meets."""

    def __init__(self) -> None:
        self.sent: list[GenerationRequest] = []
        self.told: list[Delta] = []

    async def complete(self, request: GenerationRequest, **_: Any) -> Answer:
        self.sent.append(request)
        return Answer(ANSWER, None)


@pytest.fixture
async def site() -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.Response:
        found = request.path == "/a.png"
        return web.Response(status=200 if found else 503, body=b"abc", content_type="image/png")

    app = web.Application()
    app.add_routes([web.get("/{path}", serve)])
    runner = web.AppRunner(app)
    await runner.setup()
    port = unused_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@asynccontextmanager
async def steps(heard: Heard, folder: Path) -> AsyncIterator[Steps]:
    overlay = folder / "catalog.toml"
    overlay.write_text(OURS)
    ready = {"openai": heard, "ours": heard}
    async with Egress(allow_loopback=True) as egress:
        beside = SimpleNamespace(
            catalog=load_catalog(overlay),
            adapters=SimpleNamespace(ready=ready, missing={}),
            documents=Documents(egress),
            heartbeat=SimpleNamespace(sure=True),
            meter=SimpleNamespace(recount=in_time),
            teller=SimpleNamespace(
                ear=lambda _: heard.told.append, said=lambda _: bool(heard.told)
            ),
            clock=SystemClock(),
            settings=WorkerSettings(),
            failpoints=SimpleNamespace(passing=lambda _: None),
        )
        yield cast(Steps, beside)


async def in_time(*_: object) -> float:
    """The meter's word: the call may go."""
    return 0.0


def flight(deployment: str, url: str) -> Flight:
    image = {"type": "image", "url": url}
    said = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}
    asked = {"model": "gpt-4.1-mini", "messages": [said], "stream": True}
    return Flight(attempt(deployment=deployment, request=asked))


@pytest.mark.parametrize(
    ("deployment", "sent"),
    [("openai/gpt-4.1-mini", None), ("ours/gpt-4.1-mini", "data:image/png;base64,YWJj")],
)
async def test_a_server_inside_is_sent_the_bytes(
    site: str, tmp_path: Path, deployment: str, sent: str | None
) -> None:
    heard = Heard()
    async with steps(heard, tmp_path) as beside:
        decision = await _decide(flight(deployment, f"{site}/a.png"), beside, 0.0)
    assert decision.leaving.job_state is JobState.SUCCEEDED
    [request] = heard.sent
    image = request.messages[0].parts[1]
    assert getattr(image, "url", None) == (sent or f"{site}/a.png")
    assert heard.told == [Delta(text="A tree.")]


async def test_without_its_document_a_call_is_not_sent_and_costs_nothing(
    site: str, tmp_path: Path
) -> None:
    heard, flown = Heard(), flight("ours/gpt-4.1-mini", f"{site}/gone.png")
    async with steps(heard, tmp_path) as beside:
        decision = await _decide(flown, beside, 0.0)
    assert not flown.sent
    assert heard.sent == []
    leaving = decision.leaving
    assert (leaving.failure_kind, leaving.cost_nano) == (FailureKind.UNFETCHED, 0)
    assert (leaving.job_state, leaving.attempt_state) == (JobState.SCHEDULED, AttemptState.FAILED)
    assert decision.block_seconds == 0.0, "it is no fault of the provider"
