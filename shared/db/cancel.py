"""Cancel, expire and wake jobs: the moves that need no provider call."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.give_back import GivenBack, give_back
from shared.domain.job import GiveUp, JobState

LOCK = text("""
SELECT id, state, open_attempt FROM jobs
WHERE id = :job_id AND (CAST(:tenant_id AS text) IS NULL OR tenant_id = :tenant_id) FOR UPDATE
""")

END_WAITING = text("""
WITH moved AS (
    UPDATE jobs SET state = :final, open_attempt = NULL, state_version = state_version + 1,
        finished_at = clock_timestamp(), wait_reason = NULL,
        error_kind = :kind, error = :reason
    WHERE id = ANY(CAST(:job_ids AS text[])) AND state IN (:scheduled, :queued)
    RETURNING id, tenant_id, state, state_version
)
INSERT INTO events (tenant_id, job_id, type, state_version)
SELECT tenant_id, id, 'job.' || state, state_version FROM moved
""").bindparams(scheduled=JobState.SCHEDULED, queued=JobState.QUEUED)

# What another dispatcher released meanwhile is its.
FREE_AMONG = text("""
SELECT id FROM jobs
WHERE id = ANY(CAST(:job_ids AS text[])) AND state = :queued AND open_attempt IS NULL
ORDER BY id FOR UPDATE SKIP LOCKED
""").bindparams(queued=JobState.QUEUED)

ASK_TO_STOP = text("""
UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
WHERE id = :job_id AND state = :running
""").bindparams(running=JobState.RUNNING)

# Literals: the index of a batch's open jobs is of these states.
WAITING_OF_BATCH = text("""
SELECT id, open_attempt FROM jobs
WHERE tenant_id = :tenant_id AND batch = :batch AND state IN ('scheduled', 'queued')
ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""")

STOP_BATCH = text("""
UPDATE jobs SET cancel_requested_at = clock_timestamp()
WHERE tenant_id = :tenant_id AND batch = :batch AND state = :running
  AND cancel_requested_at IS NULL
RETURNING id
""").bindparams(running=JobState.RUNNING)

OPEN_OF_BATCH = text("""
SELECT EXISTS (SELECT FROM jobs WHERE tenant_id = :tenant_id AND batch = :batch
               AND state IN ('scheduled', 'queued', 'running'))
""")

# now(), not clock_timestamp(): only a bound that stands still is looked up in an index.
OVERDUE = text("""
SELECT id, open_attempt FROM jobs
WHERE state IN (:scheduled, :queued) AND deadline <= now()
ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
""").bindparams(scheduled=JobState.SCHEDULED, queued=JobState.QUEUED)

WAKE = text("""
UPDATE jobs SET state = :queued, wait_reason = NULL, state_version = state_version + 1
WHERE id IN (
    SELECT id FROM jobs WHERE state = :scheduled AND run_at <= now()
    ORDER BY run_at LIMIT :limit FOR UPDATE SKIP LOCKED
) AND state = :scheduled
RETURNING route
""").bindparams(scheduled=JobState.SCHEDULED, queued=JobState.QUEUED)

REASON_OF_BATCH: Final = {
    JobState.CANCELLED: "its batch was cancelled",
    JobState.EXPIRED: "the time of its batch was over before an answer came",
}


async def cancel(
    connection: AsyncConnection, tenant_id: str | None, job_id: str
) -> tuple[JobState | None, list[GivenBack]]:
    """Cancel a job: at once if it waits, else by asking its worker.

    `tenant_id` None is the operator, who may cancel anybody's.

    Returns the state after the call (None: no such job of this tenant; a final state
    stays as it is) and the permit that was given back.
    """
    found = await connection.execute(LOCK, {"job_id": job_id, "tenant_id": tenant_id})
    job = found.one_or_none()
    if job is None:
        return None, []
    state = JobState(job.state)
    if state is JobState.RUNNING:
        await connection.execute(ASK_TO_STOP, {"job_id": job_id})
    if state in {JobState.SCHEDULED, JobState.QUEUED}:
        reason = f"cancelled by its {'owner' if tenant_id else 'operator'}"
        given = await _end_waiting(
            connection, [(job_id, job.open_attempt)], JobState.CANCELLED, reason
        )
        return JobState.CANCELLED, given
    return state, []


async def end_waiting_of_batch(
    connection: AsyncConnection, tenant_id: str, batch: str, final: JobState, limit: int = 500
) -> list[str]:
    """Cancel or expire so many jobs of a batch that wait; their ids, none when none is left."""
    asked = {"tenant_id": tenant_id, "batch": batch, "limit": limit}
    rows = (await connection.execute(WAITING_OF_BATCH, asked)).all()
    if rows:
        waiting = [(row.id, row.open_attempt) for row in rows]
        await _end_waiting(connection, waiting, final, REASON_OF_BATCH[final])
    return [row.id for row in rows]


async def stop_batch(connection: AsyncConnection, tenant_id: str, batch: str) -> list[str]:
    """Ask the running jobs of a batch to stop; those that were not asked before."""
    asked = {"tenant_id": tenant_id, "batch": batch}
    return list((await connection.execute(STOP_BATCH, asked)).scalars())


async def is_open_batch(connection: AsyncConnection, tenant_id: str, batch: str) -> bool:
    """Whether some job of the batch has not ended."""
    asked = {"tenant_id": tenant_id, "batch": batch}
    return bool((await connection.execute(OPEN_OF_BATCH, asked)).scalar_one())


async def expire_overdue(connection: AsyncConnection, limit: int = 500) -> list[GivenBack]:
    """End the jobs whose deadline passed while they waited; the permits that were given back."""
    rows = (await connection.execute(OVERDUE, {"limit": limit})).all()
    waiting = [(row.id, row.open_attempt) for row in rows]
    reason = "the deadline passed before an answer came"
    return await _end_waiting(connection, waiting, JobState.EXPIRED, reason) if waiting else []


async def give_up(
    connection: AsyncConnection, job_ids: Sequence[str], kind: GiveUp, reason: str
) -> list[str]:
    """Fail those of the queued jobs that nobody has released; their ids."""
    free = list((await connection.execute(FREE_AMONG, {"job_ids": list(job_ids)})).scalars())
    if free:
        waiting = [(job_id, None) for job_id in free]
        await _end_waiting(connection, waiting, JobState.FAILED, reason, kind)
    return free


async def wake_scheduled(connection: AsyncConnection, limit: int = 1000) -> set[str]:
    """Queue the scheduled jobs whose time has come; the routes that got work."""
    return set((await connection.execute(WAKE, {"limit": limit})).scalars())


async def _end_waiting(
    connection: AsyncConnection,
    waiting: Sequence[tuple[str, str | None]],
    final: JobState,
    reason: str,
    kind: GiveUp | None = None,
) -> list[GivenBack]:
    """Move locked, waiting jobs to a final state; their planned attempts go back first."""
    open_attempts = [attempt_id for _, attempt_id in waiting if attempt_id]
    given = await give_back(connection, open_attempts) if open_attempts else []
    job_ids = [job_id for job_id, _ in waiting]
    values = {"job_ids": job_ids, "final": final, "kind": kind or final, "reason": reason}
    await connection.execute(END_WAITING, values)
    return given
