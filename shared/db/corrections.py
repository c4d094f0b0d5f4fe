"""Correct what was charged for calls whose bill nobody knew: once each, and listed until then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.doubts import doubted_beside
from shared.db.windows import COUNT_BOOKED
from shared.domain.attempt import REPORTED_ATTEMPTS, AttemptState
from shared.domain.ids import IdKind, first_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What one call cost after all, and how that is known."""

    attempt_id: str
    cost_nano: int
    reason: str


# Charged at their holds: the settlement is flagged, and nothing was said about it since.
OPEN: Final = """
settled.kind = 'settle' AND settled.flagged
AND NOT EXISTS (SELECT FROM ledger AS adjusted
                WHERE adjusted.attempt_id = settled.attempt_id AND adjusted.kind = 'adjust')
"""
FLAGGED = text(f"""
SELECT attempts.id, attempts.job_id, attempts.tenant_id, attempts.deployment, attempts.state,
       attempts.sent_at, attempts.ended_at, attempts.cost_nano, attempts.error,
       attempts.provider_request_id
FROM ledger AS settled JOIN attempts ON attempts.id = settled.attempt_id
WHERE {OPEN} AND settled.attempt_id > :after
ORDER BY settled.attempt_id LIMIT :limit
""")
EXCESS = text("""
SELECT settled.attempt_id AS id, settled.job_id, settled.tenant_id, attempts.deployment,
       settled.at, -settled.held_nano AS hold_nano, settled.spent_nano AS cost_nano,
       settled.spent_nano + settled.held_nano AS excess_nano
FROM ledger AS settled LEFT JOIN attempts ON attempts.id = settled.attempt_id
WHERE settled.kind = 'settle' AND settled.spent_nano + settled.held_nano > 0
  AND settled.attempt_id > :after
ORDER BY settled.attempt_id LIMIT :limit
""")

LOCK = text("""
SELECT jobs.id FROM jobs JOIN attempts ON attempts.job_id = jobs.id
WHERE attempts.id = ANY(CAST(:attempt_ids AS text[]))
ORDER BY jobs.id FOR UPDATE OF jobs
""")

# An unknown attempt becomes a failed one: a worker that reports late finds it closed and books
# nothing. Whoever of the two comes first holds the job's lock, the other finds the adjustment.
CORRECT = text(f"""
WITH said AS (
    SELECT said.*, attempts.job_id, attempts.tenant_id, attempts.state AS old_state,
           attempts.cost_nano AS old_cost_nano, attempts.budgets
    FROM unnest(CAST(:attempt_id AS text[]), CAST(:cost_nano AS bigint[]), CAST(:reason AS text[]))
        AS said(attempt_id, cost_nano, reason)
    JOIN attempts ON attempts.id = said.attempt_id
    JOIN ledger AS settled ON settled.attempt_id = attempts.id
    WHERE {OPEN} AND attempts.state = ANY(CAST(:closed AS text[]))
), corrected AS (
    UPDATE attempts SET cost_nano = said.cost_nano,
        state = CASE WHEN said.old_state = :unknown THEN :failed ELSE said.old_state END
    FROM said
    WHERE attempts.id = said.attempt_id AND attempts.state = ANY(CAST(:closed AS text[]))
), booked AS (
    INSERT INTO ledger (attempt_id, kind, tenant_id, job_id, spent_nano, held_nano, budgets, reason)
    SELECT attempt_id, 'adjust', tenant_id, job_id, cost_nano - old_cost_nano, 0, budgets, reason
    FROM said
    RETURNING attempt_id, job_id, spent_nano, held_nano, budgets
), summed AS (
    INSERT INTO usage_pending (attempt_id, was, cost_nano)
    SELECT attempt_id, old_state, old_cost_nano FROM said
), {COUNT_BOOKED}, charged AS (
    UPDATE jobs SET cost_nano = jobs.cost_nano + due.nano, cost_flagged = {doubted_beside("said")}
    FROM (SELECT job_id, sum(spent_nano)::bigint AS nano FROM booked GROUP BY job_id) AS due
    WHERE jobs.id = due.job_id
)
SELECT attempt_id FROM said
""").bindparams(
    unknown=AttemptState.UNKNOWN,
    failed=AttemptState.FAILED,
    closed=sorted(REPORTED_ATTEMPTS | {AttemptState.UNKNOWN}),
)

# Attempts are made before they are sent: their ids tell where to look.
SPENT_IN_A_DAY = text(f"""
SELECT attempts.deployment, count(*) AS calls,
       count(*) FILTER (WHERE attempts.state = :sent) AS open_calls,
       coalesce(sum(attempts.cost_nano) FILTER (WHERE settled.attempt_id IS NULL), 0)::bigint
           AS known_nano,
       coalesce(array_agg(attempts.id ORDER BY attempts.id)
                FILTER (WHERE settled.attempt_id IS NOT NULL), '{{}}') AS flagged,
       coalesce(array_agg(attempts.cost_nano ORDER BY attempts.id)
                FILTER (WHERE settled.attempt_id IS NOT NULL), '{{}}') AS charged
FROM attempts LEFT JOIN ledger AS settled ON settled.attempt_id = attempts.id AND {OPEN}
WHERE attempts.id >= :since AND attempts.id < :until
  AND attempts.sent_at >= :begin AND attempts.sent_at < :end
GROUP BY attempts.deployment
""").bindparams(sent=AttemptState.SENT)
STANDING = text("""
SELECT attempts.state, attempts.cost_nano, adjusted.at AS adjusted, adjusted.reason
FROM attempts
LEFT JOIN ledger AS adjusted ON adjusted.attempt_id = attempts.id AND adjusted.kind = 'adjust'
WHERE attempts.id = :attempt_id
""")
BEFORE_IT_IS_SENT: Final = timedelta(hours=1)
"""An attempt that is not sent so long after its making is returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What we booked for one deployment's calls of one day; nano-USD."""

    calls: int = 0
    open_calls: int = 0
    known_nano: int = 0
    flagged: Sequence[tuple[str, int]] = ()
    """Each attempt whose bill nobody knows, and what is charged for it."""


async def list_flagged(
    connection: AsyncConnection, *, after: str = "", limit: int = 1_000
) -> Sequence[Row[Any]]:
    """Attempts that are charged at their holds since nobody knows their bill, the oldest first."""
    return (await connection.execute(FLAGGED, {"after": after, "limit": limit})).all()


async def list_excess(
    connection: AsyncConnection, *, after: str = "", limit: int = 1_000
) -> Sequence[Row[Any]]:
    """Calls that cost more than was held for them, the oldest first."""
    return (await connection.execute(EXCESS, {"after": after, "limit": limit})).all()


async def correct(connection: AsyncConnection, corrections: Sequence[Correction]) -> set[str]:
    """Book what these calls cost instead of their holds; the attempts that were corrected.

    Left out is whatever is not charged at its hold: what was corrected before, by hand or by
    the late report of a worker, what is still open, and what is not there.
    """
    columns = {name: [getattr(each, name) for each in corrections] for name in Correction.__slots__}
    await connection.execute(LOCK, {"attempt_ids": columns["attempt_id"]})
    return set((await connection.execute(CORRECT, columns)).scalars())


async def read_spent(connection: AsyncConnection, day: date) -> dict[str, Spent]:
    """What was booked for the calls that were sent on that day of UTC, by deployment."""
    begin = datetime.combine(day, time(), UTC)
    end = begin + timedelta(days=1)
    asked = {
        "begin": begin, "end": end,
        "since": first_id(IdKind.ATTEMPT, begin - BEFORE_IT_IS_SENT),
        "until": first_id(IdKind.ATTEMPT, end),
    }  # fmt: skip
    return {
        row.deployment: Spent(
            calls=row.calls,
            open_calls=row.open_calls,
            known_nano=row.known_nano,
            flagged=tuple(zip(row.flagged, row.charged, strict=True)),
        )
        for row in await connection.execute(SPENT_IN_A_DAY, asked)
    }


async def read_standing(connection: AsyncConnection, attempt_id: str) -> Row[Any] | None:
    """How an attempt stands: state, cost_nano, and `reason` and `adjusted` of its correction."""
    return (await connection.execute(STANDING, {"attempt_id": attempt_id})).one_or_none()
