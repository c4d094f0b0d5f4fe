"""The quota meter of a deployment, shared by all workers through Redis."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.catalog.deployments import Deployment
from shared.catalog.limits import day_around
from shared.domain.clock import Clock, SystemClock
from shared.domain.failure import Blame
from shared.meters.breaker import Breaker, breaker_key
from shared.meters.counting import RULES, Amounts, Learned, Want
from shared.meters.gauges import BY_DAY, MICROS, Gauge, forgiven, gauges_of
from shared.meters.keys import gauge_key, gauge_keys, learned_key, meter_key, slots_of, taken_key
from shared.meters.scripts import GAUGES, ScriptCall, load_script, run_together
from shared.settings import BreakerSettings

__all__ = ["Call", "DayCount", "Ended", "Grant", "MemoryLostError", "Meter", "Slot", "Want"]

SLOT_SECONDS: Final = 60.0
"""A slot that no heartbeat renewed for so long is free again."""
SENTINEL: Final = "pm:alive"
AS_TAKEN: Final = -1
"""In place of what was used: nobody said, or nothing comes back."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a granted attempt counts against concurrency."""

    attempt_id: str
    deployment: str
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one attempt made of its permit."""

    attempt_id: str
    sent: bool = True
    """False: the provider never saw it, all of the permit comes back."""
    used: Amounts = field(default_factory=dict)
    """By gauge; what is not named stays as it was taken."""
    input_tokens: int = AS_TAKEN
    """What the estimate of input should have been."""
    output_tokens: int = AS_TAKEN
    remaining: Amounts = field(default_factory=dict)
    """By gauge: what the provider says it would still take."""
    blame: Blame = Blame.NOTHING
    answered: bool = False
    """It got its answer: the provider does not refuse all."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that has ended."""

    slot: Slot
    deployment: Deployment | None
    """None where nobody knows it any more: the permit stays spent."""
    call: Call


@dataclass(frozen=True, slots=True)
class Grant:
    """What the meter said."""

    granted: int
    """How many of the wanted, from the front."""
    wait: float
    """Seconds until the next one may go; 0 when a slot must come free first."""
    binding: str
    """What holds the next one back: a gauge's name, blocked, breaker, concurrency, workers or
    ''."""


@dataclass(frozen=True, slots=True)
class DayCount:
    """The requests of a deployment's day, for a Redis that forgot them."""

    deployment: str
    requests: int
    since: int
    """The midnights around now, microseconds of Unix time."""
    until: int


class MemoryLostError(Exception):
    """Redis was emptied: rebuild the slots from Postgres before the first grant."""


class Meter:
    """Ask, settle, give back, renew; every method raises RedisError when Redis is away."""

    def __init__(
        self, redis: Redis, breaker: BreakerSettings | None = None, clock: Clock | None = None
    ) -> None:
        self._redis = redis
        self._clock = clock or SystemClock()
        self.breaker = Breaker(redis, breaker or BreakerSettings())
        self._acquire = load_script(redis, GAUGES, "acquire")
        self._settle = load_script(redis, GAUGES, "settle")
        self._recount = load_script(redis, GAUGES, "recount")
        self._slow_down = load_script(redis, GAUGES, "slow_down")
        self._block = load_script(redis, GAUGES, "block")
        self._doubtful: set[str] = set()
        self._learned: dict[str, Learned] = {}
        """Of each deployment that was asked for, as of the last question."""

    async def acquire(
        self, deployment: Deployment, queue: str, fleet: int, wants: Sequence[Want]
    ) -> Grant:
        """Take permits for as many of `wants` as may go now; `fleet` is the queue's capacity.

        After a lost connection the quota is taken for used up: what was granted in the last
        instants may be forgotten.
        """
        manner = "doubt" if deployment.id in self._doubtful else "sure"
        try:
            grant = await self._ask(deployment, queue, fleet, wants, manner)
        except RedisError:
            self._doubtful |= self._learned.keys()
            raise
        self._doubtful.discard(deployment.id)
        return grant

    async def look(self, deployment: Deployment, queue: str, fleet: int, want: Want) -> Grant:
        """What an attempt would be told that asked now; nothing is taken."""
        return await self._ask(deployment, queue, fleet, [want], "look")

    async def _ask(
        self, deployment: Deployment, queue: str, fleet: int, wants: Sequence[Want], manner: str
    ) -> Grant:
        gauges = self._gauges(deployment)
        args: list[str | int] = [
            deployment.limits.concurrency,
            fleet,
            round(SLOT_SECONDS * 1000),
            manner,
            self.breaker.probe_micros,
            max((each.counted for each in gauges), default=0),
            *(arg for each in gauges for arg in each.args),
        ]
        for want in wants:
            needs = self._needs(deployment, want)
            args += [want.attempt_id, want.input_tokens, want.max_tokens]
            args += [needs.get(each.name, 1) for each in gauges]
        keys = [
            meter_key(deployment.id),
            *slots_of(deployment.id, queue),
            SENTINEL,
            taken_key(deployment.id),
            breaker_key(deployment.id),
            learned_key(deployment.id),
            *gauge_keys(deployment.id, gauges),
        ]
        granted, wait_ms, binding, *factors = await self._acquire(keys=keys, args=args)
        if granted < 0:
            raise MemoryLostError
        self._learned[deployment.id] = Learned(*(int(each) / 1000 for each in factors))
        return Grant(int(granted), int(wait_ms) / 1000, binding)

    async def recount(self, deployment: Deployment, want: Want, age: float) -> float:
        """Seconds until a call may be sent whose permit is so old; 0: now, and it counts from now.

        A permit that is not late needs no answer of Redis.
        """
        late = forgiven(deployment.limits)
        if age * MICROS <= late:
            return 0.0
        gauges = self._gauges(deployment)
        longest = max((each.counted for each in gauges), default=0)
        needs = self._needs(deployment, want)
        keys = [taken_key(deployment.id), *gauge_keys(deployment.id, gauges)]
        args: list[str | int] = [want.attempt_id, late, longest]
        args += [want.input_tokens, want.max_tokens, *(arg for each in gauges for arg in each.args)]
        args += [needs.get(each.name, 1) for each in gauges]
        return int(await self._recount(keys=keys, args=args)) / 1000

    async def give_back(self, deployment: Deployment, queue: str, wants: Iterable[Want]) -> None:
        """Return permits of attempts that were never sent."""
        await self.settle(
            Ended(
                Slot(want.attempt_id, deployment.id, queue),
                deployment,
                Call(attempt_id=want.attempt_id, sent=False),
            )
            for want in wants
        )

    async def settle(self, ended: Iterable[Ended]) -> None:
        """These calls have ended: slots come free, permits become what was used of them.

        Repeating it is harmless.
        """
        places: dict[tuple[str, str], list[Ended]] = {}
        for each in ended:
            places.setdefault((each.slot.deployment, each.slot.queue), []).append(each)
        runs = [run for group in places.values() for run in self._settling(group)]
        await run_together(self._redis, runs)

    def _settling(self, ended: Sequence[Ended]) -> Iterator[ScriptCall]:
        """What tells of calls at one place."""
        slot, calls = ended[0].slot, [each.call for each in ended]
        deployment = next((each.deployment for each in ended if each.deployment), None)
        gauges = self._gauges(deployment) if deployment else ()
        names = [each.name for each in gauges]
        args: list[str | int] = [arg for each in gauges for arg in each.args]
        told = next((call for call in reversed(calls) if call.remaining), None)
        args += [int(any(call.answered for call in calls)), told.attempt_id if told else ""]
        args += [told.remaining.get(name, AS_TAKEN) if told else AS_TAKEN for name in names]
        for call in calls:
            args += [call.attempt_id, call.input_tokens, call.output_tokens]
            unsaid = AS_TAKEN if call.sent else 0
            args += [call.used.get(name, unsaid) for name in names]
        keys = [
            *slots_of(slot.deployment, slot.queue),
            taken_key(slot.deployment),
            learned_key(slot.deployment),
            *gauge_keys(slot.deployment, gauges),
        ]
        yield ScriptCall(self._settle, keys, args)
        outcomes = [(call.attempt_id, call.blame) for call in calls]
        yield self.breaker.record(slot.deployment, outcomes)

    async def slow_down(self, deployment: str) -> None:
        """The provider asks to come up more slowly: half the pace, then a tenth more a minute."""
        await self._slow_down(keys=[meter_key(deployment)])

    async def renew(self, slots: Iterable[Slot], *, even_if_gone: bool = False) -> None:
        """The calls are still in flight: keep their slots for another SLOT_SECONDS."""
        expiry = await self._now() // 1000 + round(SLOT_SECONDS * 1000)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for (deployment, queue), attempts in _by_place(slots).items():
                for key in slots_of(deployment, queue):
                    pipeline.zadd(key, dict.fromkeys(attempts, expiry), xx=not even_if_gone)
            await pipeline.execute()

    async def block(self, deployment: str, seconds: float, *, longest: float = 0.0) -> None:
        """Let no worker call this deployment for so long; a shorter wait changes nothing.

        `longest`: each refusal in a row doubles the wait up to there; an answer ends the row.
        """
        keys = [meter_key(deployment), learned_key(deployment)]
        await self._block(keys=keys, args=[round(seconds * MICROS), round(longest * MICROS)])

    async def rebuild(
        self,
        open_slots: Iterable[Slot],
        *,
        days: Iterable[DayCount] = (),
        outcomes: Mapping[str, Sequence[Blame]] | None = None,
    ) -> None:
        """After a loss of Redis' memory: what Postgres knows; rates start empty, not full.

        `outcomes`: how the newest calls of each deployment ended, for the breakers.
        """
        await self.renew(open_slots, even_if_gone=True)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for day in days:
                key = gauge_key(day.deployment, BY_DAY)
                pipeline.hset(key, "used", str(day.requests))
                pipeline.hset(key, "since", str(day.since))
                pipeline.hset(key, "until", str(day.until))
            await pipeline.execute()
        await self.breaker.rebuild(outcomes or {})
        await self._redis.set(SENTINEL, await self._now())

    def _needs(self, deployment: Deployment, want: Want) -> Amounts:
        learned = self._learned.setdefault(deployment.id, Learned())
        return RULES[deployment.limits.counts].needs(want, learned)

    def _gauges(self, deployment: Deployment) -> tuple[Gauge, ...]:
        limits = deployment.limits
        if not limits.requests_per_day:
            return gauges_of(limits, 0)
        _, midnight = day_around(self._clock.now(), limits.day_zone)
        return gauges_of(limits, round(midnight.timestamp() * MICROS))

    async def _now(self) -> int:
        """Redis' clock, microseconds."""
        seconds, micros = await self._redis.time()
        return int(seconds) * MICROS + int(micros)


def _by_place(slots: Iterable[Slot]) -> Mapping[tuple[str, str], list[str]]:
    places: dict[tuple[str, str], list[str]] = {}
    for slot in slots:
        places.setdefault((slot.deployment, slot.queue), []).append(slot.attempt_id)
    return places
