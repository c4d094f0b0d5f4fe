"""LiteLLM's Router with the account's limit set and many retries, in an environment of its own."""

import asyncio
import importlib
from typing import Any

from bench.quota.ways.race import MAX_TOKENS, MODEL, Race, messages, read, run, tell

TRIES = 6


async def main(race: Race) -> None:
    """One deployment whose limit the router knows."""
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    settings = {
        "model": f"openai/{MODEL}",
        "api_base": f"{race.url}/v1",
        "api_key": "none",
        "rpm": int(race.requests_per_minute),
        "max_retries": 0,
    }
    router = litellm.Router(
        model_list=[{"model_name": MODEL, "litellm_params": settings}],
        routing_strategy="usage-based-routing-v2",
        enable_pre_call_checks=True,
        num_retries=TRIES,
        set_verbose=False,
    )

    async def ask(number: int) -> Any:
        return await router.acompletion(
            model=MODEL, messages=messages(number), max_tokens=MAX_TOKENS
        )

    tell(await run(race, ask))


if __name__ == "__main__":
    asyncio.run(main(read()))
