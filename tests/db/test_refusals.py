"""A refused statement is repeated if another one upset it; else its row alone is set apart."""

import asyncio
from collections.abc import AsyncIterator

import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.db.engine import is_connection_loss
from shared.domain.job import JobState
from tests.db.books import check_books
from tests.db.desks import finisher, starter
from tests.db.refusing import Refusing
from tests.life import COST, Life, answered, new_job


@pytest.fixture
async def refusing(database_url: str) -> AsyncIterator[Refusing]:
    database = Refusing(database_url)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "refusal",
    [
        psycopg.errors.DeadlockDetected,
        psycopg.errors.SerializationFailure,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.QueryCanceled,
        psycopg.errors.AdminShutdown,
        psycopg.errors.DiskFull,
    ],
)
async def test_a_statement_that_another_one_upset_is_repeated(
    life: Life, refusing: Refusing, refusal: type[psycopg.Error]
) -> None:
    await life.accept(new_job())
    ids = await life.release()
    refusing.refusals = [refusal, refusal]
    [attempt] = await starter(refusing).start(ids)
    refusing.refusals = [refusal, refusal]
    await finisher(refusing).finish(answered(attempt))
    assert (await life.job(attempt.job_id)).state == JobState.SUCCEEDED
    await check_books(life)


async def test_a_real_deadlock_is_repeated_until_both_are_through(life: Life) -> None:
    """Postgres ends one of two that lock two jobs crosswise; nobody notices."""
    first, second = await life.started(new_job(), new_job())
    desk = finisher(life.database)
    lock = text("SELECT id FROM jobs WHERE id = :id FOR UPDATE")
    low, high = sorted([first.job_id, second.job_id])
    async with life.database.transaction() as connection:
        await connection.execute(text("SET LOCAL deadlock_timeout = '10s'"))
        await connection.execute(lock, {"id": high})
        both = asyncio.gather(desk.finish(answered(first)), desk.finish(answered(second)))
        waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with asyncio.timeout(10):
            while not (await life.one(waits)).n:
                await asyncio.sleep(0.01)
        await connection.execute(lock, {"id": low})
    await both
    assert await life.money() == (2 * COST, 0)


def test_a_pool_without_a_free_connection_is_waited_for() -> None:
    """Else the answers of a whole batch are lost for a pause of the database."""
    assert is_connection_loss(PoolTimeoutError("QueuePool limit of size 8 reached"))


async def test_a_row_that_postgres_cannot_take_in_is_no_lost_connection(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(3)))
    deep = "[" * 100_000 + "]" * 100_000
    reports = [answered(attempt) for attempt in attempts]
    reports[1] = answered(attempts[1], result=deep)
    desk = finisher(life.database)
    async with asyncio.timeout(20):
        await asyncio.gather(*(desk.finish(report) for report in reports))
    states = [(await life.job(attempt.job_id)).state for attempt in attempts]
    assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED]
    assert await life.money() == (3 * COST, 0)
    await check_books(life)


async def test_a_row_that_no_form_saves_keeps_no_other_waiting(life: Life) -> None:
    attempts = await life.started(*(new_job() for _ in range(3)))
    reports = [answered(attempt) for attempt in attempts]
    reports[1] = answered(attempts[1], cost_nano=2**70)
    desk = finisher(life.database)
    await asyncio.gather(*(desk.finish(report) for report in reports))
    states = [(await life.job(attempt.job_id)).state for attempt in attempts]
    assert states == [JobState.SUCCEEDED, JobState.RUNNING, JobState.SUCCEEDED]
    await check_books(life)
