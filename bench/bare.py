"""The bare loop: `python -m bench.bare URL JOBS IN_FLIGHT`, no queue and no record."""

import asyncio
import gc
import sys

import httpx2
import openai
import uvloop

from tests.mill import MAX_TOKENS, MODEL

GC_THRESHOLD = (50_000, 20, 50)
"""The worker's own tuning: the comparison is about the mill, not about the collector."""


async def call_all(url: str, jobs: int, in_flight: int) -> None:
    """AsyncOpenAI.create() over aiohttp, so many at once."""
    client = openai.AsyncOpenAI(
        api_key="none",
        base_url=f"{url}/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        ),
    )
    numbers = iter(range(jobs))

    async def call_in_turn() -> None:
        for number in numbers:
            await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"question {number}"}],
                max_completion_tokens=MAX_TOKENS,
            )

    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    await asyncio.gather(*(call_in_turn() for _ in range(in_flight)))
    await client.close()


if __name__ == "__main__":
    uvloop.run(call_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
