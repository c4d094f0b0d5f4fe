"""Holds callers to their requests a minute; who has no limit costs nothing."""

import asyncio
from datetime import timedelta
from math import ceil
from time import monotonic
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.error_shapes import Dialect
from shared.db.tenants import Caller
from shared.domain.clock import Clock
from shared.domain.errors import RateLimitedError
from shared.meters.inbound import Allowance, Inbound

log = structlog.get_logger(__name__)

LIMIT_HEADERS: Final = "limit_headers"
"""In a request's state: what its answer, good or bad, says of the caller's limits."""
PATIENCE: Final = 0.25
"""Seconds that a request is held up by a Redis that does not answer."""
PAUSE: Final = 1.0
"""Seconds that it is not asked again then."""


class RequestLimits:
    """Counts in Redis. While that is away nobody is refused: jobs are accepted without it, too."""

    def __init__(self, redis: Redis) -> None:
        self._inbound = Inbound(redis)
        self._away_until = 0.0
        self._told = False

    async def take(self, caller: Caller) -> Allowance | None:
        """One request of the caller; None: it has no limit, or nobody can count now."""
        limits = {
            caller.tenant_id: caller.limits.requests_per_minute,
            caller.key_id: caller.key_limits.requests_per_minute,
        }
        known = {id_: limit for id_, limit in limits.items() if limit}
        if not known or monotonic() < self._away_until:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                allowance = await self._inbound.take(known)
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = monotonic() + PAUSE
            if not self._told:
                log.warning("requests_not_limited", error=type(error).__name__)
            self._told = True
            return None
        self._told = False
        return allowance


def headers_of(allowance: Allowance, dialect: Dialect, clock: Clock) -> dict[str, str]:
    """What each answer says of the caller's limit, in the words of the API that it asked."""
    if dialect is Dialect.ANTHROPIC:
        full_again = clock.now() + timedelta(seconds=ceil(allowance.reset))
        return {
            "anthropic-ratelimit-requests-limit": str(allowance.limit),
            "anthropic-ratelimit-requests-remaining": str(allowance.remaining),
            "anthropic-ratelimit-requests-reset": f"{full_again:%Y-%m-%dT%H:%M:%SZ}",
        }
    return {
        "x-ratelimit-limit-requests": str(allowance.limit),
        "x-ratelimit-remaining-requests": str(allowance.remaining),
        "x-ratelimit-reset-requests": duration(allowance.reset),
    }


def duration(seconds: float) -> str:
    """Seconds in OpenAI's words: `0s`, `450ms`, `1.5s`, `6m0s`."""
    if 0 < seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return (
        f"{int(minutes)}m{int(rest)}s" if minutes else f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    )


def refusal(allowance: Allowance) -> RateLimitedError:
    """What is said where none was left."""
    seconds = max(ceil(allowance.wait), 1)
    message = (
        f"the limit is {allowance.limit} requests a minute, and they are sent: come again in "
        f"{seconds} s (a bulk request is one request of up to 1000 jobs)"
    )
    return RateLimitedError(message, retry_after=seconds)
