"""How many requests a minute a caller may send to us, shared by all API processes through Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from shared.meters.scripts import load_script

MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What became of one request, and what is left in the bucket that has the least."""

    granted: bool
    limit: int
    """Requests a minute; as many may come at once after a quiet minute."""
    remaining: int
    reset: float
    """Seconds until the bucket is full."""
    wait: float
    """Seconds until the next request is granted, where this one was not."""


class Inbound:
    """Token buckets of tenants and keys; one that is full is not kept."""

    def __init__(self, redis: Redis) -> None:
        self._take = load_script(redis, "inbound")

    async def take(self, limits: Mapping[str, int]) -> Allowance:
        """One request from each bucket or from none; `limits` a minute, by id.

        Raises RedisError or OSError when Redis is away.
        """
        granted, limit, remaining, reset, wait = await self._take(
            keys=[f"pm:inbound:{id_}" for id_ in limits], args=list(limits.values())
        )
        return Allowance(
            granted=bool(granted),
            limit=limit,
            remaining=remaining,
            reset=reset / MICROSECONDS,
            wait=wait / MICROSECONDS,
        )
