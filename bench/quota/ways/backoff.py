"""The script that everybody writes first: a semaphore, and exponential backoff with jitter."""

import asyncio
import random
from typing import Any

import openai

from bench.quota.ways.race import MAX_TOKENS, MODEL, Race, messages, read, run, tell

TRIES = 6
FIRST, LONGEST = 1.0, 60.0
"""Seconds of the first wait and of the longest; each is drawn evenly from nothing up to it."""


async def main(race: Race) -> None:
    """Six tries a prompt, as the well-known recipe has it."""
    async with openai.AsyncOpenAI(
        api_key="none", base_url=f"{race.url}/v1", max_retries=0
    ) as client:

        async def ask(number: int) -> Any:
            for failures in range(TRIES):
                try:
                    return await client.chat.completions.create(
                        model=MODEL,
                        messages=messages(number),  # type: ignore[arg-type]
                        max_tokens=MAX_TOKENS,
                    )
                except openai.RateLimitError:
                    if failures == TRIES - 1:
                        raise
                    await asyncio.sleep(random.uniform(0, min(FIRST * 2**failures, LONGEST)))
            raise AssertionError

        tell(await run(race, ask))


if __name__ == "__main__":
    asyncio.run(main(read()))
