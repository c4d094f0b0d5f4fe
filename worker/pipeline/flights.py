"""The calls in flight of this process, and how they are broken off."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Any

import structlog

from shared.db.start import StartedAttempt
from shared.domain.job import JobState
from shared.meters.meter import Slot
from worker.pipeline.slots import Heard

log = structlog.get_logger(__name__)


class StopReason(StrEnum):
    """Why a call is broken off."""

    CANCELLED = "cancelled by its owner"
    DRAINED = "the worker was stopped; the job goes on elsewhere"


STATE_AFTER = {StopReason.CANCELLED: JobState.CANCELLED, StopReason.DRAINED: JobState.QUEUED}


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt from its start to its record."""

    attempt: StartedAttempt
    began: float = field(default_factory=monotonic)
    stopping: StopReason | None = None
    begun: bool = False
    sent: bool = False
    """The request is on its way, or may be."""
    heard: Heard = field(default_factory=Heard)
    """What the provider said of quota."""
    decided: bool = False
    """From here on the outcome stands and is only being recorded."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def age(self) -> float:
        """Seconds since its permit was granted."""
        return self.attempt.waited + monotonic() - self.began

    def stop(self, reason: StopReason) -> None:
        """Break the call off, unless its outcome is already decided."""
        if not self.decided and self.stopping is None and self.task is not None:
            self.stopping = reason
            # A task that is cancelled before its first step never records anything; its
            # course sees `stopping` instead.
            if self.begun:
                self.task.cancel()


class Flights:
    """All of them, by attempt id."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._flights: dict[str, Flight] = {}
        self._landing = asyncio.Condition()
        self._boarding = 0
        self._doors_open = True
        self._grounded = False

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, attempt_id: object) -> bool:
        return attempt_id in self._flights

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._flights.values()))

    def take_off(self, flight: Flight, course: Coroutine[Any, Any, None]) -> None:
        """Fly this course as a task of its own, watched until it ends."""
        self._flights[flight.attempt.attempt_id] = flight
        if self._grounded:
            flight.stopping = StopReason.DRAINED
        flight.task = asyncio.create_task(self._fly(flight, course))

    @asynccontextmanager
    async def boarding(self) -> AsyncIterator[None]:
        """Wait until one more may take off; nothing has landed while somebody boards.

        The fleet's slots are granted to all workers together, and messages may come to one
        of them unevenly.
        """
        async with self._landing:
            await self._landing.wait_for(lambda: self._doors_open and len(self) < self.capacity)
        self._boarding += 1
        try:
            yield
        finally:
            self._boarding -= 1
            async with self._landing:
                self._landing.notify_all()

    async def resize(self, capacity: int) -> None:
        """Let so many be in flight from now on; those above it go on to their end."""
        self.capacity = capacity
        async with self._landing:
            self._landing.notify_all()

    def close_doors(self) -> None:
        """Nobody boards any more: their messages stay unacknowledged and go to others."""
        self._doors_open = False

    def slots(self) -> list[Slot]:
        """The concurrency slots that they hold."""
        return [
            Slot(flight.attempt.attempt_id, flight.attempt.deployment, flight.attempt.queue)
            for flight in self
        ]

    def stop_jobs(self, job_ids: Iterable[str]) -> None:
        """Break off the calls of these jobs: their owner asked for it."""
        wanted = set(job_ids)
        for flight in self:
            if flight.attempt.job_id in wanted:
                flight.stop(StopReason.CANCELLED)

    def stop_all(self) -> None:
        """Break off every call, and what still takes off: this process goes."""
        self._grounded = True
        for flight in self:
            flight.stop(StopReason.DRAINED)

    async def landed(self) -> None:
        """Wait until none is in flight or about to be."""
        async with self._landing:
            await self._landing.wait_for(lambda: not self._flights and not self._boarding)

    async def _fly(self, flight: Flight, course: Coroutine[Any, Any, None]) -> None:
        flight.begun = True
        attempt = flight.attempt
        structlog.contextvars.bind_contextvars(
            job_id=attempt.job_id, attempt_id=attempt.attempt_id, tenant_id=attempt.tenant_id
        )
        try:
            await course
            log.debug("landed", deployment=attempt.deployment)
        except Exception:
            # The lease covers it: the attempt stays `sent` until this process is gone.
            log.exception("flight_lost", attempt_id=flight.attempt.attempt_id)
        finally:
            del self._flights[flight.attempt.attempt_id]
            async with self._landing:
                self._landing.notify_all()
