"""Finish attempts in micro-batches: result, cost, hold and event in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database, is_connection_loss
from shared.db.leave import Leaving, Left, leave
from shared.domain.failure import FailureKind
from shared.domain.job import JobState
from shared.settings import WorkerSettings
from worker.failpoint import Failpoints
from worker.pipeline.batcher import Batcher
from worker.pipeline.patience import until_answered

log = structlog.get_logger(__name__)
Leave = Callable[[AsyncConnection, Sequence[Leaving]], Awaitable[list[Left]]]


class Finisher:
    """Closes sent attempts; returns when that is committed."""

    def __init__(
        self,
        database: Database,
        settings: WorkerSettings,
        failpoints: Failpoints,
        told: Callable[[Sequence[Left]], Awaitable[None]],
    ) -> None:
        """`told` hears of every batch after its commit: slots and doorbells, best effort."""
        self._database = database
        self._failpoints = failpoints
        self._told = told
        self._batcher = Batcher[Leaving, JobState | None](
            self._flush, rows=settings.flush_rows, after=settings.flush_after
        )

    async def finish(self, leaving: Leaving) -> JobState | None:
        """Record how an attempt ended; waits for Postgres as long as it takes.

        Returns where its job is now; None: the report was stale, only its cost counted.
        """
        return await self._batcher.submit(leaving)

    async def _flush(self, reports: Sequence[Leaving]) -> list[JobState | None]:
        # Halves of a bisected batch lock their jobs in one order, too.
        ordered = sorted(reports, key=lambda report: report.job_id)

        try:
            left = await self._committed(leave, ordered)
        except (DBAPIError, ValueError):
            # Some row cannot be stored as it is. Savepoints cost two round trips a batch: they
            # are taken only now.
            left = await self._committed(leave_or_bisect, ordered)
        self._failpoints.passing("after_commit_before_ack")
        await self._told(left)
        moved = {row.attempt_id: row.moved_to for row in left}
        return [moved.get(report.attempt_id) for report in reports]

    async def _committed(self, way: Leave, reports: Sequence[Leaving]) -> list[Left]:
        async def once() -> list[Left]:
            async with self._database.transaction() as connection:
                left = await way(connection, reports)
                self._failpoints.passing("before_commit")
                return left

        return await until_answered("finish", once)


async def leave_or_bisect(connection: AsyncConnection, reports: Sequence[Leaving]) -> list[Left]:
    """Leave all; a row that cannot be stored as it is does not keep the others waiting."""
    try:
        async with connection.begin_nested():
            return await leave(connection, reports)
    except (DBAPIError, ValueError) as error:
        if is_connection_loss(error):
            raise
        if len(reports) == 1:
            return await _leave_somehow(connection, reports[0], error)
    half = len(reports) // 2
    return [
        *await leave_or_bisect(connection, reports[:half]),
        *await leave_or_bisect(connection, reports[half:]),
    ]


async def _leave_somehow(
    connection: AsyncConnection, report: Leaving, error: Exception
) -> list[Left]:
    """Store one refused row sanitised, or at least its end and its cost.

    What even then is refused is a fault of ours: its attempt stays open, the other rows of
    the batch are not lost with it.
    """
    for form in (sanitised(report), unrecordable(report)):
        log.warning("report_refused", job_id=report.job_id, error=str(error)[:300])
        try:
            async with connection.begin_nested():
                return await leave(connection, [form])
        except (DBAPIError, ValueError) as again:
            if is_connection_loss(again):
                raise
            error = again
    log.error("report_lost", attempt_id=report.attempt_id, error=str(error)[:300])
    return []


def sanitised(report: Leaving) -> Leaving:
    """The same report with every text in a form that Postgres can keep."""
    return replace(
        report,
        result=_storable_json(report.result),
        error=_storable(report.error),
        provider_request_id=_storable(report.provider_request_id),
        sanitised=True,
    )


def unrecordable(report: Leaving) -> Leaving:
    """The bare end of an attempt whose outcome Postgres refuses: failed, with its cost."""
    return Leaving(
        attempt_id=report.attempt_id,
        job_id=report.job_id,
        epoch=report.epoch,
        attempt_state=report.attempt_state,
        job_state=JobState.FAILED,
        cost_nano=report.cost_nano,
        failure_kind=FailureKind.INTERNAL,
        error="the outcome could not be stored; the worker's log says why",
    )


def _storable(text: str | None) -> str | None:
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _storable_json(text: str | None) -> str | None:
    """JSON text whose NUL escapes stand for the replacement character."""
    if text is None:
        return None
    # An escaped backslash before `u0000` is text about an escape, not an escape.
    parts = text.split("\\\\")
    return "\\\\".join(_storable(part.replace("\\u0000", "\\ufffd")) or "" for part in parts)
