"""Counters held against the ledger that they are made of, and put right where they differ."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database

PAGE: Final = 20_000
"""Jobs that one statement looks at."""


class Counter(StrEnum):
    """What is counted beside the ledger."""

    SPENT = "spent of a budget's window"
    HELD = "held of a budget's window"
    COST = "cost of a job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A counter that is not what the ledger says; nano-USD."""

    counter: Counter
    id: str
    """The window's or the job's."""
    counted: int
    booked: int


# A booking and its counters change in one transaction: one snapshot sees both or none.
BOOKED: Final = """
SELECT window_id, sum(spent_nano)::bigint AS spent_nano, sum(held_nano)::bigint AS held_nano
FROM ledger, unnest(budgets) AS window_id
"""
WINDOWS = text(f"""
SELECT budget_windows.id, budget_windows.spent_nano AS counted_spent,
       budget_windows.held_nano AS counted_held,
       coalesce(booked.spent_nano, 0) AS booked_spent, coalesce(booked.held_nano, 0) AS booked_held
FROM budget_windows LEFT JOIN (
    {BOOKED} WHERE budgets IS NOT NULL GROUP BY window_id
) AS booked ON booked.window_id = budget_windows.id
WHERE (budget_windows.spent_nano, budget_windows.held_nano)
      IS DISTINCT FROM (coalesce(booked.spent_nano, 0), coalesce(booked.held_nano, 0))
ORDER BY budget_windows.id
""")
LOCK_WINDOWS = text("""
SELECT id FROM budget_windows WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE
""")
# Whoever books in a window holds its lock until its ledger rows are committed.
REBUILD_WINDOWS = text(f"""
UPDATE budget_windows SET spent_nano = booked.spent_nano, held_nano = booked.held_nano
FROM (
    SELECT ids.id, coalesce(sums.spent_nano, 0) AS spent_nano,
           coalesce(sums.held_nano, 0) AS held_nano
    FROM unnest(CAST(:ids AS bigint[])) AS ids(id) LEFT JOIN (
        {BOOKED} WHERE budgets && CAST(:ids AS bigint[]) GROUP BY window_id
    ) AS sums ON sums.window_id = ids.id
) AS booked
WHERE budget_windows.id = booked.id
""")

JOBS = text("""
SELECT id, counted, booked, last FROM (
    SELECT page.id, page.cost_nano AS counted, max(page.id) OVER () AS last,
           coalesce((SELECT sum(ledger.spent_nano) FROM attempts
                     JOIN ledger ON ledger.attempt_id = attempts.id
                     WHERE attempts.job_id = page.id), 0)::bigint AS booked
    FROM (SELECT id, cost_nano FROM jobs WHERE id > :after ORDER BY id LIMIT :page) AS page
) AS looked WHERE counted <> booked OR id = last
ORDER BY id
""")
LOCK_JOBS = text("""
SELECT id FROM jobs WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE
""")
REBUILD_JOBS = text("""
UPDATE jobs SET cost_nano = coalesce((
    SELECT sum(ledger.spent_nano) FROM attempts JOIN ledger ON ledger.attempt_id = attempts.id
    WHERE attempts.job_id = jobs.id), 0)
WHERE jobs.id = ANY(CAST(:ids AS text[]))
""")
# The ledger of a large mill takes longer to read than a request may.
UNHURRIED = text("SET LOCAL statement_timeout = 0")


async def differences(database: Database) -> AsyncIterator[Difference]:
    """Every counter that is not what the ledger says; nothing is locked, nothing is changed."""
    async with database.transaction() as connection:
        await connection.execute(UNHURRIED)
        windows = (await connection.execute(WINDOWS)).all()
    for row in windows:
        for difference in _of_window(row):
            yield difference
    after: str | None = ""
    while after is not None:
        async with database.transaction() as connection:
            rows = (await connection.execute(JOBS, {"after": after, "page": PAGE})).all()
        for row in rows:
            if row.counted != row.booked:
                yield Difference(
                    counter=Counter.COST, id=row.id, counted=row.counted, booked=row.booked
                )
        after = rows[-1].last if rows else None


async def put_right(connection: AsyncConnection, found: Sequence[Difference]) -> None:
    """Count these again from the ledger; whoever books in them waits until this is committed."""
    jobs = sorted({each.id for each in found if each.counter is Counter.COST})
    windows = sorted({int(each.id) for each in found if each.counter is not Counter.COST})
    await connection.execute(UNHURRIED)
    # Jobs before windows, as everybody locks them.
    if jobs:
        await connection.execute(LOCK_JOBS, {"ids": jobs})
        await connection.execute(REBUILD_JOBS, {"ids": jobs})
    if windows:
        await connection.execute(LOCK_WINDOWS, {"ids": windows})
        await connection.execute(REBUILD_WINDOWS, {"ids": windows})


def _of_window(row: Any) -> list[Difference]:
    pairs = (
        (Counter.SPENT, row.counted_spent, row.booked_spent),
        (Counter.HELD, row.counted_held, row.booked_held),
    )
    return [
        Difference(counter=counter, id=str(row.id), counted=counted, booked=booked)
        for counter, counted, booked in pairs
        if counted != booked
    ]
