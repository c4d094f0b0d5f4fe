"""The calls in flight of this process, and how they are broken off."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from shared.db.start import StartedAttempt
from shared.domain.job import JobState
from shared.meters.meter import Slot


class StopReason(StrEnum):
    """Why a call is broken off."""

    CANCELLED = "cancelled by its owner"
    DRAINED = "the worker was stopped; the job goes on elsewhere"


STATE_AFTER = {StopReason.CANCELLED: JobState.CANCELLED, StopReason.DRAINED: JobState.QUEUED}


@dataclass(slots=True, eq=False)
class Flight:
    """One attempt from its start to its record."""

    attempt: StartedAttempt
    stopping: StopReason | None = None
    decided: bool = False
    """From here on the outcome stands and is only being recorded."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def stop(self, reason: StopReason) -> None:
        """Break the call off, unless its outcome is already decided."""
        if not self.decided and self.stopping is None and self.task is not None:
            self.stopping = reason
            self.task.cancel()


class Flights:
    """All of them, by attempt id."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, attempt_id: object) -> bool:
        return attempt_id in self._flights

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._flights.values()))

    def add(self, flight: Flight, task: asyncio.Task[None]) -> None:
        """Watch a flight until its task ends."""
        flight.task = task
        self._flights[flight.attempt.attempt_id] = flight
        self._empty.clear()
        task.add_done_callback(lambda _: self._remove(flight.attempt.attempt_id))

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
        """Break off every call: this process goes."""
        for flight in self:
            flight.stop(StopReason.DRAINED)

    async def landed(self) -> None:
        """Wait until none is in flight."""
        await self._empty.wait()

    def _remove(self, attempt_id: str) -> None:
        del self._flights[attempt_id]
        if not self._flights:
            self._empty.set()
