"""What must hold of jobs, attempts and the ledger at any moment, and two steps that overlap."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.life import Life

T = TypeVar("T")
U = TypeVar("U")
Step = Callable[[AsyncConnection], Awaitable[T]]

PATIENCE: Final = 20.0
FINALS: Final = "('succeeded', 'failed', 'cancelled', 'expired')"

# Each finds the rows that break one promise.
PROMISES: Final = {
    "an open attempt is that of its job, in the same epoch": """
        SELECT attempts.id FROM attempts JOIN jobs ON jobs.id = attempts.job_id
        WHERE attempts.state IN ('planned', 'sent')
          AND (jobs.open_attempt, jobs.epoch) IS DISTINCT FROM (attempts.id, attempts.epoch)""",
    "a job names only an open attempt; a sent one means running, a planned one queued": """
        SELECT jobs.id FROM jobs LEFT JOIN attempts ON attempts.id = jobs.open_attempt
        WHERE CASE attempts.state WHEN 'sent' THEN jobs.state <> 'running'
                                  WHEN 'planned' THEN jobs.state <> 'queued'
                                  ELSE jobs.open_attempt IS NOT NULL END""",
    "a final job tells of its end once, an open one not yet": f"""
        SELECT jobs.id FROM jobs LEFT JOIN events ON events.job_id = jobs.id
        GROUP BY jobs.id
        HAVING array_agg('job.' || jobs.state) FILTER (WHERE jobs.state IN {FINALS})
               IS DISTINCT FROM array_agg(events.type) FILTER (WHERE events.id IS NOT NULL)""",
    "a success has a result and nothing else has one": """
        SELECT jobs.id FROM jobs LEFT JOIN results ON results.job_id = jobs.id
        WHERE (jobs.state = 'succeeded') <> (results.job_id IS NOT NULL)""",
    "what is held is the hold of an open attempt, what is spent the cost of a closed one": """
        SELECT attempts.id FROM attempts LEFT JOIN ledger ON ledger.attempt_id = attempts.id
        GROUP BY attempts.id
        HAVING sum(ledger.held_nano) IS DISTINCT FROM
               CASE WHEN attempts.state IN ('planned', 'sent') THEN attempts.hold_nano ELSE 0 END
            OR sum(ledger.spent_nano) IS DISTINCT FROM coalesce(attempts.cost_nano, 0)""",
    "a job costs what its attempts cost": """
        SELECT jobs.id FROM jobs LEFT JOIN attempts ON attempts.job_id = jobs.id
        GROUP BY jobs.id HAVING jobs.cost_nano <> coalesce(sum(attempts.cost_nano), 0)""",
    "an attempt is closed when it has an end": """
        SELECT id FROM attempts WHERE (state IN ('planned', 'sent')) <> (ended_at IS NULL)""",
}


# One statement is one snapshot.
BROKEN: Final = " UNION ALL ".join(
    f"SELECT '{promise}' AS promise, array_agg(id) AS ids FROM ({offenders}) AS offenders"
    " HAVING count(*) > 0"
    for promise, offenders in PROMISES.items()
)


async def check_books(life: Life, when: str = "") -> None:
    """Every promise, in one snapshot; `when` names the moment in a failure."""
    async with life.database.transaction() as connection:
        broken = {row.promise: row.ids for row in await connection.execute(text(BROKEN))}
    assert not broken, f"broken {when}: {broken}"


async def overlapped(life: Life, first: Step[T], second: Step[U]) -> tuple[T, U]:
    """Run `second` while `first` is done and not yet committed; both answers.

    `first` commits when `second` waits for its locks, or has passed by them.
    """
    async with life.database.transaction() as connection:
        one = await first(connection)
        task = asyncio.create_task(in_transaction(life, second))
        await _blocked_or_done(life, task)
    return one, await task


async def in_transaction(life: Life, step: Step[T]) -> T:
    async with life.database.transaction() as connection:
        return await step(connection)


async def _blocked_or_done(life: Life, task: asyncio.Task[Any]) -> None:
    deadline = monotonic() + PATIENCE
    while not task.done():
        row = await life.one(
            "SELECT count(*) AS n FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if row.n:
            return
        assert monotonic() < deadline, "the second step neither ends nor waits for a lock"
