"""A COMMIT whose reply is lost with its connection: repeating is harmless, and is done."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from shared.db.engine import Database, is_connection_loss
from shared.db.give_back import give_back_unstarted
from shared.domain.attempt import AttemptState
from shared.domain.failure import FailureKind
from shared.domain.job import JobState, WaitReason
from tests.db.books import check_books
from tests.db.desks import dispatching, finisher, starter
from tests.life import COST, ROUTE, Life, answered, new_job
from tests.wire import EITHER_END, Wire
from worker.dispatch.turn import RouteTurns


@EITHER_END
async def test_a_lost_reply_is_a_lost_connection_and_the_work_is_done(
    life: Life, lossy: Database, wire: Wire, reply: str
) -> None:
    job = new_job()
    wire.replies = reply
    with pytest.raises(OperationalError) as lost:
        await Life(lossy).accept(job)
    assert is_connection_loss(lost.value)
    assert (await life.job(job.id)).state == JobState.QUEUED
    assert (await Life(lossy).job(job.id)).id == job.id, "the pool has forgotten that connection"


@EITHER_END
async def test_a_start_whose_reply_is_lost_is_read_back_and_called(
    life: Life, lossy: Database, wire: Wire, reply: str
) -> None:
    await life.accept(*(new_job() for _ in range(5)))
    ids = await life.release()
    wire.replies = reply * 3
    started = await starter(lossy).start(ids)
    assert sorted(attempt.attempt_id for attempt in started) == sorted(ids)
    assert {attempt.request["max_tokens"] for attempt in started} == {5}
    assert {(await life.attempt(each)).state for each in ids} == {AttemptState.SENT}
    await check_books(life)


async def test_a_start_that_is_read_back_leaves_what_flies_already_alone(
    life: Life, lossy: Database, wire: Wire
) -> None:
    await life.accept(new_job(), new_job())
    ids = await life.release()
    await life.start(ids[:1])
    wire.replies = "l"
    started = await starter(lossy, {ids[0]}).start(ids)
    assert [attempt.attempt_id for attempt in started] == ids[1:]


async def test_two_messages_of_one_attempt_in_a_lost_batch_start_it_once(
    life: Life, lossy: Database, wire: Wire
) -> None:
    await life.accept(new_job())
    ids = await life.release()
    wire.replies = "l"
    desk = starter(lossy)
    groups = await asyncio.gather(*(desk.start(ids) for _ in range(5)))
    assert [attempt.attempt_id for group in groups for attempt in group] == ids


async def test_a_start_that_was_lost_with_its_lease_is_the_rescuers(
    life: Life, lossy: Database, wire: Wire
) -> None:
    """While the worker asks again it is declared lost: nobody calls, the job goes on elsewhere."""
    await life.accept(new_job())
    ids = await life.release()
    wire.replies = "l"
    with pytest.raises(OperationalError):
        await Life(lossy).start(ids)
    [left] = await life.kill_worker()
    assert left.moved_to is JobState.QUEUED
    wire.replies = "l"
    assert await starter(lossy).start(ids) == []
    await check_books(life)


@EITHER_END
async def test_a_finish_whose_reply_is_lost_records_nothing_twice(
    life: Life, lossy: Database, wire: Wire, reply: str
) -> None:
    attempts = await life.started(*(new_job() for _ in range(20)))
    wire.replies = reply * 2
    desk = finisher(lossy)
    await asyncio.gather(*(desk.finish(answered(attempt)) for attempt in attempts))
    assert await life.money() == (20 * COST, 0)
    for table, rows in {"results": 20, "events": 20, "ledger": 40}.items():
        assert (await life.one(f"SELECT count(*) AS n FROM {table}")).n == rows
    await check_books(life)


async def test_a_failure_whose_reply_is_lost_spends_one_try(
    life: Life, lossy: Database, wire: Wire
) -> None:
    [attempt] = await life.started()
    report = answered(
        attempt,
        attempt_state=AttemptState.UNKNOWN,
        job_state=JobState.SCHEDULED,
        cost_nano=None,
        result=None,
        spends_try=True,
        tried=attempt.deployment,
        wait_reason=WaitReason.BACKOFF,
        failure_kind=FailureKind.CONNECTION,
    )
    wire.replies = "ll"
    await finisher(lossy).finish(report)
    job = await life.job(attempt.job_id)
    assert (job.state, job.tries, job.tried) == ("scheduled", 1, [attempt.deployment])
    assert await life.money() == (attempt.hold_nano, 0)
    await check_books(life)


async def test_a_finish_that_is_repeated_into_the_jobs_next_life_changes_nothing(
    life: Life, lossy: Database, wire: Wire
) -> None:
    """Its reply is lost, the job is released and started anew, then the report comes again."""
    [attempt] = await life.started()
    report = answered(
        attempt,
        attempt_state=AttemptState.FAILED,
        job_state=JobState.QUEUED,
        cost_nano=0,
        result=None,
        failure_kind=FailureKind.RATE_LIMITED,
    )
    wire.replies = "l"
    with pytest.raises(OperationalError):
        await Life(lossy).leave(report)
    [again] = await life.start(await life.release())
    assert await life.leave(report) == []
    assert (await life.job(attempt.job_id)).open_attempt == again.attempt_id
    await life.leave(answered(again))
    assert await life.money() == (COST, 0)
    await check_books(life)


@EITHER_END
async def test_a_release_whose_reply_is_lost_is_found_unstarted_and_given_back(
    life: Life, lossy: Database, wire: Wire, redis_url: str, tmp_path: Path, reply: str
) -> None:
    await life.accept(*(new_job() for _ in range(4)))
    async with dispatching(life, lossy, redis_url, tmp_path) as (means, redis):
        wire.replies = f"k{reply}"  # the peek, then the release
        with pytest.raises(OperationalError):
            await RouteTurns(ROUTE, means).take()
        assert await redis.llen("openai") == await redis.zcard("pm:fleet:openai") == 0
        assert (await life.money())[1] > 0, "the attempts are there, planned"
        assert (await RouteTurns(ROUTE, means).take()).due == 0
        async with life.database.transaction() as connection:
            assert len(await give_back_unstarted(connection, older_than_seconds=0)) == 4
        await check_books(life)
        assert (await RouteTurns(ROUTE, means).take()).released == 4
    ids = (await life.one("SELECT array_agg(id ORDER BY id) AS ids FROM attempts")).ids
    started = await life.start(ids)
    assert [a.epoch for a in started] == [2] * 4, "what was given back runs once, and anew"
    await check_books(life)


async def test_a_release_whose_reply_is_lost_may_have_been_started_all_the_same(
    life: Life, lossy: Database, wire: Wire, redis_url: str, tmp_path: Path
) -> None:
    """Started before anybody looks for the unstarted: those that fly are not taken back."""
    await life.accept(*(new_job() for _ in range(4)))
    async with dispatching(life, lossy, redis_url, tmp_path) as (means, _):
        wire.replies = "kl"
        with pytest.raises(OperationalError):
            await RouteTurns(ROUTE, means).take()
        ids = (await life.one("SELECT array_agg(id ORDER BY id) AS ids FROM attempts")).ids
        started = await life.start(ids[:2])
        async with life.database.transaction() as connection:
            given = await give_back_unstarted(connection, older_than_seconds=0)
        assert {back.attempt_id for back in given} == set(ids[2:])
        assert (await RouteTurns(ROUTE, means).take()).released == 2
    await life.leave(*(answered(attempt) for attempt in started))
    assert (await life.money())[0] == 2 * COST
    await check_books(life)


async def test_a_cancel_whose_reply_is_lost_is_repeated_and_stays(
    life: Life, lossy: Database, wire: Wire
) -> None:
    job = new_job()
    await life.accept(job)
    await life.release()
    wire.replies = "l"
    with pytest.raises(OperationalError):
        await Life(lossy).cancel(job.id)
    assert await Life(lossy).cancel(job.id) == (JobState.CANCELLED, [])
    assert await life.money() == (0, 0)
    await check_books(life)


async def test_a_rescue_whose_reply_is_lost_counts_one_crash(
    life: Life, lossy: Database, wire: Wire
) -> None:
    [attempt] = await life.started()
    wire.replies = "l"
    with pytest.raises(OperationalError):
        await Life(lossy).kill_worker()
    assert await Life(lossy).kill_worker() == []
    job = await life.job(attempt.job_id)
    assert (job.state, job.crashes, job.cost_nano) == ("queued", 1, attempt.hold_nano)
    await check_books(life)
