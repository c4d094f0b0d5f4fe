"""Workers: one row, one heartbeat and one lease a process; the rescue of the silent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.leave import Leaving, Left, leave
from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker process as it announces itself."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    capacity: int
    missing: Mapping[str, str] = field(default_factory=dict)
    """Provider of its queues to why this worker cannot call it."""


REGISTER = text("""
INSERT INTO workers (id, host, pid, queues, missing, capacity, state, lease_until)
VALUES (:id, :host, :pid, CAST(:queues AS text[]), CAST(:missing AS jsonb), :capacity, 'alive',
        clock_timestamp() + make_interval(secs => :lease_seconds))
""")

CHANGE = text("""
UPDATE workers SET queues = CAST(:queues AS text[]), missing = CAST(:missing AS jsonb)
WHERE id = :id AND state = 'alive'
""")

BEAT = text("""
UPDATE workers SET heartbeat_at = clock_timestamp(), capacity = :capacity,
    lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
WHERE id = :id AND state = 'alive'
RETURNING id
""")

CANCELLED = text("""
SELECT jobs.id FROM attempts JOIN jobs ON jobs.id = attempts.job_id
WHERE attempts.worker_id = :id AND attempts.state = :sent
  AND jobs.cancel_requested_at IS NOT NULL
""").bindparams(sent=AttemptState.SENT)

STOP = text("UPDATE workers SET state = 'stopped' WHERE id = :id AND state = 'alive'")

# After a restart of Postgres everybody's heartbeat has paused: nobody is judged before
# one lease has gone by.
LOSE = text("""
UPDATE workers SET state = 'lost'
WHERE id IN (
    SELECT id FROM workers WHERE state = 'alive' AND lease_until < clock_timestamp()
    FOR UPDATE SKIP LOCKED)
  AND state = 'alive' AND lease_until < clock_timestamp()
  AND clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => :lease_seconds)
RETURNING id
""")

VOID = text("UPDATE workers SET state = 'lost' WHERE state = 'alive' RETURNING id")

# A worker that stopped in order has closed its attempts; if it could not, they are orphans too.
ORPHANS = text("""
SELECT attempts.id, attempts.job_id, attempts.epoch
FROM attempts JOIN workers ON workers.id = attempts.worker_id
WHERE attempts.state = :sent AND workers.state IN ('lost', 'stopped')
ORDER BY attempts.id LIMIT :limit
""").bindparams(sent=AttemptState.SENT)

CAPACITY = text("""
SELECT queue, sum(capacity)::int AS capacity FROM workers, unnest(queues) AS queue
WHERE state = 'alive' AND lease_until > clock_timestamp()
GROUP BY queue
""")

FORGET = text("""
DELETE FROM workers WHERE state <> 'alive' AND heartbeat_at < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT FROM attempts WHERE worker_id = workers.id AND state = :sent)
""").bindparams(sent=AttemptState.SENT)


async def register(connection: AsyncConnection, worker: WorkerRow, lease_seconds: float) -> None:
    """Announce a worker; its lease starts now."""
    await connection.execute(
        REGISTER,
        {
            "id": worker.id,
            "host": worker.host,
            "pid": worker.pid,
            "queues": list(worker.queues),
            "missing": orjson.dumps(dict(worker.missing)).decode(),
            "capacity": worker.capacity,
            "lease_seconds": lease_seconds,
        },
    )


async def change(connection: AsyncConnection, worker: WorkerRow) -> None:
    """A living worker takes other queues, or can call others, than it said."""
    changed = {
        "id": worker.id,
        "queues": list(worker.queues),
        "missing": orjson.dumps(dict(worker.missing)).decode(),
    }
    await connection.execute(CHANGE, changed)


async def beat(
    connection: AsyncConnection, worker_id: str, lease_seconds: float, capacity: int
) -> list[str] | None:
    """Renew the lease; the running jobs that were asked to stop. None: the lease was lost."""
    beat = {"id": worker_id, "lease_seconds": lease_seconds, "capacity": capacity}
    renewed = await connection.execute(BEAT, beat)
    if renewed.one_or_none() is None:
        return None
    return list((await connection.execute(CANCELLED, {"id": worker_id})).scalars())


async def stop(connection: AsyncConnection, worker_id: str) -> None:
    """The worker leaves in order."""
    await connection.execute(STOP, {"id": worker_id})


async def lose_silent(connection: AsyncConnection, lease_seconds: float) -> list[str]:
    """Mark the workers whose lease ran out; being lost is for ever."""
    rows = await connection.execute(LOSE, {"lease_seconds": lease_seconds})
    return list(rows.scalars())


async def void_leases(connection: AsyncConnection) -> list[str]:
    """Mark every worker lost: for a launcher that knows that none of them can be alive."""
    return list((await connection.execute(VOID)).scalars())


async def rescue(connection: AsyncConnection, limit: int = 200) -> list[Left]:
    """Take the sent attempts of lost workers back: unknown, charged at their hold, job queued.

    Being lost is irrevocable and `leave` repeats the guard on epoch and state, so a
    worker that comes back finds nothing of its own. Call until it returns nothing.
    """
    rows = (await connection.execute(ORPHANS, {"limit": limit})).all()
    return await leave(connection, [_crashed(row.id, row.job_id, row.epoch) for row in rows])


def _crashed(attempt_id: str, job_id: str, epoch: int) -> Leaving:
    return Leaving(
        attempt_id=attempt_id,
        job_id=job_id,
        epoch=epoch,
        attempt_state=AttemptState.UNKNOWN,
        job_state=JobState.QUEUED,
        crashed=True,
        failure_kind=FailureKind.INTERRUPTED,
        error="the worker that ran it died",
    )


async def capacity(connection: AsyncConnection) -> dict[str, int]:
    """Calls that the living workers can hold at once, by queue."""
    rows = (await connection.execute(CAPACITY)).all()
    return {row.queue: row.capacity for row in rows}


async def forget(connection: AsyncConnection) -> None:
    """Delete the rows of workers that have been gone for a day."""
    await connection.execute(FORGET)
