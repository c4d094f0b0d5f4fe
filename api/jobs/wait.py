"""Wait for jobs to end: doorbells wake, one poll for all waiters is the floor."""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

import structlog

from shared.db.engine import Database
from shared.db.read import final_among
from shared.doorbell import Bell, Doorbell, rings
from shared.services import kept_alive

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.25


class Waiters:
    """Everybody in this process who waits for a job."""

    def __init__(self, database: Database, doorbell: Doorbell) -> None:
        self._database = database
        self._doorbell = doorbell
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._leaving = False

    async def run(self) -> None:
        """Listen and poll until cancelled; no error ends it."""
        async with asyncio.TaskGroup() as group:
            for service in (self._listen, self._poll):
                group.create_task(kept_alive(service.__qualname__, service))

    def expect(self, job_id: str) -> asyncio.Event:
        """An event that is set when the job may have ended; give it back with `forget`.

        Ask before reading the job: what ends in between is then not missed.
        """
        event = asyncio.Event()
        if self._leaving:
            event.set()
        self._waiting.setdefault(job_id, set()).add(event)
        return event

    def forget(self, job_id: str, event: asyncio.Event) -> None:
        """Nobody waits for this event any more."""
        events = self._waiting[job_id]
        events.discard(event)
        if not events:
            del self._waiting[job_id]

    async def set_before(self, until: float, event: asyncio.Event) -> bool:
        """Wait for the event until this instant of the monotonic clock; whether to look again.

        Not when the time is out, nor when the process goes: who waits gets its reply early.
        """
        return await rings(event, until - monotonic()) and not self._leaving

    @property
    def leaving(self) -> bool:
        """The process goes: what is not known yet will be known to another."""
        return self._leaving

    def leave(self) -> None:
        """The process goes: nobody waits any longer, nobody begins to."""
        self._leaving = True
        self._wake(list(self._waiting))

    def _wake(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            for event in self._waiting.get(job_id, ()):
                event.set()

    async def _listen(self) -> None:
        async for _, job_ids in self._doorbell.listen(Bell.DONE):
            self._wake(job_ids)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._waiting:
                continue
            try:
                async with self._database.transaction() as connection:
                    self._wake(await final_among(connection, list(self._waiting)))
            except Exception as error:  # noqa: BLE001 - the next poll may succeed
                log.warning("wait_poll_missed", error=type(error).__name__)
