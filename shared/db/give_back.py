"""Give back attempts that were planned and never sent: they count for nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.windows import COUNT_BOOKED
from shared.domain.attempt import AttemptState
from shared.domain.job import JobState


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A permit that nobody used."""

    attempt_id: str
    deployment: str
    queue: str
    permit_tokens: int


LOCK = text("""
SELECT jobs.id FROM jobs JOIN attempts ON attempts.job_id = jobs.id
WHERE attempts.id = ANY(CAST(:attempt_ids AS text[])) AND attempts.state = :planned
ORDER BY jobs.id FOR UPDATE OF jobs
""").bindparams(planned=AttemptState.PLANNED)

GIVE_BACK = text(f"""
WITH returned AS (
    UPDATE attempts SET state = :returned, ended_at = clock_timestamp(), cost_nano = 0
    WHERE id = ANY(CAST(:attempt_ids AS text[])) AND state = :planned
    RETURNING id, job_id, tenant_id, deployment, queue, permit_tokens, hold_nano, budgets
), freed AS (
    UPDATE jobs SET open_attempt = NULL
    FROM returned
    WHERE jobs.id = returned.job_id AND jobs.open_attempt = returned.id AND jobs.state = :queued
), booked AS (
    INSERT INTO ledger (attempt_id, kind, tenant_id, job_id, spent_nano, held_nano, budgets)
    SELECT id, 'release', tenant_id, job_id, 0, -hold_nano, budgets FROM returned
    RETURNING attempt_id, spent_nano, held_nano, budgets
), {COUNT_BOOKED}
SELECT id, deployment, queue, permit_tokens FROM returned
""").bindparams(
    planned=AttemptState.PLANNED, returned=AttemptState.RETURNED, queued=JobState.QUEUED
)

# now(), not clock_timestamp(): only a bound that stands still is looked up in an index.
UNSTARTED = text("""
SELECT id FROM attempts
WHERE state = :planned
  AND planned_at < now() - make_interval(secs => :older_than_seconds)
ORDER BY planned_at LIMIT :limit
""").bindparams(planned=AttemptState.PLANNED)


async def give_back(connection: AsyncConnection, attempt_ids: Sequence[str]) -> list[GivenBack]:
    """Return planned attempts, their holds with them; their jobs may be released again."""
    await connection.execute(LOCK, {"attempt_ids": list(attempt_ids)})
    rows = await connection.execute(GIVE_BACK, {"attempt_ids": list(attempt_ids)})
    return [GivenBack(row.id, row.deployment, row.queue, row.permit_tokens) for row in rows]


async def give_back_unstarted(
    connection: AsyncConnection, *, older_than_seconds: float, limit: int = 500
) -> list[GivenBack]:
    """Return attempts whose message was lost, or whose worker died before it started them."""
    rows = await connection.execute(
        UNSTARTED, {"older_than_seconds": older_than_seconds, "limit": limit}
    )
    attempt_ids = list(rows.scalars())
    return await give_back(connection, attempt_ids) if attempt_ids else []
