"""Let go of what ended long ago, in small batches; the ledger keeps every row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.budget_rows import archive_gone
from shared.db.rollup import roll_up
from shared.domain.ids import IdKind, first_id
from shared.domain.job import FINAL_STATES


class Part(StrEnum):
    """What of an ended job is let go."""

    CONTENTS = "contents"
    """Request, metadata and result; the job can still be read, with its cost."""
    JOBS = "jobs"
    """All of it with attempts, events and idempotency keys; only the ledger remembers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch let go."""

    count: int
    after: str
    """The last job id: where the next batch goes on."""


# Ids sort by the time of their making, so the oldest stand first in every primary key: what
# was made after the cutoff cannot have ended before it, and nothing younger is looked at.
# Contents are sought among themselves: jobs that lost theirs long ago are not looked at either.
# What a batch has still to write down is kept for it.
ENDED: Final = """jobs.state = ANY(CAST(:finals AS text[])) AND jobs.finished_at < :cutoff
AND (jobs.batch IS NULL OR NOT EXISTS (
    SELECT FROM batches WHERE batches.id = jobs.batch AND batches.tenant_id = jobs.tenant_id
      AND batches.state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
))"""
COUNTED: Final = """NOT EXISTS (
    SELECT FROM attempts JOIN usage_pending ON usage_pending.attempt_id = attempts.id
    WHERE attempts.job_id = jobs.id
)"""
"""No call of the job waits to be summed up; else the sums of usage would miss it."""
OLD: Final[dict[Part, str]] = {
    Part.CONTENTS: f"""
SELECT payloads.job_id AS id FROM payloads JOIN jobs ON jobs.id = payloads.job_id
WHERE payloads.job_id > :after AND payloads.job_id < :ceiling AND {ENDED}
""",
    Part.JOBS: f"""
SELECT id FROM jobs WHERE id > :after AND id < :ceiling AND {ENDED}
""",
}

# An array is looked up by the index; a join might read a whole table for a batch.
THESE: Final = "= ANY(ARRAY(SELECT id FROM old))"
PRUNE: Final[dict[Part, TextClause]] = {
    Part.CONTENTS: text(f"""
WITH old AS MATERIALIZED (
    {OLD[Part.CONTENTS]} ORDER BY id LIMIT :limit FOR UPDATE OF jobs SKIP LOCKED
),
results_gone AS (DELETE FROM results WHERE job_id {THESE})
DELETE FROM payloads WHERE job_id {THESE} RETURNING job_id
"""),
    Part.JOBS: text(f"""
WITH old AS MATERIALIZED (
    {OLD[Part.JOBS]} AND {COUNTED} ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
),
keys_gone AS (DELETE FROM idempotency_keys WHERE job_id {THESE}),
events_gone AS (DELETE FROM events WHERE job_id {THESE})
DELETE FROM jobs WHERE id {THESE} AND state = ANY(CAST(:finals AS text[])) RETURNING id
"""),
}
# The oldest of all are looked at, so a round without work reads no more than a round with it.
PRUNE_EVENTS: Final = (
    text("""
DELETE FROM events WHERE id IN (
    SELECT id FROM (SELECT id, at, told_at FROM events ORDER BY id LIMIT :limit) AS oldest
    WHERE told_at IS NOT NULL AND at < :cutoff
)
"""),
    text("""
DELETE FROM deliveries WHERE id IN (
    SELECT id FROM deliveries
    WHERE id < :ceiling AND state <> 'pending' AND ended_at < :cutoff ORDER BY id LIMIT :limit
)
"""),
)
COUNT: Final = {part: text(f"SELECT count(*) FROM ({OLD[part]}) AS old") for part in Part}


async def prune(
    connection: AsyncConnection, part: Part, cutoff: datetime, *, after: str = "", limit: int = 500
) -> Batch | None:
    """Let go of that part of so many jobs that ended before the cutoff; None: none is left.

    Jobs that others hold at the moment are passed by; the next run finds them.
    """
    if part is Part.JOBS:
        await roll_up(connection)
    rows = await connection.execute(PRUNE[part], _values(cutoff, after) | {"limit": limit})
    gone: Sequence[str] = rows.scalars().all()
    if part is Part.JOBS and not gone:
        await archive_gone(connection, cutoff)
    return Batch(len(gone), max(gone)) if gone else None


async def prune_events(connection: AsyncConnection, cutoff: datetime, *, limit: int = 500) -> int:
    """Let go of the oldest told events and ended deliveries, with their tries; how many."""
    ceiling = first_id(IdKind.DELIVERY, cutoff)
    values = {"cutoff": cutoff, "ceiling": ceiling, "limit": limit}
    return sum([(await connection.execute(each, values)).rowcount for each in PRUNE_EVENTS])


async def count_prunable(connection: AsyncConnection, part: Part, cutoff: datetime) -> int:
    """The jobs that `prune` would let go of; changes nothing."""
    return int((await connection.execute(COUNT[part], _values(cutoff, ""))).scalar_one())


def _values(cutoff: datetime, after: str) -> dict[str, object]:
    ceiling = first_id(IdKind.JOB, cutoff)
    return {
        "after": after, "ceiling": ceiling, "cutoff": cutoff, "finals": sorted(FINAL_STATES)
    }  # fmt: skip
