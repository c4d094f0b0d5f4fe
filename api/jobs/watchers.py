"""Everybody in this process who watches a job: one ear, one look and one read for all of them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.db.engine import Database
from shared.db.watch import Standing, standings
from shared.domain.errors import TooManyStreamsError
from shared.doorbell import Bell, Doorbell, rings
from shared.services import kept_alive
from shared.streamlog import Entry, Position, read_logs

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
"""The floor when no doorbell rings."""
AT_ONCE: Final = 200
"""Jobs in one statement, and logs in one round trip."""
RETRY_AFTER: Final = 5
"""Seconds: streams end with their jobs, nobody knows when."""


Asked = tuple[tuple[str, Position], list[asyncio.Future[list[Entry]]]]
"""A job and a position in its log, and who wants to know what follows there."""


@dataclass(slots=True, eq=False)
class Watch:
    """One who watches a job."""

    job_id: str
    tenant_id: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to tell."""
    standing: Standing | None = None
    """None until it was looked up."""


class Watchers:
    """Wakes watchers, and reads for them; how fast one listens matters to no other."""

    def __init__(
        self, database: Database, doorbell: Doorbell, redis: Redis, *, most_each: int
    ) -> None:
        """`most_each`: of one tenant at one time."""
        self._database = database
        self._doorbell = doorbell
        self._redis = redis
        self._most_each = most_each
        self._of_tenants = Counter[str]()
        self._watches: dict[str, set[Watch]] = {}
        self._somebody = asyncio.Event()
        self._due: set[str] = set()
        self._look = asyncio.Event()
        self._asked: dict[tuple[str, Position], list[asyncio.Future[list[Entry]]]] = {}
        self._read = asyncio.Event()
        self.leaving = False

    async def run(self) -> None:
        """Listen, look and read until cancelled; no error ends it."""
        async with asyncio.TaskGroup() as group:
            for service in (self._listen, self._keep_looking, self._keep_reading):
                group.create_task(kept_alive(service.__qualname__, service))

    def admit(self, job_id: str, tenant_id: str) -> Watch:
        """Watch a job, until `forget`; where it stands is soon known.

        Raises TooManyStreamsError where the tenant has as many watches as it may.
        """
        if self._of_tenants[tenant_id] >= self._most_each:
            message = (
                f"{self._most_each} streams of events are open, as many as a tenant may have: "
                "close some, or ask for single jobs with `?wait=`"
            )
            raise TooManyStreamsError(message, retry_after=RETRY_AFTER)
        self._of_tenants[tenant_id] += 1
        watch = Watch(job_id, tenant_id)
        self._watches.setdefault(job_id, set()).add(watch)
        self._somebody.set()
        self.look_at(job_id)
        return watch

    def forget(self, watch: Watch) -> None:
        """Nobody watches there any more."""
        self._of_tenants[watch.tenant_id] -= 1
        if not self._of_tenants[watch.tenant_id]:
            del self._of_tenants[watch.tenant_id]
        watches = self._watches[watch.job_id]
        watches.discard(watch)
        if not watches:
            del self._watches[watch.job_id]

    def look_at(self, job_id: str) -> None:
        """This job may have moved."""
        self._due.add(job_id)
        self._look.set()

    async def read(self, job_id: str, after: Position) -> list[Entry]:
        """What stands in the log behind a position; nothing while Redis is away."""
        answer = asyncio.get_running_loop().create_future()
        self._asked.setdefault((job_id, after), []).append(answer)
        self._read.set()
        entries: list[Entry] = await answer
        return entries

    def leave(self) -> None:
        """The process goes: everybody is sent away, to come back elsewhere."""
        self.leaving = True
        for job_id in self._watches:
            self._wake(job_id)

    def _wake(self, job_id: str) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.news.set()

    async def _listen(self) -> None:
        """Hear the bells, but only while somebody watches: logs ring often."""
        while True:
            await self._somebody.wait()
            async with aclosing(self._doorbell.listen(Bell.LOG, Bell.DONE)) as heard:
                async for bell, job_ids in heard:
                    for job_id in self._watches.keys() & job_ids:
                        if bell is Bell.DONE:
                            self.look_at(job_id)
                        else:
                            self._wake(job_id)
                    if not self._watches:
                        self._somebody.clear()
                        break

    async def _keep_looking(self) -> None:
        all_due = monotonic()
        while True:
            await rings(self._look, max(all_due - monotonic(), 0.0))
            self._look.clear()
            due, self._due = self._due & self._watches.keys(), set()
            if monotonic() >= all_due:
                due, all_due = set(self._watches), monotonic() + POLL_SECONDS
            if due:
                await self._look_up(list(due))

    async def _look_up(self, job_ids: list[str]) -> None:
        try:
            for first in range(0, len(job_ids), AT_ONCE):
                async with self._database.transaction() as connection:
                    found = await standings(connection, job_ids[first : first + AT_ONCE])
                for standing in found:
                    self._place(standing)
        except Exception as error:  # noqa: BLE001 - the next look may succeed
            log.warning("watch_look_missed", error=type(error).__name__)

    def _place(self, standing: Standing) -> None:
        for watch in self._watches.get(standing.job_id, ()):
            if watch.standing != standing:
                watch.standing = standing
                watch.news.set()

    async def _keep_reading(self) -> None:
        while True:
            await self._read.wait()
            self._read.clear()
            asked, self._asked = list(self._asked.items()), {}
            try:
                for first in range(0, len(asked), AT_ONCE):
                    await self._answer(asked[first : first + AT_ONCE])
            finally:
                # Whatever went wrong: who asked is not left waiting, and asks again.
                _give(asked, [[] for _ in asked])

    async def _answer(self, asked: Sequence[Asked]) -> None:
        try:
            _give(asked, await read_logs(self._redis, [what for what, _ in asked]))
        except (RedisError, OSError) as error:
            log.debug("logs_not_read", error=type(error).__name__)


def _give(asked: Sequence[Asked], found: Sequence[list[Entry]]) -> None:
    """To everyone who asked and has no answer yet."""
    for (_, waiting), entries in zip(asked, found, strict=True):
        for answer in waiting:
            if not answer.done():
                answer.set_result(entries)
