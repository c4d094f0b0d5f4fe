"""What the dispatcher sees of a route: the oldest few of each, and what their calls may take."""

from shared.db.release import due_jobs
from shared.domain.attempt import AttemptState
from shared.domain.failure import CORRECTION_TOKENS, FailureKind
from shared.domain.job import JobState, Lane
from tests.life import Life, answered, new_job


async def test_lanes_and_tenants_are_peeked_side_by_side(life: Life) -> None:
    await life.accept(*(new_job() for _ in range(30)))
    await life.accept(new_job(tenant_id="ten_b"))
    await life.accept(new_job(lane=Lane.INTERACTIVE))
    async with life.database.transaction() as connection:
        due = await due_jobs(connection, "gpt-4.1-mini", 5)
    assert sorted((job.lane, job.tenant_id) for job in due) == sorted(
        [(Lane.INTERACTIVE, "ten_a"), *[(Lane.STANDARD, "ten_a")] * 5, (Lane.STANDARD, "ten_b")]
    )


async def test_who_may_search_the_web_is_seen_in_the_queue(life: Life) -> None:
    searching = new_job(web_search=True)
    await life.accept(searching, new_job())
    async with life.database.transaction() as connection:
        due = await due_jobs(connection, "gpt-4.1-mini", 5)
    assert len(due) == 2
    assert [job.id for job in due if job.web_search] == [searching.id]


async def test_a_try_that_is_told_of_a_failed_output_has_room_for_that(life: Life) -> None:
    await life.accept(new_job())
    [attempt] = await life.start(await life.release())
    await life.leave(
        answered(
            attempt,
            attempt_state=AttemptState.FAILED,
            job_state=JobState.QUEUED,
            failure_kind=FailureKind.INVALID_OUTPUT,
            result=None,
        )
    )
    async with life.database.transaction() as connection:
        [job] = await due_jobs(connection, "gpt-4.1-mini", 5)
    assert job.input_at("openai/gpt-4.1-mini") == 10 + CORRECTION_TOKENS[FailureKind.INVALID_OUTPUT]
