"""A meter in front of a strict provider: nothing is refused, and the quota is used."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import monotonic
from typing import Final

import pytest
from redis.asyncio import Redis

from shared.catalog.deployments import Deployment
from shared.catalog.limits import Counting
from shared.domain.generation import Usage
from shared.meters.counting import RULES, Want
from shared.meters.meter import Meter
from tests.meters.asking import PLENTY, QUEUE, deployment, ended, wants

WINDOW: Final = 1.5
MARGIN: Final = 0.06
"""Of such a window: 90 ms that a busy machine may hold a call up."""
WINDOWS: Final = 6
INPUT, MOST = 50, 400
GROUP: Final = 20


@dataclass(slots=True)
class Strict:
    """A provider's sliding windows: what was counted when, by the limit's name."""

    limits: dict[str, int]
    counted: list[tuple[float, str, int]] = field(default_factory=list)
    refused: int = 0

    def within(self, name: str, end: float) -> int:
        return sum(
            amount for at, each, amount in self.counted if each == name and end - WINDOW < at <= end
        )

    def arrives(self, **amounts: int) -> None:
        """Refuse what is above a limit, and output that has been written up to its limit."""
        now = monotonic()
        over = [
            name for name, amount in amounts.items()
            if (limit := self.limits.get(name)) and self.within(name, now) + amount > limit
        ]  # fmt: skip
        self.refused += bool(over)
        self.counted += [(now, name, amount) for name, amount in amounts.items() if amount > 1]

    def writes(self, tokens: int) -> None:
        self.counted.append((monotonic(), "output_tokens", tokens))


Arrive = Callable[[Strict, Usage], None]
RULES_OF_PROVIDERS: Final[dict[str, tuple[Counting, dict[str, int], Arrive]]] = {
    "reserved": (
        Counting.RESERVED,
        {"tokens": 40_000},
        lambda strict, usage: strict.arrives(tokens=usage.input_tokens + MOST),
    ),
    "metered input": (
        Counting.METERED,
        {"input_tokens": 4_000},
        lambda strict, usage: strict.arrives(input_tokens=usage.input_tokens),
    ),
    "metered output": (
        Counting.METERED,
        {"output_tokens": 6_000},
        lambda strict, _: strict.arrives(output_tokens=1),
    ),
    "input": (
        Counting.INPUT,
        {"tokens": 4_000},
        lambda strict, usage: strict.arrives(tokens=usage.input_tokens),
    ),
}


async def call(want: Want, place: Deployment, meter: Meter, strict: Strict, arrive: Arrive) -> None:
    """One call: it arrives, takes its time, and is settled by its usage."""
    written = random.randint(30, 70)
    usage = Usage(input_tokens=random.randint(45, INPUT), output_tokens=written)
    arrive(strict, usage)
    await asyncio.sleep(random.uniform(0.05, 0.3))
    strict.writes(written)
    rule = RULES[place.limits.counts]
    used = rule.used(usage)
    made = {"input_tokens": rule.counted_input(usage), "output_tokens": written}
    await meter.settle([ended(want, place, used=used, **made)])


@pytest.mark.parametrize("name", RULES_OF_PROVIDERS)
async def test_nothing_is_refused_and_the_quota_is_used(
    rested: Meter, redis: Redis, name: str
) -> None:
    counts, limits, arrive = RULES_OF_PROVIDERS[name]
    place = deployment("m", counts=counts, window=WINDOW, margin=MARGIN, **limits)
    strict, began = Strict(limits), monotonic()
    async with asyncio.TaskGroup() as calls:
        while monotonic() < began + WINDOWS * WINDOW:
            asked = wants(GROUP, INPUT, most=MOST)
            grant = await rested.acquire(place, QUEUE, PLENTY, asked)
            for want in asked[: grant.granted]:
                calls.create_task(call(want, place, rested, strict, arrive))
            await asyncio.sleep(min(max(grant.wait, 0.005), 0.05))
    ((limit, amount),) = limits.items()
    ends = [began + WINDOW * number / 2 for number in range(4, 2 * WINDOWS)]
    shares = [strict.within(limit, end) / amount for end in ends]
    assert strict.refused == 0, shares
    assert max(shares) <= 1.0 + (limit == "output_tokens") * 0.05, shares
    assert median(shares) >= 0.85, shares
    assert await redis.hlen(f"pm:taken:{place.id}") == 0
