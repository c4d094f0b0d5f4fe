"""The breaker of a deployment: who fails too often is left alone, and asked again by one call."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from redis.asyncio import Redis

from shared.domain.failure import Blame
from shared.meters.scripts import GAUGES, ScriptCall, load_script, run_together
from shared.settings import BreakerSettings

MICROS: Final = 1_000_000
JITTER: Final = (800, 1200)
"""Thousandths of a pause: workers and deployments do not come back in step."""


class BreakerState(StrEnum):
    """Whether calls may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One call at a time may find out whether the provider is back."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one breaker stands."""

    state: BreakerState = BreakerState.CLOSED
    seconds: float = 0.0
    """Until the next call may go; 0: now."""
    opened: int = 0
    """How often in a row it has opened."""


class Breaker:
    """Shared by all workers; the meter's script asks it before each grant."""

    def __init__(self, redis: Redis, settings: BreakerSettings) -> None:
        self._redis = redis
        self._record = load_script(redis, GAUGES, "record")
        self._settings = settings

    @property
    def window(self) -> float:
        """Seconds for which an end counts."""
        return self._settings.window

    @property
    def probe_micros(self) -> int:
        """How long a probe is awaited before another may go."""
        return round(self._settings.probe * MICROS)

    def record(self, deployment: str, outcomes: Iterable[tuple[str, Blame]]) -> ScriptCall:
        """Tell how these attempts ended; to be run."""
        settings = self._settings
        args: list[str | int] = [
            settings.calls,
            round(settings.share * 1000),
            round(settings.window * MICROS),
            round(settings.shortest * MICROS),
            round(settings.longest * MICROS),
            random.randint(*JITTER),  # noqa: S311 - jitter is no secret
        ]
        for attempt_id, blame in outcomes:
            args += [attempt_id, blame]
        return ScriptCall(self._record, [breaker_key(deployment)], args)

    async def rebuild(self, outcomes: Mapping[str, Sequence[Blame]]) -> None:
        """After a loss of Redis' memory: how the newest calls of each deployment ended."""
        calls = [
            self.record(deployment, [("", blame) for blame in blames])
            for deployment, blames in outcomes.items()
        ]
        await run_together(self._redis, calls)

    async def states(self, deployments: Sequence[str]) -> dict[str, Standing]:
        """How each of these stands. Raises RedisError."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for deployment in deployments:
                pipeline.hmget(breaker_key(deployment), "open_until", "probe_until", "opens")
            (seconds, micros), *rows = await pipeline.execute()
        now = int(seconds) * MICROS + int(micros)
        return {
            deployment: _standing(now, *row)
            for deployment, row in zip(deployments, rows, strict=True)
        }


def breaker_key(deployment: str) -> str:
    """Where Redis keeps it."""
    return f"pm:breaker:{deployment}"


def _standing(
    now: int, open_until: str | None, probe_until: str | None, opens: str | None
) -> Standing:
    if open_until is None:
        return Standing()
    until = max(int(open_until), int(probe_until or 0))
    state = BreakerState.OPEN if now < int(open_until) else BreakerState.HALF_OPEN
    return Standing(state, max(until - now, 0) / MICROS, int(opens or 0))
