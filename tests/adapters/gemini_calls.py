"""Calls by the real Gemini adapter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from shared.domain.conversation import Message, Role
from shared.domain.generation import Delta, GenerationRequest
from tests.adapters.conftest import Noon
from worker.adapters.base import Answer, CallError
from worker.adapters.gemini import GeminiAdapter
from worker.adapters.transport import Connections

MODEL = "gemini-3.8-flash"
REQUEST = GenerationRequest(
    model="ours", messages=(Message(role=Role.USER, content="Why tea? ☕"),), max_tokens=50
)


@asynccontextmanager
async def opened(
    url: str, *, key: str | None = "ours", connect: float = 5.0
) -> AsyncIterator[GeminiAdapter]:
    """An adapter, closed behind its use."""
    adapter = GeminiAdapter(
        base_url=f"{url}/gemini",
        key=SecretStr(key) if key else None,
        connections=Connections(10),
        connect_timeout=connect,
        clock=Noon(),
        api_version="v1beta",
    )
    try:
        yield adapter
    finally:
        await adapter.close()


async def call(
    adapter: GeminiAdapter,
    told: list[Delta] | None = None,
    *,
    request: GenerationRequest = REQUEST,
    timeout: float = 10.0,
) -> Answer:
    """With `told`, the call is streamed."""
    return await adapter.complete(
        request,
        model=MODEL,
        attempt_id="att_1",
        timeout=timeout,
        told=None if told is None else told.append,
    )


async def failure(
    adapter: GeminiAdapter, told: list[Delta] | None = None, **options: Any
) -> CallError:
    """How the call fails."""
    with pytest.raises(CallError) as caught:
        await call(adapter, told, **options)
    return caught.value
