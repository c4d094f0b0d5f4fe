"""Calls by the real Anthropic adapter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from shared.domain.conversation import Message, Role
from shared.domain.generation import Delta, GenerationRequest
from tests.adapters.conftest import Noon
from worker.adapters.anthropic import AnthropicAdapter
from worker.adapters.base import Answer, CallError
from worker.adapters.transport import Connections

MODEL = "claude-sonnet-5-5"
REQUEST = GenerationRequest(
    model=MODEL, messages=(Message(role=Role.USER, content="Why tea?"),), max_tokens=50_000
)


def adapter_of(url: str, *, key: str | None = "sk-ours") -> AnthropicAdapter:
    """To be closed by its maker."""
    return AnthropicAdapter(
        base_url=url,
        key=SecretStr(key) if key else None,
        connections=Connections(10),
        connect_timeout=5.0,
        clock=Noon(),
    )


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AnthropicAdapter]:
    """An adapter, closed behind its use."""
    adapter = adapter_of(url)
    try:
        yield adapter
    finally:
        await adapter.close()


async def call(
    adapter: AnthropicAdapter, timeout: float = 10.0, told: list[Delta] | None = None
) -> Answer:
    """With `told`, the call is streamed."""
    return await adapter.complete(
        REQUEST,
        model=MODEL,
        attempt_id="att_1",
        timeout=timeout,
        told=told.append if told is not None else None,
    )


async def failure(
    adapter: AnthropicAdapter, timeout: float = 10.0, told: list[Delta] | None = None
) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(adapter, timeout, told)
    return caught.value
