"""Leave `running`: the one function through which every attempt that was sent is closed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.doubts import doubted_beside
from shared.db.windows import COUNT_BOOKED
from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import FINAL_STATES, JobState, WaitReason

ISOLATED_CRASHES_TO_FAIL: Final = 2
"""Crashes in isolation that condemn a job; crashes elsewhere only make it a suspect."""
CRASHES_TO_ISOLATE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """How one sent attempt ended and what becomes of its job; JSON fields are text."""

    attempt_id: str
    job_id: str
    epoch: int
    attempt_state: AttemptState
    job_state: JobState
    cost_nano: int | None = None
    """None: nobody knows, the hold is charged and flagged."""
    spends_try: bool = False
    crashed: bool = False
    tried: str | None = None
    """The deployment, when the job shall not meet it again."""
    delay_seconds: float = 0.0
    wait_reason: WaitReason | None = None
    failure_kind: FailureKind | None = None
    error: str | None = None
    usage: str | None = None
    price: str | None = None
    result: str | None = None
    sanitised: bool = False
    provider_request_id: str | None = None
    latency_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What `leave` did with one attempt."""

    attempt_id: str
    job_id: str
    deployment: str
    queue: str
    route: str
    moved_to: JobState | None
    """None: a stale report; its cost was recorded, the job belongs to another epoch."""


LOCK = text("""
SELECT id FROM jobs WHERE id = ANY(CAST(:job_ids AS text[])) ORDER BY id FOR UPDATE
""")

# The jobs are locked, so nothing else moves their attempts meanwhile. A report that comes
# again finds its attempt closed and changes nothing: that is how a lost COMMIT reply heals.
LEAVE = text(f"""
WITH report AS (
    SELECT r.*, attempts.state AS old_state, attempts.hold_nano, attempts.queue,
           attempts.deployment, attempts.tenant_id, attempts.budgets,
           coalesce(r.cost_nano, attempts.hold_nano) AS charge
    FROM unnest(
        CAST(:attempt_id AS text[]), CAST(:job_id AS text[]), CAST(:epoch AS int[]),
        CAST(:attempt_state AS text[]), CAST(:job_state AS text[]), CAST(:cost_nano AS bigint[]),
        CAST(:spends_try AS boolean[]), CAST(:crashed AS boolean[]), CAST(:tried AS text[]),
        CAST(:delay_seconds AS float8[]), CAST(:wait_reason AS text[]),
        CAST(:failure_kind AS text[]), CAST(:error AS text[]), CAST(:usage AS jsonb[]),
        CAST(:price AS jsonb[]), CAST(:result AS jsonb[]), CAST(:sanitised AS boolean[]),
        CAST(:provider_request_id AS text[]), CAST(:latency_ms AS int[])
    ) AS r(attempt_id, job_id, epoch, attempt_state, job_state, cost_nano, spends_try, crashed,
           tried, delay_seconds, wait_reason, failure_kind, error, usage, price, result,
           sanitised, provider_request_id, latency_ms)
    JOIN attempts ON attempts.id = r.attempt_id
    WHERE attempts.state = :sent OR (attempts.state = :unknown AND r.attempt_state <> :unknown)
), closed AS (
    UPDATE attempts SET state = report.attempt_state, cost_nano = report.charge,
        failure_kind = coalesce(report.failure_kind, attempts.failure_kind),
        error = report.error, usage = report.usage, price = report.price,
        provider_request_id = report.provider_request_id, latency_ms = report.latency_ms,
        ended_at = clock_timestamp()
    FROM report
    WHERE attempts.id = report.attempt_id AND attempts.state IN (:sent, :unknown)
    RETURNING attempts.id
), booked AS (
    INSERT INTO ledger (attempt_id, kind, tenant_id, job_id, spent_nano, held_nano, flagged,
                        budgets)
    SELECT attempt_id,
           CASE WHEN old_state = :sent THEN 'settle' ELSE 'adjust' END, tenant_id, job_id,
           CASE WHEN old_state = :sent THEN charge ELSE charge - hold_nano END,
           CASE WHEN old_state = :sent THEN -hold_nano ELSE 0 END,
           attempt_state = :unknown OR cost_nano IS NULL, budgets
    FROM report
    -- A late report that does not know the bill either adds nothing: it can still be corrected.
    WHERE old_state = :sent OR cost_nano IS NOT NULL
    RETURNING attempt_id, spent_nano, held_nano, budgets
), summed AS (
    INSERT INTO usage_pending (attempt_id, was, cost_nano)
    SELECT attempt_id, old_state, CASE WHEN old_state = :sent THEN 0 ELSE hold_nano END FROM report
), {COUNT_BOOKED}, target AS (
    SELECT report.*, CASE
        WHEN report.job_state NOT IN (:queued, :scheduled) THEN report.job_state
        WHEN jobs.cancel_requested_at IS NOT NULL THEN :cancelled
        WHEN jobs.deadline <= clock_timestamp() THEN :expired
        WHEN report.crashed AND report.queue = 'isolated'
             AND jobs.isolated_crashes + 1 >= :condemned THEN :failed
        ELSE report.job_state END AS to_state,
        -- A wait says nothing of the request: what failed before is what the next try must heed.
        report.job_state = :queued AND NOT report.spends_try AND jobs.error_kind IS NOT NULL
            AS keeps
    FROM report JOIN jobs ON jobs.id = report.job_id
    WHERE jobs.state = :running AND jobs.epoch = report.epoch
      AND jobs.open_attempt = report.attempt_id
), moved AS (
    UPDATE jobs SET state = target.to_state, open_attempt = NULL,
        state_version = state_version + 1,
        wait_reason = CASE WHEN target.to_state = :scheduled THEN target.wait_reason END,
        run_at = CASE WHEN target.to_state = :scheduled
            THEN clock_timestamp() + make_interval(secs => target.delay_seconds)
            ELSE jobs.run_at END,
        tries = jobs.tries + target.spends_try::int,
        tried = CASE WHEN target.tried IS NULL THEN jobs.tried
            ELSE array_append(jobs.tried, target.tried) END,
        crashes = jobs.crashes + target.crashed::int,
        isolated_crashes =
            jobs.isolated_crashes + (target.crashed AND target.queue = 'isolated')::int,
        isolated = jobs.isolated
            OR (target.crashed AND jobs.crashes + 1 >= :suspected),
        cost_nano = jobs.cost_nano + target.charge,
        cost_flagged = jobs.cost_flagged
            OR target.attempt_state = :unknown OR target.cost_nano IS NULL,
        error_kind = CASE WHEN target.to_state = :succeeded THEN NULL
            WHEN target.keeps AND target.to_state = :queued THEN jobs.error_kind
            ELSE coalesce(target.failure_kind, jobs.error_kind) END,
        error = CASE WHEN target.to_state = :succeeded THEN NULL
            WHEN target.keeps AND target.to_state = :queued THEN jobs.error
            ELSE coalesce(target.error, jobs.error) END,
        finished_at = CASE WHEN target.to_state = ANY(CAST(:finals AS text[]))
            THEN clock_timestamp() END
    FROM target WHERE jobs.id = target.job_id AND jobs.state = :running
    RETURNING jobs.id, jobs.tenant_id, jobs.state, jobs.state_version, target.attempt_id
), late AS (
    UPDATE jobs SET cost_nano = jobs.cost_nano + report.charge
        - CASE WHEN report.old_state = :sent THEN 0 ELSE report.hold_nano END,
        cost_flagged = report.attempt_state = :unknown OR report.cost_nano IS NULL
            OR {doubted_beside("report")}
    FROM report
    WHERE jobs.id = report.job_id AND report.attempt_id NOT IN (SELECT attempt_id FROM target)
), recorded AS (
    INSERT INTO results (job_id, attempt_id, body, sanitised)
    SELECT target.job_id, target.attempt_id, target.result, target.sanitised
    FROM target WHERE target.to_state = :succeeded
), told AS (
    INSERT INTO events (tenant_id, job_id, type, state_version)
    SELECT tenant_id, id, 'job.' || state, state_version FROM moved
    WHERE state = ANY(CAST(:finals AS text[]))
)
SELECT report.attempt_id, report.job_id, report.deployment, report.queue, jobs.route,
       moved.state AS moved_to
FROM report JOIN jobs ON jobs.id = report.job_id
LEFT JOIN moved ON moved.attempt_id = report.attempt_id
""").bindparams(
    sent=AttemptState.SENT,
    unknown=AttemptState.UNKNOWN,
    queued=JobState.QUEUED,
    scheduled=JobState.SCHEDULED,
    running=JobState.RUNNING,
    succeeded=JobState.SUCCEEDED,
    failed=JobState.FAILED,
    cancelled=JobState.CANCELLED,
    expired=JobState.EXPIRED,
    finals=sorted(FINAL_STATES),
    condemned=ISOLATED_CRASHES_TO_FAIL,
    suspected=CRASHES_TO_ISOLATE,
)


async def leave(connection: AsyncConnection, reports: Sequence[Leaving]) -> list[Left]:
    """Close each sent attempt: result, cost, hold, job and event in this transaction.

    Harmless when repeated. A report whose job has gone on to another epoch writes no
    result, but its cost is booked, once.
    """
    await connection.execute(LOCK, {"job_ids": [report.job_id for report in reports]})
    left: list[Left] = []
    for rows in _one_per_job(reports):
        columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(Leaving)}
        answer = await connection.execute(LEAVE, columns)
        left += [
            Left(
                row.attempt_id,
                row.job_id,
                row.deployment,
                row.queue,
                row.route,
                JobState(row.moved_to) if row.moved_to else None,
            )
            for row in answer
        ]
    return left


def _one_per_job(reports: Sequence[Leaving]) -> Iterator[list[Leaving]]:
    """Split the reports so that no part names a job twice: a row is updated once a statement."""
    rest = list(reports)
    while rest:
        seen: set[str] = set()
        part: list[Leaving] = []
        later: list[Leaving] = []
        for report in rest:
            (later if report.job_id in seen else part).append(report)
            seen.add(report.job_id)
        yield part
        rest = later
