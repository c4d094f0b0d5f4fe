"""Whoever releases, ends or gives back at once on the same budgets: no deadlock, and exact sums."""

import asyncio
import random
from collections import Counter
from typing import Any, Final

import pytest
from sqlalchemy import text

from shared.catalog.load import load_catalog
from shared.db.budgets import OverBudgetError, hold, read_windows
from shared.db.engine import Database
from shared.db.give_back import give_back
from shared.db.release import DueJob, Permit, due_jobs, release
from shared.domain.ids import IdKind, new_id
from tests.life import COST, HOLD, ROUTE, TENANT, WORKER, Life, answered, new_job
from tests.mill import seeded
from worker.dispatch.budgets import Budgets

DEPLOYMENT: Final = load_catalog().find("openai/gpt-4.1-mini")
HANDS: Final = 8
JOBS: Final = 160
EACH: Final = 10
PLENTY: Final = 10**9
MAKE: Final = """
INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every, time_zone, at_limit,
                     alerts)
VALUES (:id, :tenant_id, :id, :scope, :subject, :cap, :every, 'UTC', 'park', '{1,50}')
"""


async def make_budget(life: Life, name: str, cap: int = PLENTY, **more: Any) -> None:
    row = {"tenant_id": TENANT, "scope": "all", "subject": "", "every": "total", **more}
    async with life.database.transaction() as connection:
        await connection.execute(text(MAKE), {"id": name, "cap": cap, **row})
        await connection.execute(text("UPDATE budgets_version SET version = version + 1"))


async def sums_of(life: Life) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    """Spent and held of each window, as it is counted and as the ledger has it."""
    counted = await life.all("SELECT id, spent_nano, held_nano FROM budget_windows")
    booked = await life.all(
        "SELECT id, sum(spent_nano)::bigint AS spent, sum(held_nano)::bigint AS held"
        " FROM ledger, unnest(budgets) AS id GROUP BY id"
    )
    return (
        {row.id: (row.spent_nano, row.held_nano) for row in counted},
        {row.id: (row.spent, row.held) for row in booked},
    )


async def release_some(database: Database, budgets: Budgets, jobs: list[DueJob]) -> list[str]:
    """As the dispatcher does it; the attempts that were minted."""
    permits = [
        Permit(
            job_id=job.id,
            attempt_id=new_id(IdKind.ATTEMPT),
            deployment=DEPLOYMENT.id,
            queue="openai",
            permit_tokens=job.tokens,
            hold_nano=HOLD,
        )
        for job in jobs
    ]
    async with database.transaction() as connection:
        await budgets.look(connection)
        fitting = await budgets.within(
            connection, permits, {job.id: job for job in jobs}, DEPLOYMENT
        )
        minted = await release(connection, fitting, budgets_version=budgets.version)
        await budgets.hold(connection, [each for each in fitting if each.attempt_id in minted])
    return sorted(minted)


async def work(database: Database, seed: int) -> Counter[str]:
    """Release some, give back a third of them, end the rest, until nothing is due."""
    own, done = random.Random(seed), Counter[str]()
    there = Life(database)
    for _ in range(JOBS):
        async with database.transaction() as connection:
            due = await due_jobs(connection, ROUTE, JOBS)
        if not due:
            return done
        some = own.sample(due, min(EACH, len(due)))
        attempts = await release_some(database, Budgets(), some)
        own.shuffle(attempts)
        back = attempts[: len(attempts) // 3]
        async with database.transaction() as connection:
            done["returned"] += len(await give_back(connection, back))
        started = await there.start(attempts[len(back) :], WORKER)
        done["ended"] += len(await there.leave(*map(answered, started)))
    raise AssertionError("it never ends")


async def test_eight_hands_on_the_same_windows(life: Life, database_url: str) -> None:
    dice = seeded()
    await make_budget(life, "house", tenant_id=None)
    counting: dict[str, dict[str, Any]] = {
        "tenant": {},
        "day": {"every": "day"},
        "project": {"scope": "project", "subject": "blue"},
        "model": {"scope": "model", "subject": DEPLOYMENT.model.id},
    }
    for name, more in counting.items():
        await make_budget(life, name, **more)
    await life.accept(*(new_job(project=dice.choice(["blue", None])) for _ in range(JOBS)))
    database = Database(database_url, pool_size=HANDS)

    async with asyncio.timeout(90):
        done = sum(
            await asyncio.gather(*(work(database, seed) for seed in range(HANDS))), Counter[str]()
        )
    await database.close()
    assert done["ended"] == JOBS
    assert done["returned"] > 0
    counted, booked = await sums_of(life)
    assert counted == booked
    assert {held for _, held in counted.values()} == {0}
    assert max(spent for spent, _ in counted.values()) == JOBS * COST
    assert await life.money() == (JOBS * COST, 0)


async def test_eight_hands_hold_no_more_than_the_cap_together(
    life: Life, database_url: str
) -> None:
    await make_budget(life, "seven", 7 * HOLD)
    await life.accept(*(new_job() for _ in range(JOBS)))
    database = Database(database_url, pool_size=HANDS)
    async with database.transaction() as connection:
        due = await due_jobs(connection, ROUTE, JOBS)
    parts = [due[place::HANDS] for place in range(HANDS)]
    released = await asyncio.gather(*(release_some(database, Budgets(), part) for part in parts))
    await database.close()
    assert sum(map(len, released)) == 7
    counted, booked = await sums_of(life)
    assert list(counted.values()) == [(0, 7 * HOLD)]
    assert counted == booked


async def test_each_share_of_a_cap_is_noted_once_by_whoever_passes_it(
    life: Life, database_url: str
) -> None:
    await make_budget(life, "shares", 2 * HANDS * HOLD)
    await life.accept(*(new_job() for _ in range(HANDS)))
    database = Database(database_url, pool_size=HANDS)
    async with database.transaction() as connection:
        due = await due_jobs(connection, ROUTE, JOBS)
    started = []
    for job in due:
        started += await life.start(await release_some(database, Budgets(), [job]))
    there = Life(database)
    await asyncio.gather(*(there.leave(answered(each, cost_nano=HOLD)) for each in started))
    await database.close()
    rows = await life.all(
        "SELECT budget_id, percent, budget_alerts.spent_nano FROM budget_alerts"
        " JOIN budget_windows ON budget_windows.id = window_id ORDER BY percent"
    )
    assert [(row.budget_id, row.percent) for row in rows] == [("shares", 1), ("shares", 50)]
    assert rows[1].spent_nano == HANDS * HOLD


async def test_what_does_not_fit_is_never_held(life: Life) -> None:
    await make_budget(life, "small", HOLD)
    async with life.database.transaction() as connection:
        window = (await read_windows(connection, ["small"]))["small"]
    with pytest.raises(OverBudgetError):
        async with life.database.transaction() as connection:
            await hold(connection, {window.id: HOLD + 1})
    counted, _ = await sums_of(life)
    assert counted == {window.id: (0, 0)}
