"""A stream is a call that lasts: it holds its place, and is billed whoever hangs up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from tests.simulator.process import MODEL, Simulator, until

WORDS = "word " * 200
SLOW = {"do": {"content": WORDS, "slow_bytes": 0.02}}


@asynccontextmanager
async def streaming(simulator: Simulator, attempt_id: str) -> AsyncIterator[Any]:
    """A stream of which the first piece has come."""
    async with simulator.client() as client:
        stream: Any = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Why tea?"}],
            max_completion_tokens=1000,
            stream=True,
            extra_headers={"x-client-request-id": attempt_id},
        )
        async with stream:
            await anext(stream)
            yield stream


async def in_flight(simulator: Simulator, number: int) -> None:
    async def found() -> bool:
        return int((await simulator.stats())["in_flight"]) == number

    await until(found)


async def test_a_stream_holds_its_place_until_its_last_byte(simulator: Simulator) -> None:
    await simulator.limit(concurrency=1)
    await simulator.script(SLOW)
    async with streaming(simulator, "att_1") as stream:
        with pytest.raises(openai.RateLimitError):
            await simulator.ask()
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces).strip() == WORDS.strip()
    await simulator.script()
    assert (await simulator.ask()).choices
    stats = await simulator.stats()
    assert (stats["max_in_flight"], stats["in_flight"], stats["rejected"]) == (1, 0, 1)


async def test_a_stream_that_is_hung_up_leaves_its_place_and_its_bill(
    simulator: Simulator,
) -> None:
    await simulator.limit(concurrency=2)
    await simulator.script(SLOW)
    async with streaming(simulator, "att_gone"):
        await in_flight(simulator, 1)
    async with asyncio.timeout(3):
        await in_flight(simulator, 0)
    line = simulator.ledger()[-1]
    assert (line.client_request_id, line.outcome) == ("att_gone", "content")
    assert line.cost_nano > 0
    assert line.completion_tokens > 0
