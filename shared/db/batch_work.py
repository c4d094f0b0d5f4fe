"""Batches as those who work on them see them: claimed by a lease, moved, ended with an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.batches import COLUMNS
from shared.domain.batch import BatchState

LEASE_SECONDS: Final = 30.0


class Work(StrEnum):
    """What a batch wants to be claimed for."""

    REGISTER = "register"
    """Its lines are to be read, or to be made jobs."""
    FINISH = "finish"
    """It is cancelled, its time is over, or its jobs have ended."""


OPEN_JOBS: Final = """
SELECT FROM jobs WHERE jobs.batch = batches.id AND jobs.tenant_id = batches.tenant_id
  AND jobs.state IN ('scheduled', 'queued', 'running')
"""
WANTED: Final[dict[Work, str]] = {
    Work.REGISTER: """
state = 'validating'
OR (state = 'in_progress' AND registered < total AND errors IS NULL AND expires_at > now())
""",
    Work.FINISH: f"""
state IN ('finalizing', 'cancelling')
OR (state = 'in_progress' AND expires_at <= now())
OR (state = 'in_progress' AND (registered >= total OR errors IS NOT NULL)
    AND NOT EXISTS ({OPEN_JOBS}))
""",
}
# Who was let go last comes last: nobody keeps the others from their turn.
CLAIM: Final = {
    work: text(f"""
UPDATE batches SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE id = (
    SELECT id FROM batches
    WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
      AND lease_until <= now() AND ({wanted})
    ORDER BY lease_until, id LIMIT 1 FOR UPDATE SKIP LOCKED
) AND state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
RETURNING {COLUMNS}, clock_timestamp() AS now
""")
    for work, wanted in WANTED.items()
}
HELD: Final = "id = :id AND lease_until = :lease"
OPEN: Final = "state IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
RENEW = text(f"""
UPDATE batches SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE {HELD} AND {OPEN}
RETURNING {COLUMNS}, clock_timestamp() AS now
""")
LET_GO = text(f"""
UPDATE batches SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
WHERE {HELD} AND {OPEN}
""")
BEGIN = text(f"""
UPDATE batches SET state = 'in_progress', in_progress_at = clock_timestamp(),
    total = :total, model = :model
WHERE {HELD} AND state = 'validating'
""")
REGISTERED = text(f"""
UPDATE batches SET registered = registered + :lines
WHERE {HELD} AND state IN ('in_progress', 'cancelling')
""")
STOP = text(f"""
UPDATE batches SET errors = CAST(:errors AS jsonb) WHERE {HELD} AND state = 'in_progress'
""")
FINALIZE = text(f"""
UPDATE batches SET state = 'finalizing', finalizing_at = clock_timestamp()
WHERE {HELD} AND state = 'in_progress'
""")
TOLD: Final = """
INSERT INTO events (tenant_id, job_id, type, state_version)
SELECT tenant_id, id, 'batch.' || state, 1 FROM ended
"""
REJECT = text(f"""
WITH ended AS (
    UPDATE batches SET state = 'failed', failed_at = clock_timestamp(), lease_until = now(),
        errors = CAST(:errors AS jsonb)
    WHERE {HELD} AND state IN ('validating', 'in_progress') AND registered = 0
    RETURNING id, tenant_id, state
), told AS ({TOLD})
SELECT id FROM ended
""")
# What was cancelled while its files were written is written again as cancelled.
END: Final = {
    state: text(f"""
WITH ended AS (
    UPDATE batches SET state = '{state}', {state}_at = clock_timestamp(), lease_until = now(),
        output_file_id = :output_file_id, error_file_id = :error_file_id,
        completed = :completed, failed = :failed, usage = CAST(:usage AS jsonb)
    WHERE {HELD} AND state = '{before}'
    RETURNING id, tenant_id, state
), told AS ({TOLD})
SELECT id FROM ended
""")
    for state, before in (
        (BatchState.COMPLETED, BatchState.FINALIZING),
        (BatchState.EXPIRED, BatchState.FINALIZING),
        (BatchState.CANCELLED, BatchState.CANCELLING),
    )
}

# A line's key holds its number, so keys sort as lines do.
ENDED_LINES = text("""
SELECT keys.key, jobs.id, jobs.state, jobs.route, jobs.tries, jobs.cost_nano, jobs.cost_flagged,
       jobs.error_kind, jobs.error, jobs.finished_at, payloads.echo, results.body AS result
FROM idempotency_keys AS keys
JOIN jobs ON jobs.id = keys.job_id AND jobs.batch = :id
LEFT JOIN payloads ON payloads.job_id = jobs.id
LEFT JOIN results ON results.job_id = jobs.id
WHERE keys.tenant_id = :tenant_id AND keys.key > :after AND keys.key < :end
ORDER BY keys.key LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a batch leaves when it ends."""

    state: BatchState
    output_file_id: str | None
    error_file_id: str | None
    completed: int
    failed: int
    usage: Mapping[str, Any]


def line_key(batch_id: str, number: int) -> str:
    """The idempotency key of the job of that line: what makes it at most one."""
    return f"{batch_id}:{number:08}"


def number_of(key: str) -> int:
    """The line that a key is of."""
    return int(key.rpartition(":")[2])


async def claim(connection: AsyncConnection, work: Work) -> Row[Any] | None:
    """A batch that wants this and that nobody works on, now held for LEASE_SECONDS."""
    found = await connection.execute(CLAIM[work], {"seconds": LEASE_SECONDS})
    return found.one_or_none()


async def renew(connection: AsyncConnection, batch_id: str, lease: datetime) -> Row[Any] | None:
    """The batch as it stands, held anew; None: it has ended, or another may have it."""
    held = {"id": batch_id, "lease": lease, "seconds": LEASE_SECONDS}
    return (await connection.execute(RENEW, held)).one_or_none()


async def let_go(
    connection: AsyncConnection, batch_id: str, lease: datetime, seconds: float
) -> None:
    """Somebody may claim it in so many seconds."""
    held = {"id": batch_id, "lease": lease, "seconds": seconds}
    await connection.execute(LET_GO, held)


async def begin(
    connection: AsyncConnection, held: Mapping[str, Any], *, total: int, model: str | None
) -> None:
    """All of its lines may become jobs."""
    await connection.execute(BEGIN, {**held, "total": total, "model": model})


async def count_registered(
    connection: AsyncConnection, held: Mapping[str, Any], lines: int
) -> None:
    """So many more of its lines are jobs."""
    await connection.execute(REGISTERED, {**held, "lines": lines})


async def stop_registration(
    connection: AsyncConnection, held: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]
) -> None:
    """No further line becomes a job: the errors say why."""
    await connection.execute(STOP, {**held, "errors": orjson.dumps(errors).decode()})


async def reject(
    connection: AsyncConnection, held: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]
) -> bool:
    """It has failed before any line was a job; False: some line is one."""
    values = {**held, "errors": orjson.dumps(errors).decode()}
    return (await connection.execute(REJECT, values)).scalar_one_or_none() is not None


async def finalize(connection: AsyncConnection, held: Mapping[str, Any]) -> None:
    """All that became of its lines is known."""
    await connection.execute(FINALIZE, held)


async def end(connection: AsyncConnection, held: Mapping[str, Any], ending: Ending) -> bool:
    """It has ended, and an event tells so; False: it was cancelled meanwhile, or is another's."""
    values = {
        **held, "output_file_id": ending.output_file_id, "error_file_id": ending.error_file_id,
        "completed": ending.completed, "failed": ending.failed,
        "usage": orjson.dumps(ending.usage).decode(),
    }  # fmt: skip
    return (await connection.execute(END[ending.state], values)).scalar_one_or_none() is not None


async def read_lines(
    connection: AsyncConnection, tenant_id: str, batch_id: str, *, after: int, limit: int
) -> list[Row[Any]]:
    """The jobs of the lines behind that one in the order of the lines, with their results."""
    asked = {
        "tenant_id": tenant_id, "id": batch_id, "after": line_key(batch_id, after),
        "end": f"{batch_id};", "limit": limit,
    }  # fmt: skip
    return list(await connection.execute(ENDED_LINES, asked))
