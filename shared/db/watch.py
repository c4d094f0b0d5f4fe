"""Where watched jobs stand: small reads that are made again and again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.domain.job import FINAL_STATES, JobState, WaitReason

# In the order of Standing's fields.
STANDINGS = text("""
SELECT id, state, wait_reason, tries, max_tries,
       CASE WHEN state = ANY(CAST(:finals AS text[])) THEN (
           SELECT max(epoch) FROM attempts WHERE job_id = jobs.id AND sent_at IS NOT NULL
       ) END AS last_epoch,
       extract(epoch FROM clock_timestamp() - finished_at)::float8 AS ended_ago
FROM jobs WHERE id = ANY(CAST(:job_ids AS text[]))
""").bindparams(finals=sorted(FINAL_STATES))

STREAMS = text("""
SELECT (request->>'stream')::boolean FROM payloads WHERE job_id = :job_id
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands; two are equal if a watcher need not be told."""

    job_id: str
    state: JobState
    wait_reason: WaitReason | None
    tries: int
    max_tries: int
    last_epoch: int | None = field(compare=False)
    """Of a job that has ended: the epoch of the last attempt that was started."""
    ended_ago: float | None = field(compare=False)
    """Seconds."""

    @property
    def final(self) -> bool:
        """Whether it stays as it is."""
        return self.state in FINAL_STATES


async def standings(connection: AsyncConnection, job_ids: Sequence[str]) -> list[Standing]:
    """Those of the jobs that exist, in no order."""
    rows = await connection.execute(STANDINGS, {"job_ids": list(job_ids)})
    return [Standing(row[0], JobState(row[1]), *row[2:]) for row in rows]


async def is_streamed(connection: AsyncConnection, job_id: str) -> bool:
    """Whether the job's answer is written to a log while it comes."""
    return bool((await connection.execute(STREAMS, {"job_id": job_id})).scalar())
