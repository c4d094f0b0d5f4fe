"""Creates that are under way or were refused: what tells a retry's own first try from another's."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import ceil
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.domain.ids import IdKind, new_id
from shared.doorbell import Bell, Doorbell
from shared.services import kept_alive

log = structlog.get_logger(__name__)

RETRY_COUNT: Final = "x-stainless-retry-count"
"""The SDKs of OpenAI and Anthropic count their tries in it, from 0."""
OWN_KEY: Final = "idempotency-key"
CALLER_KEY: Final = "caller_key"
"""In a request's state: the id of its key, once that is known to be good."""
REFUSED: Final = "refused"
"""In a request's state: it was refused for now, and nothing was made of it."""
FRESH: Final = "fresh"
"""In a request's state: it is no retry of anything that was made."""
REMEMBERED: Final = 150
"""Seconds; an SDK comes again within two minutes, or never."""
PATIENCE: Final = 0.25
"""Seconds that a request is held up by a Redis that does not answer."""
ANSWERS: Final = 1.5
"""Seconds that a retry which found nothing waits for the other processes: all answer at once, and
one that is stalled is worth the wait. Less than a command may take (shared/redis_client.py)."""

CREATE: Final = "create"
"""In a request's state: what `create_of` says of it, once its route knows."""


def create_of(key_id: str, path: str, raw: bytes) -> str:
    """What all byte-identical creates of one key have in common: their keys begin with it."""
    digest = digest_of(path)
    digest.update(raw)
    return named(key_id, digest)


def digest_of(path: str) -> "hashlib._Hash":
    """What a body goes into, piece by piece, so that its create can be `named`."""
    return hashlib.sha256(path.encode() + b"\0")


def named(key_id: str, digest: "hashlib._Hash") -> str:
    """The same as `create_of`."""
    return f"create:{key_id}:{digest.hexdigest()}:"


def tries_before(headers: Mapping[str, str]) -> int | None:
    """How often an SDK has tried before this; None: nobody counts, or its key tells retries."""
    count = headers.get(RETRY_COUNT, "")
    return int(count) if count.isdecimal() and OWN_KEY not in headers else None


class Creates:
    """What is under way, here and in other processes; in Redis, as hints, what was refused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._under_way: dict[str, dict[str, int]] = {}

    @contextmanager
    def under_way(self, create: str, key: str, tries: int) -> Iterator[None]:
        """From now until the end of the block nobody can see yet what is made under this key."""
        keys = self._under_way.setdefault(create, {})
        keys[key] = max(tries, keys.get(key, 0))
        try:
            yield
        finally:
            keys.pop(key, None)
            if not keys:
                self._under_way.pop(create, None)

    def begun(self, create: str, tries: int) -> str | None:
        """The key of a create under way that a client may retry which has tried so often."""
        keys = self._under_way.get(create, {})
        return next((key for key, before in reversed(keys.items()) if before < tries), None)

    async def begun_elsewhere(self, create: str, tries: int) -> str | None:
        """The same of the other API processes; None, too, where they cannot be asked."""
        place = f"pm:begun:{new_id(IdKind.REQUEST)}"
        try:
            async with asyncio.timeout(ANSWERS):
                hear = await self._redis.publish(
                    Bell.CREATE, "\n".join((place, create, str(tries)))
                )
                for _ in range(hear):
                    if key := (await self._redis.blpop([place], timeout=ANSWERS) or ("", ""))[1]:
                        return str(key)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("creates_elsewhere_not_asked", error=type(error).__name__)
        return None

    async def answer_others(self, doorbell: Doorbell) -> None:
        """Tell the other API processes until cancelled; no error ends it."""
        await kept_alive("creates", partial(self._answer_others, doorbell))

    async def _answer_others(self, doorbell: Doorbell) -> None:
        """What is told is taken."""
        async for _, (place, create, tries) in doorbell.listen(Bell.CREATE):
            key = self.begun(create, int(tries))
            if key:
                self._under_way[create][key] = int(tries)
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.rpush(place, key or "")
                    pipe.expire(place, ceil(ANSWERS))
                    await pipe.execute()
            except (RedisError, OSError) as error:
                log.debug("create_elsewhere_not_answered", error=type(error).__name__)

    async def refused(self, create: str, tries: int, *, fresh: bool) -> None:
        """Remember that a client was told to come again, and that nothing is there for it.

        Not so where an earlier try of it was not refused: that one may have made something.
        """
        before, now = _place(create, tries - 1), _place(create, tries)
        try:
            async with asyncio.timeout(PATIENCE), self._redis.pipeline(transaction=False) as pipe:
                if fresh or not tries:
                    pipe.lpush(now, "")
                else:
                    pipe.lmove(before, now)
                pipe.expire(now, REMEMBERED)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("refusal_not_noted", error=type(error).__name__)

    async def was_refused(self, create: str, tries: int) -> bool:
        """Whether a client's last try was refused; each refusal counts for one retry."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._redis.lpop(_place(create, tries - 1)) is not None
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("refusal_not_read", error=type(error).__name__)
            return False


def _place(create: str, tries: int) -> str:
    return f"pm:refused:{create}{tries}"
