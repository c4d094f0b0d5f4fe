"""Whatever is asked, settled and given back in whatever order: no window, day or slot overruns."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from shared.catalog.limits import Counting
from shared.meters.counting import RULES, Learned, Want
from shared.meters.gauges import Gauge, gauges_of
from shared.meters.meter import SENTINEL, Meter
from shared.redis_client import connect_redis
from tests.meters.asking import QUEUE, deployment, ended, wants

FLEET: Final = 9
MICROS: Final = 1_000_000
GAUGES: Final = ("requests", "tokens", "output_tokens", "requests_in_0.1_seconds")
LIMITS: Final[dict[str, Any]] = {
    "requests": 20,
    "tokens": 300,
    "output_tokens": 120,
    "requests_per_day": 40,
    "concurrency": 7,
    "window": 0.25,
    "short_windows": (0.1,),
}
NUMBERS = count()
T = TypeVar("T")


@dataclass(slots=True)
class Permit:
    """What the test itself notes of a grant."""

    want: Want
    at: int
    """Microseconds of Redis' clock."""
    amounts: dict[str, int] = field(default_factory=dict)
    """By gauge: as taken, then as used."""
    open: bool = True
    written_at: int = 0
    """When it told what it used; 0: not yet."""

    def counts_in(self, gauge: Gauge, at: int) -> bool:
        """Whether it is in the window of this gauge that ends there."""
        moment = self.written_at if gauge.kind == "written" else self.at
        return moment > at - gauge.span


ANY = st.integers(0, 999)
SIZE = st.tuples(st.integers(0, 40), st.integers(0, 30))
USED = st.fixed_dictionaries({name: st.integers(0, 60) for name in ("tokens", "output_tokens")})


class AMeter(RuleBasedStateMachine):
    """Two workers' meters on one deployment, and a log of our own beside them."""

    redis_url = ""
    counts = Counting.RESERVED
    granted = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = deployment(f"m{next(NUMBERS)}", counts=self.counts, **LIMITS)
        self.queue_key = f"pm:fleet:{QUEUE}"
        self.runner = asyncio.Runner()
        self.redis = self.run(self._connected())
        self.meters = [Meter(self.redis) for _ in range(2)]
        self.rule = RULES[self.counts]
        self.limits = {each.name: each for each in gauges_of(self.place.limits, 0)}
        self.permits: list[Permit] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def _connected(self) -> Any:
        redis = connect_redis(self.redis_url)
        now = (await redis.time())[0]
        await redis.set(SENTINEL, (now - 1000) * MICROS)
        await redis.delete(f"pm:fleet:{QUEUE}")
        return redis

    @property
    def open(self) -> list[Permit]:
        return [each for each in self.permits if each.open]

    def _one_open(self, which: int) -> Permit | None:
        """Drawn by a number: what is open hangs on real time, and no draw may."""
        return self.open[which % len(self.open)] if self.open else None

    @rule(who=st.integers(0, 1), sizes=st.lists(SIZE, min_size=1))
    def ask(self, who: int, sizes: list[tuple[int, int]]) -> None:
        asked = [wants(1, *size)[0] for size in sizes]
        grant = self.run(self.meters[who].acquire(self.place, QUEUE, FLEET, asked))
        at = int(self.run(self.redis.hget(f"pm:meter:{self.place.id}", "at")))
        for want in asked[: grant.granted]:
            needs = self.rule.needs(want, Learned())
            amounts = {name: needs.get(name, 1) for name in GAUGES}
            self.permits.append(Permit(want, at, amounts))
            AMeter.granted += 1
            self._nothing_overruns(at)

    def _nothing_overruns(self, at: int) -> None:
        """At a grant; what usage adds later is beyond anybody's foresight."""
        for name in GAUGES:
            gauge = self.limits[name]
            inside = [each.amounts[name] for each in self.permits if each.counts_in(gauge, at)]
            assert sum(inside) <= gauge.limit, name
        assert len(self.open) <= min(LIMITS["concurrency"], FLEET)
        assert sum(each.amounts["requests"] for each in self.permits) <= LIMITS["requests_per_day"]

    @rule(which=ANY, who=st.integers(0, 1), used=USED, again=st.booleans())
    def end(self, which: int, who: int, used: dict[str, int], *, again: bool) -> None:
        if (permit := self._one_open(which)) is None:
            return
        told = used if self.counts is not Counting.RESERVED else {}
        seconds, micros = self.run(self.redis.time())
        for _ in range(1 + again):
            self.run(self.meters[who].settle([ended(permit.want, self.place, used=told)]))
        permit.open = False
        permit.amounts.update(told)
        permit.written_at = seconds * MICROS + micros

    @rule(which=ANY, who=st.integers(0, 1), again=st.booleans())
    def give_back(self, which: int, who: int, *, again: bool) -> None:
        if (permit := self._one_open(which)) is None:
            return
        for _ in range(1 + again):
            self.run(self.meters[who].give_back(self.place, QUEUE, [permit.want]))
        permit.open = False
        permit.amounts = dict.fromkeys(GAUGES, 0)

    @rule(seconds=st.floats(0.001, 0.12))
    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def teardown(self) -> None:
        try:
            self.run(self._nothing_leaks())
        finally:
            self.run(self.redis.aclose())
            self.runner.close()

    async def _nothing_leaks(self) -> None:
        meter, key = self.meters[0], f"pm:gauge:{self.place.id}"
        assert await self.redis.zcard(f"pm:slots:{self.place.id}") == len(self.open)
        await meter.settle([ended(each.want, self.place) for each in self.open])
        assert await self.redis.zcard(f"pm:slots:{self.place.id}") == 0
        assert await self.redis.zcard(self.queue_key) == 0
        assert await self.redis.hlen(f"pm:taken:{self.place.id}") == 0
        if not await self.redis.exists(f"{key}:requests"):
            return
        await meter.acquire(self.place, QUEUE, 0, wants(1))
        for name in GAUGES:
            found = await self.redis.hgetall(f"{key}:{name}")
            slices = {int(each): int(value) for each, value in found.items() if each.isdigit()}
            inside = [value for each, value in slices.items() if each <= int(found["slice"])]
            assert sum(inside) == int(found["used"]), name
            if self.limits[name].kind == "written":
                continue  # test_written.py follows it on a clock of its own
            kept = [p for p in self.permits if p.at // int(found["width"]) in slices]
            assert sum(each.amounts[name] for each in kept) == int(found["used"]), name
        day = int(await self.redis.hget(f"{key}:requests_per_day", "used"))
        assert day == sum(each.amounts["requests"] for each in self.permits)


def check(redis_url: str, counts: Counting) -> int:
    """How many permits were granted in all."""
    machine = type(AMeter.__name__, (AMeter,), {"redis_url": redis_url, "counts": counts})
    few = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        database=None,
        # Times are real: a smaller example is another one.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    AMeter.granted = 0
    run_state_machine_as_test(machine, settings=few)
    return AMeter.granted


def test_reserved_tokens_stay_reserved(redis_url: str) -> None:
    assert check(redis_url, Counting.RESERVED) > 20


def test_tokens_that_are_settled_become_what_was_used(redis_url: str) -> None:
    assert check(redis_url, Counting.METERED) > 20
