"""Start attempts in micro-batches: commit that they are sent, then send them."""

from collections.abc import Container, Sequence
from dataclasses import replace
from time import monotonic

from shared.db.engine import Database
from shared.db.start import StartedAttempt, start, started_before
from shared.settings import WorkerSettings
from worker.pipeline.batcher import Batcher
from worker.pipeline.heartbeat import Heartbeat
from worker.pipeline.patience import until_answered


class Starter:
    """Turns attempt ids out of messages into attempts that this worker may call."""

    def __init__(
        self,
        database: Database,
        heartbeat: Heartbeat,
        in_flight: Container[str],
        settings: WorkerSettings,
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._in_flight = in_flight
        self._batcher = Batcher[Sequence[str], list[StartedAttempt]](
            self._flush, rows=settings.flush_rows, after=settings.flush_after
        )

    async def start(self, attempt_ids: Sequence[str]) -> list[StartedAttempt]:
        """The attempts among these that are ours now; their messages may be acknowledged."""
        return await self._batcher.submit(attempt_ids)

    async def _flush(self, groups: Sequence[Sequence[str]]) -> list[list[StartedAttempt]]:
        attempt_ids = [attempt_id for group in groups for attempt_id in group]
        started = await self._start(attempt_ids)
        mine = {attempt.attempt_id: attempt for attempt in started}
        # A message that came twice into one batch starts its attempts once.
        return [
            [mine.pop(attempt_id) for attempt_id in group if attempt_id in mine] for group in groups
        ]

    async def _start(self, attempt_ids: list[str]) -> list[StartedAttempt]:
        repeated = False

        async def once() -> list[StartedAttempt]:
            nonlocal repeated
            first, repeated = not repeated, True
            worker_id, asked = self._heartbeat.worker_id, monotonic()
            async with self._database.transaction() as connection:
                started = await start(connection, attempt_ids, worker_id)
                if not first:
                    # The first COMMIT may have gone through and only its reply been lost.
                    started += await started_before(connection, attempt_ids, worker_id)
            # The reply may have come late, too: a permit is rather taken for too old.
            late = monotonic() - asked
            return [
                replace(attempt, waited=attempt.waited + late)
                for attempt in started
                if attempt.attempt_id not in self._in_flight
            ]

        return await until_answered("start", once)
