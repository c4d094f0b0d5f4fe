"""The quota meter of a deployment, shared by all workers through Redis."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.catalog.deployments import Deployment
from shared.meters.scripts import load_script

SLOT_SECONDS: Final = 60.0
"""A slot that no heartbeat renewed for so long is free again."""
SENTINEL: Final = "pm:alive"
SLICES: Final = 500
"""Of a window's log: a permit counts for up to a five-hundredth of the window too long."""


@dataclass(frozen=True, slots=True)
class Want:
    """An attempt that asks to go."""

    attempt_id: str
    input_tokens: int
    max_tokens: int

    @property
    def tokens(self) -> int:
        """The most that the call can take."""
        return self.input_tokens + self.max_tokens


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a granted attempt counts against concurrency."""

    attempt_id: str
    deployment: str
    queue: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What the meter said."""

    granted: int
    """How many of the wanted, from the front."""
    wait: float
    """Seconds until the next one may go; 0 when a slot must come free first."""
    binding: str
    """What holds the next one back: requests, tokens, blocked, concurrency, workers or ''."""


class MemoryLostError(Exception):
    """Redis was emptied: rebuild the slots from Postgres before the first grant."""


class Meter:
    """Ask, give back, renew; every method raises RedisError when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = load_script(redis, "acquire")
        self._give_back = load_script(redis, "give_back")
        self._block = load_script(redis, "block")
        self._doubtful: set[str] = set()
        self._known: set[str] = set()

    async def acquire(
        self, deployment: Deployment, queue: str, fleet: int, wants: Sequence[Want]
    ) -> Grant:
        """Take permits for as many of `wants` as may go now; `fleet` is the queue's capacity.

        After a lost connection the quota is taken for used up: what was granted in the last
        instants may be forgotten.
        """
        limits = deployment.limits
        doubt = deployment.id in self._doubtful
        args: list[str | int] = [
            limits.requests,
            limits.tokens,
            limits.concurrency,
            round(limits.window * 1_000_000),
            round(limits.margin * 1000),
            SLICES,
            fleet,
            round(SLOT_SECONDS * 1000),
            "doubt" if doubt else "sure",
        ]
        for want in wants:
            args += [want.attempt_id, want.tokens]
        self._known.add(deployment.id)
        try:
            granted, wait_ms, binding = await self._acquire(
                keys=[*_keys(deployment.id, queue), SENTINEL], args=args
            )
        except RedisError:
            self._doubtful |= self._known
            raise
        if granted < 0:
            raise MemoryLostError
        self._doubtful.discard(deployment.id)
        return Grant(int(granted), int(wait_ms) / 1000, binding)

    async def give_back(self, deployment: Deployment, queue: str, wants: Iterable[Want]) -> None:
        """Return permits of attempts that were never sent."""
        limits = deployment.limits
        args: list[str | int] = [
            limits.requests,
            limits.tokens,
            round(limits.window * 1_000_000),
            SLICES,
            round(SLOT_SECONDS * 1000),
        ]
        for want in wants:
            args += [want.attempt_id, want.tokens]
        await self._give_back(keys=list(_keys(deployment.id, queue)), args=args)

    async def free(self, slots: Iterable[Slot]) -> None:
        """The calls have ended: their concurrency slots are free, their rate stays spent."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for (deployment, queue), attempts in _by_place(slots).items():
                for key in _slots(deployment, queue):
                    pipeline.zrem(key, *attempts)
            await pipeline.execute()

    async def renew(self, slots: Iterable[Slot], *, even_if_gone: bool = False) -> None:
        """The calls are still in flight: keep their slots for another SLOT_SECONDS."""
        expiry = await self._now() // 1000 + round(SLOT_SECONDS * 1000)
        async with self._redis.pipeline(transaction=False) as pipeline:
            for (deployment, queue), attempts in _by_place(slots).items():
                for key in _slots(deployment, queue):
                    pipeline.zadd(key, dict.fromkeys(attempts, expiry), xx=not even_if_gone)
            await pipeline.execute()

    async def block(self, deployment: str, seconds: float) -> None:
        """Let no worker call this deployment for so long; a shorter wait changes nothing."""
        await self._block(keys=[f"pm:meter:{deployment}"], args=[round(seconds * 1000)])

    async def rebuild(self, open_slots: Iterable[Slot]) -> None:
        """After a loss of Redis' memory: slots from Postgres; rates start empty, not full."""
        await self.renew(open_slots, even_if_gone=True)
        await self._redis.set(SENTINEL, await self._now())

    async def _now(self) -> int:
        """Redis' clock, microseconds."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1_000_000 + int(micros)


def _keys(deployment: str, queue: str) -> tuple[str, ...]:
    return f"pm:meter:{deployment}", f"pm:window:{deployment}", *_slots(deployment, queue)


def _slots(deployment: str, queue: str) -> tuple[str, str]:
    """Where the open attempts of a deployment and of its queue's fleet are kept."""
    return f"pm:slots:{deployment}", f"pm:fleet:{queue}"


def _by_place(slots: Iterable[Slot]) -> Mapping[tuple[str, str], list[str]]:
    places: dict[tuple[str, str], list[str]] = {}
    for slot in slots:
        places.setdefault((slot.deployment, slot.queue), []).append(slot.attempt_id)
    return places
