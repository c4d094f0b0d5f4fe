"""One set of limits for the catalog and the strict simulator, and who ignores them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Final

import httpx2
import openai

from tests.mill import MODEL, ONE_WIRE, Mill, running_mill

LATENCY: Final = 0.3
"""Seconds, the same for every call: the ledger's times then tell the arrivals."""
MAX_TOKENS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the simulator enforces and the catalog knows; 0 means no limit of that kind."""

    requests: int = 0
    tokens: int = 0
    concurrency: int = 0
    window: float = 3.0
    """Seconds: short, so that a run fills many."""
    margin: float = 0.035
    """The catalog's 0.005 of 60 s forgives 300 ms of jitter between release and arrival. Of 3 s
    it would forgive 15 ms, and two busy cores take longer to start a batch of calls: 60 ms were
    measured alone, 100 ms with neighbours. 0.035 of 3 s are 105 ms."""

    def forgiving(self, jitter: float) -> "Limits":
        """The same rate in windows of which so many seconds of jitter are the margin."""
        by = jitter / (self.margin * self.window)
        amounts = {"requests": round(self.requests * by), "tokens": round(self.tokens * by)}
        return replace(self, window=self.window * by, **amounts)

    @property
    def catalog(self) -> str:
        """The overlay for the mill."""
        lines = [f"{name} = {value}" for name, value in asdict(self).items()]
        return "\n".join(["[limits.simulator]", *lines, ONE_WIRE])

    @property
    def simulator(self) -> dict[str, str | float]:
        """The options for the simulator."""
        return {
            "rpm": self.requests,
            "tpm": self.tokens,
            "concurrency": self.concurrency,
            "window": self.window,
            "latency-ms": LATENCY * 1000,
            "latency-spread": 0,
        }


@asynccontextmanager
async def limited_mill(database_url: str, redis_url: str, limits: Limits) -> AsyncIterator[Mill]:
    """A mill and its warm simulator under these limits; no worker yet."""
    async with running_mill(database_url, redis_url, catalog=limits.catalog) as mill:
        await mill.start_simulator(**limits.simulator)
        # Its first count of tokens loads a vocabulary; that is no jitter of ours.
        await send_without_meter(mill, number=1, at_once=1)
        yield mill


async def send_without_meter(mill: Mill, *, number: int, at_once: int) -> int:
    """Send so many requests, so many at once, as anybody would; how many were rejected.

    The simulator then forgets them.
    """
    slots = asyncio.Semaphore(at_once)

    async def ask(client: openai.AsyncOpenAI, prompt: str) -> bool:
        async with slots:
            try:
                await client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": prompt}],
                    max_tokens=MAX_TOKENS,
                )
            except openai.RateLimitError:
                return False
            return True

    url = f"{mill.simulator_url}/v1"
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
        answered = await asyncio.gather(*(ask(client, f"question {i}") for i in range(number)))
    async with httpx2.AsyncClient() as control:
        (await control.post(f"{mill.simulator_url}/_sim/reset")).raise_for_status()
    mill.ledger_path.write_text("")
    return answered.count(False)
