"""A Redis that forgot everything is told by Postgres, before the first grant."""

from datetime import timedelta

from shared.catalog.deployments import Deployment
from shared.catalog.limits import Limits
from shared.db.give_back import give_back
from shared.db.memory import Memory, read_memory
from shared.domain.attempt import AttemptState
from shared.domain.clock import SystemClock
from shared.domain.failure import Blame, FailureKind
from shared.domain.job import JobState
from tests.life import Life, answered, new_job
from tests.meters.asking import deployment

PLACE = deployment("gpt-4.1-mini", requests_per_day=100)
FAILURES = {
    FailureKind.SERVER: AttemptState.FAILED,
    FailureKind.RATE_LIMITED: AttemptState.REFUSED,
}


async def memory_of(life: Life, place: Deployment = PLACE, *, days: int = 0) -> Memory:
    now = SystemClock().now() + timedelta(days=days)
    async with life.database.transaction() as connection:
        return await read_memory(connection, [place], now, seconds=30)


async def test_what_is_open_what_the_day_had_and_how_the_newest_ended(life: Life) -> None:
    first, *others, unheard = await life.started(*(new_job() for _ in range(4)))
    await life.leave(answered(first))
    for attempt, (kind, state) in zip(others, FAILURES.items(), strict=True):
        failure = {"failure_kind": kind, "attempt_state": state, "result": None}
        await life.leave(answered(attempt, job_state=JobState.FAILED, **failure))
    await life.accept(new_job())
    planned = await life.release()
    memory = await memory_of(life)
    assert {slot.attempt_id for slot in memory.slots} == {unheard.attempt_id, *planned}
    assert memory.outcomes == {PLACE.id: [Blame.ANSWERED, Blame.FAILED, Blame.ANSWERED]}
    assert [day.requests for day in memory.days] == [5]
    async with life.database.transaction() as connection:
        await give_back(connection, planned)
    assert [day.requests for day in (await memory_of(life)).days] == [4]


async def test_a_day_ends_and_who_has_no_limit_of_days_is_not_counted(life: Life) -> None:
    await life.started()
    assert (await memory_of(life, days=2)).days == []
    unlimited = deployment("gpt-4.1-mini")
    assert unlimited.limits == Limits()
    assert (await memory_of(life, unlimited)).days == []
