"""Two steps of a job's life at the same instant: one wins, nothing is counted twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import workers
from shared.db.cancel import expire_overdue
from shared.domain.job import JobState
from tests.db.books import Step, check_books, in_transaction, overlapped
from tests.db.cases import (
    Case,
    backing_off,
    queued,
    released,
    rescued,
    running,
    running_again,
    settle,
)
from tests.life import COST, HOLD, Life, answered, new_job
from tests.mill import seeded

OVERDUE = "UPDATE jobs SET deadline = clock_timestamp() WHERE id = :id RETURNING id"


SITUATIONS = (queued, released, running, backing_off, rescued, running_again)
STEPS: tuple[Callable[[Case], Step[Any]], ...] = (
    lambda case: case.release,
    lambda case: case.start,
    lambda case: case.start_elsewhere,
    lambda case: case.give_back,
    lambda case: case.cancel,
    lambda case: case.expire,
    lambda case: case.wake,
    lambda case: case.finish,
    lambda case: case.fail,
    lambda case: case.rescue,
)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
async def test_any_two_steps_overlap_in_either_order(
    life: Life, situation: Callable[[Life], Any]
) -> None:
    for one, other in product(STEPS, STEPS):
        case = await situation(life)
        first, second = one(case), other(case)
        names = f"after {first.__name__} over {second.__name__}"
        if "expire" in names:
            await life.one(OVERDUE, id=case.job_id)
        await overlapped(life, first, second)
        await check_books(life, names)
        await settle(case)
        await check_books(life, f"{names}, settled")


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
async def test_three_steps_at_once_in_any_order(
    life: Life, situation: Callable[[Life], Any]
) -> None:
    dice = seeded()
    for _ in range(60):
        case = await situation(life)
        steps = [step(case) for step in dice.sample(STEPS, 3)]
        names = "with " + ", ".join(step.__name__ for step in steps)
        if "expire" in names:
            await life.one(OVERDUE, id=case.job_id)
        await asyncio.gather(*(in_transaction(life, step) for step in steps))
        await check_books(life, names)
        await settle(case)
        await check_books(life, f"{names}, settled")


async def test_one_message_on_two_workers_at_once_starts_once(life: Life) -> None:
    case = await released(life)
    here, elsewhere = await overlapped(life, case.start, case.start_elsewhere)
    assert ([a.attempt_id for a in here], elsewhere) == ([case.attempt_id], [])
    assert (await life.attempt(case.attempt_id)).worker_id == case.worker_id


async def test_groups_in_opposite_orders_on_two_workers_start_each_attempt_once(
    life: Life,
) -> None:
    await life.register("wrk_b")
    await life.accept(*(new_job() for _ in range(60)))
    ids = await life.release()
    dice = seeded()
    shuffled = [dice.sample(ids, len(ids)) for _ in range(4)]
    started = await asyncio.gather(
        *(life.start(each, f"wrk_{'ab'[i % 2]}") for i, each in enumerate(shuffled))
    )
    names = Counter(attempt.attempt_id for group in started for attempt in group)
    assert names == dict.fromkeys(ids, 1)
    await check_books(life)


async def test_a_worker_that_is_lost_between_release_and_start_starts_nothing(life: Life) -> None:
    case = await released(life)
    _, started = await overlapped(life, case.rescue, case.start)
    if started:  # its lease was read before the rescuer's commit: the next round takes it
        assert [left.moved_to for left in await in_transaction(life, workers.rescue)] == [
            JobState.QUEUED
        ]
    assert await in_transaction(life, case.start) == []
    await check_books(life)


async def test_a_start_that_commits_under_the_rescuers_eyes_is_rescued_in_the_next_round(
    life: Life,
) -> None:
    case = await released(life)
    [started], left = await overlapped(life, case.start, case.rescue)
    assert left == []
    [next_round] = await in_transaction(life, workers.rescue)
    assert (next_round.attempt_id, next_round.moved_to) == (started.attempt_id, JobState.QUEUED)
    await check_books(life)


async def test_a_finish_that_comes_first_leaves_the_rescuer_nothing(life: Life) -> None:
    case = await running(life)
    [left], nothing = await overlapped(life, case.finish, case.rescue)
    assert (left.moved_to, nothing) == (JobState.SUCCEEDED, [])
    assert await life.money() == (COST, 0)
    assert (await life.job(case.job_id)).crashes == 0


async def test_a_rescue_that_comes_first_leaves_the_finish_its_cost_only(life: Life) -> None:
    case = await running(life)
    [left], [late] = await overlapped(life, case.rescue, case.finish)
    assert (left.moved_to, late.moved_to) == (JobState.QUEUED, None)
    assert await life.money() == (COST, 0)
    await check_books(life)


async def test_finish_and_rescue_at_the_same_instant_hundreds_of_times(life: Life) -> None:
    dice = seeded()
    outcomes: Counter[str] = Counter()
    for _ in range(300):
        case = await running(life)
        steps = [case.finish, case.rescue, case.finish, case.rescue]
        dice.shuffle(steps)
        await asyncio.gather(*(in_transaction(life, step) for step in steps))
        job = await life.job(case.job_id)
        outcomes[job.state] += 1
        assert (job.cost_nano, job.crashes) == (COST, int(job.state == JobState.QUEUED))
        await in_transaction(life, case.cancel)
    await check_books(life)
    assert await life.money() == (300 * COST, 0)
    # Who wins is the machine's choice (both orders are forced above); that one wins is not.
    assert set(outcomes) <= {JobState.SUCCEEDED, JobState.QUEUED}, outcomes


async def test_batches_that_share_jobs_in_opposite_orders_do_not_lock_each_other_up(
    life: Life,
) -> None:
    dice = seeded()
    attempts = await life.started(*(new_job() for _ in range(80)))
    reports = [answered(attempt) for attempt in attempts]
    batches = [dice.sample(reports, len(reports)) for _ in range(4)]
    left = await asyncio.gather(*(life.leave(*batch) for batch in batches))
    assert Counter(row.job_id for rows in left for row in rows) == {r.job_id: 1 for r in reports}
    await check_books(life)


async def test_a_cancel_during_the_start_waits_and_then_asks_the_worker_to_stop(
    life: Life,
) -> None:
    case = await released(life)
    [started], answer = await overlapped(life, case.start, case.cancel)
    assert answer == (JobState.RUNNING, [])
    async with life.database.transaction() as connection:
        assert await workers.beat(connection, case.worker_id, 30.0, 5) == [started.job_id]


async def test_a_start_during_the_cancel_gets_nothing(life: Life) -> None:
    case = await released(life)
    (state, [given]), started = await overlapped(life, case.cancel, case.start)
    assert (state, given.attempt_id, started) == (JobState.CANCELLED, case.attempt_id, [])
    assert await life.money() == (0, 0)


async def test_a_release_during_the_cancel_passes_the_job_by(life: Life) -> None:
    case = await queued(life)
    _, minted = await overlapped(life, case.cancel, case.release)
    assert minted == []
    await check_books(life)


async def test_a_cancel_during_the_finish_comes_too_late(life: Life) -> None:
    case = await running(life)
    _, answer = await overlapped(life, case.finish, case.cancel)
    assert answer == (JobState.SUCCEEDED, [])


async def test_an_answer_during_the_cancel_still_wins(life: Life) -> None:
    case = await running(life)
    answer, [left] = await overlapped(life, case.cancel, case.finish)
    assert (answer, left.moved_to) == ((JobState.RUNNING, []), JobState.SUCCEEDED)


async def test_a_failure_during_the_cancel_is_the_cancels_end(life: Life) -> None:
    case = await running(life)
    _, [left] = await overlapped(life, case.cancel, case.fail)
    assert left.moved_to is JobState.CANCELLED
    await check_books(life)


async def test_an_expiry_during_the_release_waits_for_the_next_round(life: Life) -> None:
    case = await queued(life)

    async def expire_now(connection: AsyncConnection) -> Any:
        await life.one("SELECT pg_sleep(0.05)")
        return await expire_overdue(connection)

    await life.one("UPDATE jobs SET deadline = clock_timestamp() + interval '40 ms' RETURNING id")
    minted, given = await overlapped(life, case.release, expire_now)
    case.attempt_id = minted[0]
    assert given == []
    assert await in_transaction(life, case.start) == []
    [late] = await in_transaction(life, expire_overdue)
    assert late.attempt_id == case.attempt_id
    await check_books(life)


async def test_a_start_and_a_give_back_never_both_have_the_attempt(life: Life) -> None:
    case = await released(life)
    started, given = await overlapped(life, case.start, case.give_back)
    assert (len(started), given) == (1, [])
    case = await released(life)
    given, started = await overlapped(life, case.give_back, case.start)
    assert (len(given), started) == (1, [])
    await check_books(life)


async def test_dispatchers_that_release_the_same_jobs_share_them_out(life: Life) -> None:
    await life.accept(*(new_job() for _ in range(200)))
    minted = await asyncio.gather(*(life.release() for _ in range(4)))
    assert sum(len(ids) for ids in minted) == 200
    assert await life.money() == (0, 200 * HOLD)
    await check_books(life)


async def test_a_release_that_is_not_yet_committed_is_passed_by_and_not_waited_for(
    life: Life,
) -> None:
    case = await queued(life)
    first, second = await overlapped(life, case.release, case.release)
    assert (len(first), second) == (1, [])


async def test_two_rescuers_count_one_crash(life: Life) -> None:
    case = await running(life)
    first, second = await overlapped(life, case.rescue, workers.rescue)
    assert (len(first), second) == (1, [])
    assert (await life.job(case.job_id)).crashes == 1
    await check_books(life)


async def test_a_retry_that_wakes_during_its_cancel_stays_cancelled(life: Life) -> None:
    case = await backing_off(life)
    answer, woken = await overlapped(life, case.cancel, case.wake)
    assert (answer, woken) == ((JobState.CANCELLED, []), set())
    case = await backing_off(life)
    woken, answer = await overlapped(life, case.wake, case.cancel)
    assert (len(woken), answer) == (1, (JobState.CANCELLED, []))
    await check_books(life)
