"""The lease of this process: one row, one heartbeat, and what it brings back."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from time import monotonic

import structlog

from shared.db import workers
from shared.db.engine import Database
from shared.db.workers import WorkerRow
from shared.domain.ids import IdKind, new_id
from shared.meters.meter import Slot
from shared.settings import LeaseSettings
from worker.pipeline.slots import Slots

log = structlog.get_logger(__name__)


class Heartbeat:
    """Keeps the lease alive, renews the slots of calls in flight, hears of cancellations."""

    def __init__(
        self,
        database: Database,
        slots: Slots,
        lease: LeaseSettings,
        *,
        capacity: int,
        in_flight: Callable[[], Iterable[Slot]],
        stop_jobs: Callable[[Iterable[str]], None],
    ) -> None:
        self._database = database
        self._slots = slots
        self._lease = lease
        self.queues: tuple[str, ...] = ()
        self.missing: Mapping[str, str] = {}
        """Of the providers of those queues why this worker cannot call them; like the queues told
        at `register`, and with `tell` when they change."""
        self.capacity = capacity
        """Told to everybody with the next beat."""
        self._in_flight = in_flight
        self._stop_jobs = stop_jobs
        self._renewed_at = 0.0
        self.worker_id = ""

    async def register(self) -> None:
        """Take a fresh identity with a lease of its own."""
        worker = self._row(new_id(IdKind.WORKER))
        asked_at = monotonic()
        async with self._database.transaction() as connection:
            await workers.register(connection, worker, self._lease.ttl)
        self.worker_id = worker.id
        self._renewed_at = asked_at

    async def tell(self) -> None:
        """Say again which queues it takes and whom it cannot call. Raises database errors."""
        async with self._database.transaction() as connection:
            await workers.change(connection, self._row(self.worker_id))

    def _row(self, worker_id: str) -> WorkerRow:
        return WorkerRow(
            id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.queues,
            capacity=self.capacity,
            missing=self.missing,
        )

    @property
    def sure(self) -> bool:
        """Whether the lease is certainly ours: two thirds of it have not yet gone by."""
        return monotonic() - self._renewed_at < self._lease.ttl * 2 / 3

    async def run(self) -> None:
        """Beat until cancelled; no error ends it."""
        while True:
            await asyncio.sleep(self._lease.heartbeat)
            try:
                await self._beat()
            except Exception as error:  # noqa: BLE001 - the next beat may succeed
                log.warning("heartbeat_missed", error=type(error).__name__)
            await self._slots.renew(self._in_flight())

    async def _beat(self) -> None:
        asked_at = monotonic()
        async with self._database.transaction() as connection:
            to_stop = await workers.beat(connection, self.worker_id, self._lease.ttl, self.capacity)
        if to_stop is None:
            # Rescued behind our back: what is in flight is stale, what comes is somebody new's.
            log.warning("lease_lost", worker_id=self.worker_id)
            await self.register()
            return
        self._renewed_at = asked_at
        self._stop_jobs(to_stop)

    async def leave(self) -> None:
        """Say goodbye in order."""
        async with self._database.transaction() as connection:
            await workers.stop(connection, self.worker_id)
