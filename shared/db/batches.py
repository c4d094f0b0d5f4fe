"""Batches: made, read, listed, cancelled by their owners, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.batch import BatchState
from shared.domain.job import JobState

COLUMNS: Final = """
id, tenant_id, key_id, dialect, endpoint, state, model, input_file_id, output_file_id,
error_file_id, window_seconds, options, metadata, errors, total, registered, completed, failed,
usage, created_at, expires_at, in_progress_at, finalizing_at, completed_at, failed_at, expired_at,
cancelling_at, cancelled_at, lease_until
"""

# The key is taken for the batch: whoever comes with it again finds that one.
CLAIM_KEY = text("""
INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id)
VALUES (:tenant_id, :key, :body_hash, :id)
ON CONFLICT DO NOTHING RETURNING job_id
""")
KNOWN_KEY = text("""
SELECT job_id AS id, body_hash FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key
""")
ADD = text(f"""
INSERT INTO batches (id, tenant_id, key_id, dialect, endpoint, state, input_file_id,
                     window_seconds, options, metadata, expires_at, lease_until)
VALUES (:id, :tenant_id, :key_id, :dialect, :endpoint, :state, :input_file_id, :window_seconds,
        CAST(:options AS jsonb), CAST(:metadata AS jsonb),
        clock_timestamp() + make_interval(secs => :window_seconds), clock_timestamp())
RETURNING {COLUMNS}
""").bindparams(state=BatchState.VALIDATING)
ONE = text(f"SELECT {COLUMNS} FROM batches WHERE id = :id AND tenant_id = :tenant_id")
CANCEL = text(f"""
UPDATE batches SET state = :cancelling, cancelling_at = clock_timestamp()
WHERE id = :id AND tenant_id = :tenant_id
  AND state IN ('validating', 'in_progress', 'finalizing')
RETURNING {COLUMNS}
""").bindparams(cancelling=BatchState.CANCELLING)
COUNTS = text("""
SELECT state, count(*) AS jobs, sum(cost_nano)::bigint AS cost_nano,
       bool_or(cost_flagged) AS flagged
FROM jobs WHERE tenant_id = :tenant_id AND batch = :id
GROUP BY state
""")
DROP_OLD = text("""
WITH old AS MATERIALIZED (
    SELECT id FROM batches
    WHERE coalesce(completed_at, failed_at, expired_at, cancelled_at)
          < :cutoff
    LIMIT :limit FOR UPDATE SKIP LOCKED
), keys_gone AS (
    DELETE FROM idempotency_keys WHERE job_id = ANY(ARRAY(SELECT id FROM old))
), events_gone AS (
    DELETE FROM events WHERE job_id = ANY(ARRAY(SELECT id FROM old))
)
DELETE FROM batches WHERE id = ANY(ARRAY(SELECT id FROM old)) RETURNING id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch that is asked for, checked as far as it can be without its lines."""

    id: str
    tenant_id: str
    key_id: str
    dialect: str
    endpoint: str
    input_file_id: str
    window_seconds: int
    options: Mapping[str, Any]
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """Where a list of batches goes on, and how far."""

    after: str | None
    limit: int
    dialects: Sequence[str]
    """Only of these."""
    before: str | None = None
    """Only those made after it; then the oldest of them first."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The jobs of a batch by their states, and what they cost so far."""

    states: Mapping[str, int]
    cost_nano: int = 0
    flagged: bool = False

    def of(self, *states: JobState) -> int:
        """So many are in one of them."""
        return sum(self.states.get(state, 0) for state in states)


async def claim_key(
    connection: AsyncConnection, tenant_id: str, key: str, body_hash: bytes, made_id: str
) -> tuple[str, bool]:
    """The id of what was made with this key first, and whether the body was the same."""
    values = {"tenant_id": tenant_id, "key": key, "body_hash": body_hash, "id": made_id}
    if (await connection.execute(CLAIM_KEY, values)).scalar_one_or_none():
        return made_id, True
    known = (await connection.execute(KNOWN_KEY, {"tenant_id": tenant_id, "key": key})).one()
    return known.id, bytes(known.body_hash) == body_hash


async def add_batch(connection: AsyncConnection, new: NewBatch) -> Row[Any]:
    """Write it; its lines are read by whoever claims it."""
    values: dict[str, Any] = {name: getattr(new, name) for name in NewBatch.__slots__}
    values["options"] = orjson.dumps(new.options).decode()
    values["metadata"] = orjson.dumps(new.metadata).decode() if new.metadata else None
    return (await connection.execute(ADD, values)).one()


async def read_batch(connection: AsyncConnection, tenant_id: str, batch_id: str) -> Row[Any] | None:
    """One batch of the tenant; None for any other id."""
    return (await connection.execute(ONE, {"tenant_id": tenant_id, "id": batch_id})).one_or_none()


async def list_batches(
    connection: AsyncConnection, tenant_id: str, page: BatchPage
) -> list[Row[Any]]:
    """A page of the tenant's batches, the newest first, one row more where there are more."""
    tests = ["tenant_id = :tenant_id", "dialect = ANY(CAST(:dialects AS text[]))"]
    values: dict[str, Any] = {
        "tenant_id": tenant_id, "limit": page.limit + 1, "dialects": list(page.dialects)
    }  # fmt: skip
    for test, name in (("id < :after", "after"), ("id > :before", "before")):
        if (value := getattr(page, name)) is not None:
            tests.append(test)
            values[name] = value
    statement = f"""
        SELECT {COLUMNS} FROM batches WHERE {" AND ".join(tests)}
        ORDER BY id {"ASC" if page.before else "DESC"} LIMIT :limit
    """
    return list(await connection.execute(text(statement), values))


async def cancel_batch(
    connection: AsyncConnection, tenant_id: str, batch_id: str
) -> Row[Any] | None:
    """The batch, now being cancelled; None: there is none that could be."""
    asked = {"tenant_id": tenant_id, "id": batch_id}
    return (await connection.execute(CANCEL, asked)).one_or_none()


async def count_batch(connection: AsyncConnection, tenant_id: str, batch_id: str) -> Counts:
    """Its jobs by state; reads each of them."""
    rows = (await connection.execute(COUNTS, {"tenant_id": tenant_id, "id": batch_id})).all()
    return Counts(
        {row.state: row.jobs for row in rows},
        sum(row.cost_nano for row in rows),
        any(row.flagged for row in rows),
    )


async def drop_old_batches(
    connection: AsyncConnection, cutoff: datetime, *, limit: int = 100
) -> int:
    """Let go of so many batches that ended before the cutoff; how many there were."""
    rows = await connection.execute(DROP_OLD, {"cutoff": cutoff, "limit": limit})
    return len(rows.scalars().all())
