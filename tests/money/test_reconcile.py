"""What nobody knows the bill of is listed, corrected once, and every counter follows the ledger."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.corrections import (
    Correction,
    correct,
    list_excess,
    list_flagged,
    read_spent,
)
from shared.db.leave import Left, leave
from shared.db.rebuild import Counter, Difference, differences, put_right
from shared.db.release import Permit, due_jobs, release
from shared.db.rollup import roll_up
from shared.db.start import StartedAttempt
from shared.domain.attempt import AttemptState
from shared.domain.clock import SystemClock
from shared.domain.ids import IdKind, new_id
from shared.domain.job import JobState
from tests.db.books import check_books, overlapped
from tests.life import COST, HOLD, ROUTE, Life, answered, new_job

DEPLOYMENT = "openai/gpt-4.1-mini"


def said(attempt_id: str, cost_nano: int = 300) -> Correction:
    return Correction(attempt_id=attempt_id, cost_nano=cost_nano, reason="the bill of November")


async def corrected(life: Life, *corrections: Correction) -> set[str]:
    async with life.database.transaction() as connection:
        return await correct(connection, corrections)


async def lost(life: Life) -> StartedAttempt:
    """An attempt whose worker died with it; its job waits again."""
    [attempt] = await life.started()
    await life.kill_worker()
    return attempt


async def a_window(life: Life) -> int:
    """The window of a budget over all; what is released next counts in it."""
    async with life.database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO budgets (id, tenant_id, name, scope, subject, cap_nano, every,"
                " time_zone, at_limit, alerts) VALUES ('bud_a', NULL, 'all', 'all', '',"
                " 1000000, 'total', 'UTC', 'reject', '{}')"
            )
        )
        return int(
            (
                await connection.execute(
                    text(
                        "INSERT INTO budget_windows (budget_id, starts_at, ends_at)"
                        " VALUES ('bud_a', '-infinity', 'infinity') RETURNING id"
                    )
                )
            ).scalar_one()
        )


async def started_within(life: Life, window: int) -> StartedAttempt:
    """An attempt whose hold counts in the window."""
    job = new_job()
    await life.accept(job)
    async with life.database.transaction() as connection:
        [due] = await due_jobs(connection, ROUTE, 10)
        permit = Permit(
            job_id=due.id,
            attempt_id=new_id(IdKind.ATTEMPT),
            deployment=DEPLOYMENT,
            queue="openai",
            permit_tokens=due.tokens,
            hold_nano=HOLD,
            windows=(window,),
        )
        assert await release(connection, [permit], budgets_version=0)
        await connection.execute(text("UPDATE budget_windows SET held_nano = held_nano + 1000"))
    [attempt] = await life.start([permit.attempt_id])
    return attempt


async def counted(life: Life) -> tuple[int, int]:
    row = await life.one("SELECT spent_nano, held_nano FROM budget_windows")
    return row.spent_nano, row.held_nano


async def test_what_nobody_knows_is_listed_and_corrected_once(life: Life) -> None:
    attempt = await lost(life)
    async with life.database.transaction() as connection:
        [listed] = await list_flagged(connection)
    assert (listed.id, listed.cost_nano) == (attempt.attempt_id, HOLD)
    assert await corrected(life, said(attempt.attempt_id)) == {attempt.attempt_id}
    row, job = await life.attempt(attempt.attempt_id), await life.job(attempt.job_id)
    assert (row.state, row.cost_nano) == (AttemptState.FAILED, 300)
    assert (job.cost_nano, job.cost_flagged, job.state) == (300, False, JobState.QUEUED)
    adjusted = await life.one("SELECT * FROM ledger WHERE kind = 'adjust'")
    assert (adjusted.spent_nano, adjusted.reason) == (300 - HOLD, "the bill of November")
    await check_books(life)
    assert await corrected(life, said(attempt.attempt_id, 7)) == set()
    async with life.database.transaction() as connection:
        assert await list_flagged(connection) == []
    assert (await life.job(attempt.job_id)).cost_nano == 300


async def test_the_sums_of_usage_follow(life: Life) -> None:
    attempt = await lost(life)
    for cost in (HOLD, 300):
        async with life.database.transaction() as connection:
            assert await roll_up(connection) == 1
        for grain in ("minutes", "days"):
            rows = await life.all(f"SELECT calls, cost_nano FROM usage_{grain} WHERE calls <> 0")
            assert rows == [(1, cost)]
        await corrected(life, said(attempt.attempt_id))


async def test_an_answer_without_a_bill_is_corrected_and_stays_answered(life: Life) -> None:
    [attempt] = await life.started()
    await life.leave(answered(attempt, cost_nano=None))
    assert (await life.job(attempt.job_id)).cost_flagged
    assert await corrected(life, said(attempt.attempt_id, 0)) == {attempt.attempt_id}
    assert (await life.attempt(attempt.attempt_id)).state == AttemptState.ANSWERED
    job = await life.job(attempt.job_id)
    assert (job.state, job.cost_nano, job.cost_flagged) == (JobState.SUCCEEDED, 0, False)
    await check_books(life)


async def test_a_known_bill_and_an_open_call_are_not_corrected(life: Life) -> None:
    known, still_open = await life.started(new_job(), new_job())
    await life.leave(answered(known))
    ids = (known.attempt_id, still_open.attempt_id, "att_nobody")
    assert await corrected(life, *map(said, ids)) == set()
    assert await life.money() == (COST, HOLD)


async def test_a_late_report_finds_a_corrected_attempt_closed(life: Life) -> None:
    attempt = await lost(life)
    await corrected(life, said(attempt.attempt_id))
    assert await life.leave(answered(attempt)) == []
    assert (await life.attempt(attempt.attempt_id)).cost_nano == 300
    await check_books(life)


async def test_a_late_report_without_a_bill_leaves_it_to_be_corrected(life: Life) -> None:
    attempt = await lost(life)
    await life.leave(answered(attempt, cost_nano=None))
    job = await life.job(attempt.job_id)
    assert (job.cost_nano, job.cost_flagged) == (HOLD, True)
    async with life.database.transaction() as connection:
        assert [each.id for each in await list_flagged(connection)] == [attempt.attempt_id]
    assert await corrected(life, said(attempt.attempt_id)) == {attempt.attempt_id}
    job = await life.job(attempt.job_id)
    assert (job.cost_nano, job.cost_flagged) == (300, False)
    await check_books(life)


async def test_who_corrects_after_a_late_report_changes_nothing(life: Life) -> None:
    attempt = await lost(life)
    await life.leave(answered(attempt))
    assert await corrected(life, said(attempt.attempt_id)) == set()
    assert (await life.attempt(attempt.attempt_id)).cost_nano == COST
    await check_books(life)


async def test_a_late_report_and_a_correction_at_once_book_one_of_them(life: Life) -> None:
    attempt = await lost(life)

    async def by_hand(connection: AsyncConnection) -> set[str]:
        return await correct(connection, [said(attempt.attempt_id)])

    async def late(connection: AsyncConnection) -> list[Left]:
        return await leave(connection, [answered(attempt)])

    done, left = await overlapped(life, by_hand, late)
    assert (done, left) == ({attempt.attempt_id}, [])
    await check_books(life)


async def test_one_doubt_of_two_leaves_the_jobs_cost_in_doubt(life: Life) -> None:
    first = await lost(life)
    await life.register("wrk_b")
    [second] = await life.start(await life.release(), "wrk_b")
    await life.kill_worker("wrk_b")
    await corrected(life, said(first.attempt_id))
    job = await life.job(first.job_id)
    assert (job.cost_nano, job.cost_flagged) == (300 + HOLD, True)
    await corrected(life, said(second.attempt_id, 5))
    job = await life.job(first.job_id)
    assert (job.cost_nano, job.cost_flagged) == (305, False)


async def test_a_budgets_window_follows_a_correction(life: Life) -> None:
    window = await a_window(life)
    attempt = await started_within(life, window)
    assert await counted(life) == (0, HOLD)
    await life.kill_worker()
    assert await counted(life) == (HOLD, 0)
    await corrected(life, said(attempt.attempt_id))
    assert await counted(life) == (300, 0)


async def test_the_calls_of_a_day_are_told_by_deployment(life: Life) -> None:
    known, unknown, still_open = await life.started(new_job(), new_job(), new_job())
    await life.leave(answered(known))
    await life.leave(answered(unknown, cost_nano=None))
    today = SystemClock().now().date()
    async with life.database.transaction() as connection:
        by_deployment = await read_spent(connection, today)
        before = await read_spent(connection, today - timedelta(days=1))
    spent = by_deployment.pop(DEPLOYMENT)
    assert (spent.calls, spent.open_calls, spent.known_nano) == (3, 1, COST)
    assert spent.flagged == ((unknown.attempt_id, HOLD),)
    assert (by_deployment, before) == ({}, {})
    assert still_open.hold_nano == HOLD


async def test_bills_above_their_holds_are_listed(life: Life) -> None:
    within, above = await life.started(new_job(), new_job())
    await life.leave(answered(within), answered(above, cost_nano=HOLD + 11))
    async with life.database.transaction() as connection:
        [row] = await list_excess(connection)
    assert (row.id, row.hold_nano, row.cost_nano) == (above.attempt_id, HOLD, HOLD + 11)
    assert row.excess_nano == 11


async def found(life: Life) -> list[Difference]:
    return [each async for each in differences(life.database)]


async def test_counters_are_what_the_ledger_says(life: Life) -> None:
    window = await a_window(life)
    first, second = await started_within(life, window), await started_within(life, window)
    await life.leave(answered(first))
    assert await counted(life) == (COST, HOLD)
    assert await found(life) == []
    assert second.hold_nano == HOLD


@pytest.mark.parametrize("many", [1, 3])
async def test_spoiled_counters_are_told_and_put_right(
    life: Life, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.db.rebuild.PAGE", 2)
    window = await a_window(life)
    attempts = [await started_within(life, window) for _ in range(many)]
    await life.leave(*(answered(attempt) for attempt in attempts))
    async with life.database.transaction() as connection:
        await connection.execute(text("UPDATE budget_windows SET spent_nano = 1, held_nano = 9"))
        await connection.execute(text("UPDATE jobs SET cost_nano = 5"))
    spoiled = await found(life)
    assert {(each.counter, each.counted, each.booked) for each in spoiled} == {
        (Counter.SPENT, 1, many * COST), (Counter.HELD, 9, 0), (Counter.COST, 5, COST),
    }  # fmt: skip
    assert len(spoiled) == 2 + many
    async with life.database.transaction() as connection:
        await put_right(connection, spoiled)
    assert await found(life) == []
    assert await counted(life) == (many * COST, 0)
    await check_books(life)


async def test_who_books_while_counters_are_put_right_is_counted(life: Life) -> None:
    window = await a_window(life)
    attempt = await started_within(life, window)
    async with life.database.transaction() as connection:
        await connection.execute(text("UPDATE budget_windows SET spent_nano = 77"))
    spoiled = await found(life)

    async def rebuild(connection: AsyncConnection) -> None:
        await put_right(connection, spoiled)

    async def book(connection: AsyncConnection) -> list[Left]:
        return await leave(connection, [answered(attempt)])

    await overlapped(life, rebuild, book)
    assert await counted(life) == (COST, 0)
    assert await found(life) == []
