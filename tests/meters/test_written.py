"""What counts when it is written: nothing is refused, the quota is used, on a clock of our own."""

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from shared.catalog.deployments import Deployment
from shared.catalog.limits import Counting
from shared.domain.generation import Usage
from shared.meters import meter as meters
from shared.meters.counting import RULES, Want
from shared.meters.meter import SENTINEL, Meter
from shared.meters.scripts import load_script
from tests.meters.asking import PLENTY, QUEUE, deployment, ended, wants

MICROS: Final = 1_000_000
LIMIT, WINDOW, MARGIN = 6000, 12.0, 0.00875
LATE: Final = MARGIN * WINDOW
"""Seconds that a call may be on its way."""
MOST: Final = 400
WINDOWS: Final = 15
AT_ONCE: Final = 60
RULE: Final = RULES[Counting.METERED]


@dataclass(frozen=True, slots=True)
class Calls:
    """What they are like, and what may become of them."""

    answers: tuple[int, int]
    """The least and the most tokens that one has."""
    latency: tuple[float, float]
    """Seconds from arrival to end."""
    refused: float
    used: float
    """Of the limit, at least."""


KINDS: Final = {
    "as in the benchmark": Calls((40, 60), (0.3, 0.3), refused=0.0, used=0.98),
    # How much the next one will have written that ends, and when, nobody knows: few come too early.
    "of any length": Calls((1, 100), (0.15, 0.45), refused=0.003, used=0.98),
    "slow and of any length": Calls((1, 100), (1.0, 6.0), refused=0.001, used=0.82),
}
SLOW: Final = KINDS["slow and of any length"]
Step = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class OwnClock:
    """Redis' time, as the meter's scripts read it."""

    redis: Redis
    now: float = 1e6

    async def turn_to(self, now: float) -> None:
        self.now = now
        await self.redis.hset(
            "own_clock", mapping={"seconds": int(now), "micros": int(now % 1 * MICROS)}
        )


@pytest.fixture
async def clock(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> OwnClock:
    """Scripts that are loaded from here on ask it instead of Redis."""

    def load_timed(client: Redis, *names: str) -> AsyncScript:
        text = load_script(client, *names).script
        assert isinstance(text, str)
        asked = "redis.call('HMGET', 'own_clock', 'seconds', 'micros')"
        assert "redis.call('TIME')" in text
        return client.register_script(text.replace("redis.call('TIME')", asked))

    monkeypatch.setattr(meters, "load_script", load_timed)
    clock = OwnClock(redis)
    await clock.turn_to(clock.now)
    return clock


@pytest.fixture
async def timed(clock: OwnClock) -> Meter:
    """A meter whose Redis remembers a long time in which nobody asked."""
    await clock.redis.set(SENTINEL, 1)
    return Meter(clock.redis)


@dataclass(slots=True)
class Course:
    """A dispatcher that asks again and again, and a provider that counts what it has written."""

    meter: Meter
    clock: OwnClock
    place: Deployment
    dice: random.Random
    calls: Calls
    written: list[tuple[float, int]] = field(default_factory=list)
    sent: int = 0
    refused: int = 0
    _steps: list[tuple[float, int, Step]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)

    async def run(self, seconds: float) -> None:
        """So long, from now on."""
        ends = self.clock.now + seconds
        self._at(self.clock.now, self._ask)
        while self._steps and self._steps[0][0] < ends:
            at, _, step = heappop(self._steps)
            await self.clock.turn_to(at)
            await step()

    def within(self, end: float) -> int:
        """What was written in the window before."""
        return sum(tokens for at, tokens in self.written if end - WINDOW < at <= end)

    def _at(self, moment: float, step: Step) -> None:
        heappush(self._steps, (moment, next(self._order), step))

    async def _ask(self) -> None:
        asked = wants(AT_ONCE, 50, most=MOST)
        grant = await self.meter.acquire(self.place, QUEUE, PLENTY, asked)
        for want in asked[: grant.granted]:
            slow = self.dice.random() < 0.02
            way = self.dice.uniform(0.04, LATE) if slow else 0.012 + self.dice.expovariate(100)
            self._at(self.clock.now + min(way, LATE), self._arrival(want))
        late = self.dice.uniform(0.003, 0.015)
        late += self.dice.uniform(0.05, 0.3) * (self.dice.random() < 0.001)
        self._at(self.clock.now + max(min(grant.wait, 1.0), 0.001) + late, self._ask)

    def _arrival(self, want: Want) -> Step:
        async def arrive() -> None:
            self.sent += 1
            # One token at least: of output nobody knows more yet.
            if self.within(self.clock.now) + 1 > LIMIT:
                self.refused += 1
                await self.meter.settle([ended(want, self.place, sent=False)])
            else:
                ends = self.clock.now + self.dice.uniform(*self.calls.latency)
                self._at(ends, self._end(want, self.dice.randint(*self.calls.answers)))

        return arrive

    def _end(self, want: Want, tokens: int) -> Step:
        async def settle() -> None:
            used = RULE.used(Usage(input_tokens=50, output_tokens=tokens))
            told = ended(want, self.place, used=used, input_tokens=50, output_tokens=tokens)
            await self.meter.settle([told])

        async def end() -> None:
            self.written.append((self.clock.now, tokens))
            self._at(self.clock.now + self.dice.uniform(0.004, 0.02), settle)

        return end


def anthropic() -> Deployment:
    return deployment(counts=Counting.METERED, output_tokens=LIMIT, window=WINDOW, margin=MARGIN)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_finds_the_window_full_and_it_is_used(
    timed: Meter, clock: OwnClock, kind: str, seed: int
) -> None:
    calls = KINDS[kind]
    course = Course(timed, clock, anthropic(), random.Random(seed), calls)
    began = clock.now
    await course.run(WINDOWS * WINDOW)
    used = [course.within(began + n * WINDOW) / LIMIT for n in range(3, WINDOWS)]
    assert course.refused <= calls.refused * course.sent, (course.refused, course.sent)
    assert sum(used) / len(used) >= calls.used, used


async def test_what_ended_or_never_does_has_left_the_window_after_two_more(
    timed: Meter, clock: OwnClock, redis: Redis
) -> None:
    course = Course(timed, clock, anthropic(), random.Random(3), SLOW)
    await course.run(WINDOW)
    assert int(await redis.hlen(f"pm:taken:{course.place.id}")) > 0, "some are on their way"
    for windows in (0.2, 3.0):
        await clock.turn_to(clock.now + windows * WINDOW)
        await timed.acquire(course.place, QUEUE, 0, wants(1, 1, most=1))
    found = await redis.hgetall(f"pm:gauge:{course.place.id}:output_tokens")
    assert found["used"] == "0"
    assert [name for name in found if name.isdigit()] == []
