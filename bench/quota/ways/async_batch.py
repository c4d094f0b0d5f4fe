"""async-batch-llm with the account's limit set and its cooldown fitted to the window."""

import asyncio
import importlib
import time
from collections import Counter
from typing import Any

from bench.quota.ways.race import MAX_TOKENS, MODEL, Finish, Race, messages, read, tell


async def main(race: Race) -> None:
    """One batch of all prompts; the library paces and retries."""
    library: Any = importlib.import_module("async_batch_llm")
    strategy = library.llm(
        f"openai-compatible:{MODEL}",
        base_url=f"{race.url}/v1",
        api_key="none",
        max_connections=race.at_once,
        generation_config={"max_tokens": MAX_TOKENS},
    )
    config = library.ProcessorConfig(
        concurrency=race.at_once,
        max_requests_per_minute=race.requests_per_minute,
        rate_limit=library.RateLimitConfig(
            cooldown_seconds=race.window, max_cooldown_seconds=race.window * 2
        ),
    )
    prompts = [messages(number)[0]["content"] for number in range(race.prompts)]
    began = time.monotonic()
    batch = await library.process_prompts(strategy, prompts, config=config)
    seconds = time.monotonic() - began
    failed = [each for each in batch.results if not each.success]
    causes = Counter(str(each.error)[:40] for each in failed)
    tell(Finish(seconds, race.prompts - len(failed), len(failed), dict(causes)))


if __name__ == "__main__":
    asyncio.run(main(read()))
