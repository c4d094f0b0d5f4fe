"""Start attempts: the claim and the write-ahead log of provider calls in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import AttemptState
from shared.domain.job import JobState


@dataclass(frozen=True, slots=True)
class StartedAttempt:
    """An attempt that this worker, and nobody else, may send."""

    attempt_id: str
    job_id: str
    tenant_id: str
    epoch: int
    deployment: str
    queue: str
    permit_tokens: int
    hold_nano: int
    tries: int
    max_tries: int
    max_tokens: int
    lane: int
    seconds_left: float
    """Until the job's deadline."""
    waited: float
    """Seconds since its release, when it was started."""
    last_failure: str | None
    """The kind of the failure before this try."""
    last_error: str | None
    further: str
    """What may follow if it fails: shared.domain.attempt.Further."""
    tried: list[str]
    """Deployments that failed before, each as often as it did."""
    policy: dict[str, Any] | None
    """As shared.routing.stored.StoredPolicy keeps it."""
    request: dict[str, Any]


# In the order of StartedAttempt's fields.
STARTED_COLUMNS = """
SELECT attempts.id AS attempt_id, attempts.job_id, attempts.tenant_id, attempts.epoch,
       attempts.deployment, attempts.queue, attempts.permit_tokens, attempts.hold_nano,
       jobs.tries, jobs.max_tries, jobs.max_tokens, jobs.lane,
       extract(epoch FROM jobs.deadline - clock_timestamp())::float8 AS seconds_left,
       extract(epoch FROM clock_timestamp() - attempts.planned_at)::float8 AS waited,
       jobs.error_kind AS last_failure, jobs.error AS last_error, attempts.further,
       jobs.tried, jobs.policy, payloads.request
"""

# Jobs are locked before their attempts and in the order of their ids, as by every statement that
# locks several; what is asked of a job is asked again once it is locked. They are joined by their
# ids, too: `open_attempt` alone has no index, and would mean to read all.
START = text(f"""
WITH free AS MATERIALIZED (
    SELECT jobs.id, jobs.epoch, jobs.open_attempt FROM attempts
    JOIN jobs ON jobs.id = attempts.job_id AND jobs.open_attempt = attempts.id
    WHERE attempts.id = ANY(CAST(:attempt_ids AS text[]))
      AND jobs.state = :queued AND jobs.cancel_requested_at IS NULL
      AND jobs.deadline > clock_timestamp()
      AND EXISTS (SELECT FROM workers WHERE workers.id = :worker_id
                  AND workers.state = 'alive' AND workers.lease_until > clock_timestamp())
    ORDER BY jobs.id FOR UPDATE OF jobs
), sent AS (
    UPDATE attempts SET state = :sent, sent_at = clock_timestamp(), worker_id = :worker_id
    FROM free
    WHERE attempts.id = free.open_attempt AND attempts.epoch = free.epoch
      AND attempts.state = :planned
    RETURNING attempts.*
), moved AS (
    UPDATE jobs SET state = :running, wait_reason = NULL, state_version = state_version + 1,
        started_at = coalesce(started_at, clock_timestamp())
    FROM sent WHERE jobs.id = sent.job_id AND jobs.state = :queued
    RETURNING jobs.*
)
{STARTED_COLUMNS}
FROM sent AS attempts JOIN moved AS jobs ON jobs.id = attempts.job_id
JOIN payloads ON payloads.job_id = jobs.id
""").bindparams(
    sent=AttemptState.SENT,
    planned=AttemptState.PLANNED,
    queued=JobState.QUEUED,
    running=JobState.RUNNING,
)

STARTED_BEFORE = text(f"""
{STARTED_COLUMNS}
FROM attempts JOIN jobs ON jobs.id = attempts.job_id AND jobs.open_attempt = attempts.id
JOIN payloads ON payloads.job_id = jobs.id
WHERE attempts.id = ANY(CAST(:attempt_ids AS text[])) AND attempts.state = :sent
  AND attempts.worker_id = :worker_id AND jobs.state = :running
""").bindparams(sent=AttemptState.SENT, running=JobState.RUNNING)


async def start(
    connection: AsyncConnection, attempt_ids: Sequence[str], worker_id: str
) -> list[StartedAttempt]:
    """Move planned attempts to sent; only what this returns may be called.

    A message that came twice, came late, or reached a worker without a lease gets
    nothing.
    """
    rows = await connection.execute(
        START, {"attempt_ids": list(attempt_ids), "worker_id": worker_id}
    )
    return [StartedAttempt(*row) for row in rows]


async def started_before(
    connection: AsyncConnection, attempt_ids: Sequence[str], worker_id: str
) -> list[StartedAttempt]:
    """Those of the attempts that this worker has started already: after a lost COMMIT reply."""
    rows = await connection.execute(
        STARTED_BEFORE, {"attempt_ids": list(attempt_ids), "worker_id": worker_id}
    )
    return [StartedAttempt(*row) for row in rows]
