"""What past answers measured: how long they were, and how well their input was counted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.attempt import AttemptState
from shared.domain.ids import IdKind, first_id
from shared.domain.job import JobState

# Ids are sorted by time, and jobs_of_tenant by the id: only the newest are looked at. An error
# is what was counted beyond what was billed, as a part of that.
MEASURED = text("""
WITH newest AS (
    SELECT id, state, input_tokens, policy->'inputs' AS inputs FROM jobs
    WHERE tenant_id = :tenant_id AND id >= :since
    ORDER BY id DESC LIMIT :newest
), answered AS (
    SELECT attempts.deployment,
           coalesce((inputs->>attempts.deployment)::bigint, newest.input_tokens) AS counted,
           (attempts.usage->>'input_tokens')::bigint AS billed,
           coalesce((attempts.usage->>'output_tokens')::bigint, 0) AS output
    FROM newest JOIN attempts ON attempts.job_id = newest.id AND attempts.state = :answered
    WHERE newest.state = :succeeded AND (attempts.usage->>'input_tokens')::bigint > 0
), compared AS (
    SELECT *, (counted - billed)::float8 / billed AS error FROM answered
)
SELECT deployment, count(*) AS answers, sum(counted)::bigint AS counted,
       sum(billed)::bigint AS billed, sum(output)::bigint AS output, avg(error) AS bias,
       avg(abs(error)) AS mean_error,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY abs(error)) AS p95_error,
       count(*) FILTER (WHERE error < 0) AS too_few
FROM compared GROUP BY deployment ORDER BY deployment
""").bindparams(answered=AttemptState.ANSWERED, succeeded=JobState.SUCCEEDED)
NEWEST: Final = 2_000
"""Jobs that a quote looks at."""
MOST_COMPARED: Final = 20_000
"""Jobs that a report on counting looks at."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers of one deployment; tokens are sums, errors parts of what was billed."""

    deployment: str
    answers: int
    counted: int
    """Input as it was counted before the calls."""
    billed: int
    """Input as the provider reported it."""
    output: int
    bias: float
    """The mean of all errors: above zero where too much is counted."""
    mean_error: float
    """The mean of their sizes."""
    p95_error: float
    too_few: int
    """Answers whose input was more than was counted: their holds may have been too small."""


async def read_measured(
    connection: AsyncConnection, tenant_id: str, since: datetime, newest: int = NEWEST
) -> dict[str, Measured]:
    """By deployment, of the tenant's newest jobs that were made since then."""
    asked = {"tenant_id": tenant_id, "since": first_id(IdKind.JOB, since), "newest": newest}
    return {row.deployment: Measured(*row) for row in await connection.execute(MEASURED, asked)}
