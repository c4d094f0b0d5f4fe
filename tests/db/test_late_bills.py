"""A worker that was given up tells late what its call cost: booked once, and no doubt is left."""

from shared.domain.job import JobState
from tests.life import COST, HOLD, Life, answered


async def test_a_stale_worker_writes_no_result_but_its_cost_once(life: Life) -> None:
    [attempt] = await life.started()
    await life.kill_worker()
    [left] = await life.leave(answered(attempt))
    assert left.moved_to is None
    assert await life.leave(answered(attempt)) == []
    assert (await life.job(attempt.job_id)).state == JobState.QUEUED
    assert (await life.one("SELECT count(*) AS n FROM results")).n == 0
    assert await life.money() == (COST, 0)
    job = await life.job(attempt.job_id)
    assert (job.cost_nano, job.cost_flagged) == (COST, False)


async def test_a_late_bill_leaves_the_doubt_about_another_call(life: Life) -> None:
    [first] = await life.started()
    await life.kill_worker()
    await life.register("wrk_b")
    [second] = await life.start(await life.release(), "wrk_b")
    await life.kill_worker("wrk_b")
    await life.leave(answered(first))
    job = await life.job(first.job_id)
    assert (job.cost_nano, job.cost_flagged) == (COST + HOLD, True)
    await life.leave(answered(second))
    job = await life.job(first.job_id)
    assert (job.cost_nano, job.cost_flagged) == (2 * COST, False)
