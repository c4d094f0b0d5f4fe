"""All that Postgres holds of a few jobs, read at one moment between two statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.release import due_jobs, due_routes
from tests.life import ROUTE

JOBS: Final = """
SELECT id, state, epoch, open_attempt, tries, tried, crashes, isolated_crashes, isolated,
       cancel_requested_at IS NOT NULL AS stopping, cost_nano, cost_flagged, state_version,
       finished_at, attempt_id AS answered_by, body::text AS answer
FROM jobs LEFT JOIN results ON job_id = id ORDER BY id
"""
ATTEMPTS: Final = """
SELECT id, job_id, epoch, state, worker_id, cost_nano,
       (SELECT sum(held_nano) FROM ledger WHERE attempt_id = attempts.id) AS held,
       (SELECT sum(spent_nano) FROM ledger WHERE attempt_id = attempts.id) AS spent
FROM attempts
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that Postgres holds, at one moment between two statements."""

    jobs: Sequence[Any] = ()
    attempts: Sequence[Any] = ()
    due: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()

    @classmethod
    async def read(cls, connection: AsyncConnection) -> "Snapshot":
        return cls(
            jobs=(await connection.execute(text(JOBS))).all(),
            attempts=(await connection.execute(text(ATTEMPTS))).all(),
            due=frozenset(job.id for job in await due_jobs(connection, ROUTE, 100)),
            routes=frozenset(await due_routes(connection)),
        )
